import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  startVolumeBackend,
  type VolumeBackend,
  type VolumeBackendOptions,
} from '../../deploy/sample/volume-backend.ts'

const id = '5aa10000-0000-4000-8000-000000000001'
let backend: VolumeBackend | null = null

async function start(options: VolumeBackendOptions = {}): Promise<VolumeBackend> {
  backend = await startVolumeBackend({ workMs: 20, volumes: [{ id, name: 'first', sizeGb: 1 }], ...options })
  return backend
}

afterEach(async () => {
  await backend?.close()
  backend = null
})

async function call(
  method: string,
  target: string,
  body?: unknown,
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(`${backend?.url}${target}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? null : JSON.parse(text) }
}

const statusOf = async (): Promise<unknown> => (await call('GET', `/v3/p/volumes/${id}`)).body

describe('the sample volume backend', () => {
  it('accepts a change at once, and finishes it later', async () => {
    await start()
    const created = await call('POST', '/v3/p/volumes', { volume: { size: 2, name: 'second' } })
    expect(created).toMatchObject({ status: 202, body: { volume: { status: 'creating', size: 2 } } })
    await vi.waitFor(async () => {
      const listed = await call('GET', '/v3/p/volumes/detail')
      expect(listed.body).toMatchObject({
        volumes: [{ name: 'first' }, { name: 'second', status: 'available' }],
      })
    })
  })

  it('extends, and refuses what does not fit the state', async () => {
    await start({ workMs: 60_000 })
    const extend = (size: number) =>
      call('POST', `/v3/p/volumes/${id}/action`, { 'os-extend': { new_size: size } })
    expect((await extend(1)).status).toBe(400)
    expect((await extend(3)).status).toBe(202)
    expect(await statusOf()).toMatchObject({ volume: { status: 'extending', size: 1 } })
    expect((await extend(4)).status).toBe(400)
  })

  it('has the new size when the extension is over', async () => {
    await start()
    await call('POST', `/v3/p/volumes/${id}/action`, { 'os-extend': { new_size: 3 } })
    await vi.waitFor(async () =>
      expect(await statusOf()).toMatchObject({ volume: { status: 'available', size: 3 } }),
    )
  })

  it('shows a volume as deleting while it deletes it', async () => {
    await start({ workMs: 60_000 })
    expect((await call('DELETE', `/v3/p/volumes/${id}`)).status).toBe(202)
    expect(await statusOf()).toMatchObject({ volume: { status: 'deleting' } })
  })

  it('knows a deleted volume no more', async () => {
    await start()
    await call('DELETE', `/v3/p/volumes/${id}`)
    await vi.waitFor(async () => expect((await call('GET', `/v3/p/volumes/${id}`)).status).toBe(404))
  })

  it('tells its version, and what it does not know', async () => {
    await start()
    expect(await call('GET', '/')).toMatchObject({ status: 300, body: { versions: [{ id: 'v3.0' }] } })
    expect((await call('GET', '/v3/p/backups')).status).toBe(404)
    expect((await call('POST', `/v3/p/volumes/${id}/action`, { 'os-nothing': {} })).status).toBe(400)
  })

  it('logs arrival, execution, answer and completion of every change, and no reads', async () => {
    const { log } = await start()
    await call('GET', '/v3/p/volumes')
    await call('POST', `/v3/p/volumes/${id}/metadata`, { metadata: { by: 'a' } })
    await call('POST', `/v3/p/volumes/${id}/action`, { 'os-extend': { new_size: 0 } })
    await call('DELETE', `/v3/p/volumes/${id}`)
    await vi.waitFor(() => expect(log()[2]?.completedAt).not.toBeNull())
    expect(log()).toMatchObject([
      { number: 1, status: 200, executedAt: expect.any(String), body: { metadata: { by: 'a' } } },
      { number: 2, status: 400, executedAt: null, completedAt: null },
      { number: 3, status: 202, arrivedAt: expect.any(String), answeredAt: expect.any(String) },
    ])
    const shown = await call('GET', '/_log')
    expect(shown.body).toEqual({ calls: log() })
  })

  it.each(['execution', 'answer'] as const)('holds a call open before its %s until told', async (point) => {
    const { hold, letGo, log } = await start()
    hold(point, 1)
    const held = call('POST', `/v3/p/volumes/${id}/metadata`, { metadata: { by: 'a' } })
    await vi.waitFor(() => expect(log()).toHaveLength(1))
    const next = await call('POST', `/v3/p/volumes/${id}/metadata`, { metadata: { by: 'b' } })
    expect(next.status).toBe(200)
    expect(log()[0]).toMatchObject({
      executedAt: point === 'execution' ? null : expect.any(String),
      answeredAt: null,
    })
    letGo()
    expect((await held).status).toBe(200)
    // The late one wins where it was held before its execution: nothing here checks who is the owner.
    const { body } = await call('GET', `/v3/p/volumes/${id}/metadata`)
    expect(body).toEqual({ metadata: { by: point === 'execution' ? 'a' : 'b' } })
  })

  it('holds over HTTP as well, and ends with a call still open', async () => {
    const { log } = await start()
    expect((await call('POST', '/_hold', { point: 'execution' })).status).toBe(204)
    const held = call('DELETE', `/v3/p/volumes/${id}`).then(
      () => 'answered',
      () => 'broken',
    )
    await vi.waitFor(() => expect(log()).toHaveLength(1))
    await backend?.close()
    expect(await held).toBe('broken')
  })
})
