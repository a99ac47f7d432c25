import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { start, until } from './start.ts'

function rawAcquire(port: number, session: string) {
  const body = JSON.stringify({ session, wait: 60 })
  const socket = connect(port, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  socket.on('error', () => undefined)
  socket.write(
    `POST /v1/locks/x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  return socket
}

test.each(['end', 'destroy', 'resetAndDestroy'] as const)(
  'a caller whose connection goes by %s while it waits leaves the queue',
  async (how) => {
    const { plane, port, open, call } = await start()
    const [first, second] = [await open('a'), await open('b')]
    await call('POST', '/v1/locks/x', { session: first })
    const socket = rawAcquire(port, second)
    await until(() => plane.queues.get('x')?.length === 1)
    socket[how]()
    await until(() => plane.queues.get('x')?.length === 0)
    await call('DELETE', `/v1/locks/x?session=${first}`)
    expect(plane.owners.has('x')).toBe(false)
  },
)

test('a caller that goes on listening stays in the queue', async () => {
  const { plane, port, open, call } = await start()
  const [first, second] = [await open('a'), await open('b')]
  await call('POST', '/v1/locks/x', { session: first })
  const socket = rawAcquire(port, second)
  await until(() => plane.queues.get('x')?.length === 1)
  for (let i = 0; i < 20; i++) await call('GET', '/livez')
  expect(plane.queues.get('x')).toHaveLength(1)
  let answer = ''
  socket.on('data', (data) => {
    answer += data.toString()
  })
  await call('DELETE', `/v1/locks/x?session=${first}`)
  await until(() => answer.includes('"token"'))
  expect(answer).toContain('HTTP/1.1 201')
})

test('closing answers who waits, and takes no new connection', async () => {
  const { plane, control, open, call, url } = await start()
  const [first, second] = [await open('a'), await open('b')]
  await call('POST', '/v1/locks/x', { session: first })
  const waiting = call('POST', '/v1/locks/x', { session: second, wait: 60 })
  await until(() => plane.queues.get('x')?.length === 1)
  await Promise.all([control.close(), control.close()])
  expect(await waiting).toMatchObject({
    status: 503,
    body: { type: 'urn:fencegate:error:store-unavailable' },
  })
  await expect(fetch(`${url}/livez`)).rejects.toThrow()
})

test('leaving turns readiness red, and sends callers away with what they asked for', async () => {
  const { control, open, call, url } = await start()
  const session = await open('a')
  control.leave()
  expect((await fetch(`${url}/readyz`)).status).toBe(503)
  expect(await call('POST', '/v1/locks/x', { session, wait: 1 })).toMatchObject({ status: 201 })
  expect((await fetch(`${url}/livez`)).headers.get('connection')).toBe('close')
})

test('who waits is told to ask another gateway, and not that the lock was not to be had', async () => {
  const { plane, control, open, call } = await start()
  const [first, second] = [await open('a'), await open('b')]
  await call('POST', '/v1/locks/x', { session: first })
  const waiting = call('POST', '/v1/locks/x', { session: second, wait: 60 })
  await until(() => plane.queues.get('x')?.length === 1)
  control.dismiss()
  expect(await waiting).toMatchObject({ status: 503 })
  expect(await call('POST', `/v1/sessions/${first}/keepalive`)).toMatchObject({ status: 200 })
})

test('an address that is taken rejects', async () => {
  const { port } = await start()
  await expect(start({ listen: { host: '127.0.0.1', port } })).rejects.toThrow('EADDRINUSE')
})
