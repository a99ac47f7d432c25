// The webhook fencer against a receiver of ours that fails, stalls, lies and answers twice.

import { afterEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/webhook.ts'
import { FenceInfoFault, type Fencer } from '../../../gateway/spi/fencer.ts'
import { BLINDING } from '../../support/rest-server.ts'
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts'
import { anAttemptNow, realClock } from './support.ts'

type Info = ReturnType<typeof driver.fenceInfo.parse>
const SECRET = 'a shared key of some length'
const INFO: Info = { host: 'compute-3' }
const context = { clock: realClock, note: () => undefined }
const receivers: WebhookReceiver[] = []
const fencers: Fencer<Info>[] = []

afterEach(async () => {
  await Promise.all(fencers.splice(0).map(async (fencer) => await fencer.close?.()))
  await Promise.all(receivers.splice(0).map((receiver) => receiver.server.close()))
})

async function start(more: Readonly<Record<string, unknown>> = {}) {
  const receiver = await startWebhookReceiver(SECRET)
  receivers.push(receiver)
  const options = driver.options.parse({ url: receiver.server.url, secret: SECRET, ...more })
  const fencer = driver.create(options, context)
  fencers.push(fencer)
  return { receiver, fencer }
}

const state = async (fencer: Fencer<Info>) => (await fencer.verify(INFO, anAttemptNow())).state

describe('the webhook fencer', () => {
  test('sends a signed order, and believes the status, not the answer', async () => {
    const { receiver, fencer } = await start()
    await fencer.monitor({ ...context, signal: AbortSignal.timeout(5_000) })
    await fencer.fence(INFO, anAttemptNow())
    expect(receiver.server.calls.at(-1)?.json).toMatchObject({
      action: 'fence',
      fence: 'f00',
      attempt: 1,
      holder: { id: 'a-test' },
      fenceInfo: INFO,
    })
    expect(await fencer.verify(INFO, anAttemptNow())).toMatchObject({
      state: 'fenced',
      evidence: { observed: expect.stringContaining('looked at f00'), request: 'GET /{{fence.id}}' },
    })
  })

  test('a fenceInfo that would not fill the path of the status is refused before anybody needs it', async () => {
    const { fencer } = await start({ statusPath: '/of/{{fenceInfo.host}}/{{fence.id}}' })
    expect(() => fencer.check?.(INFO)).not.toThrow()
    expect(() => fencer.check?.({ rack: 4 })).toThrow(FenceInfoFault)
    expect(() => fencer.check?.({ host: '..' })).toThrow('fenceInfo.host is no name in a path')
  })

  test('waits while the service works, and is not taken in by a boast', async () => {
    const { receiver, fencer } = await start()
    receiver.mode = 'boast'
    await fencer.fence(INFO, anAttemptNow())
    expect(await state(fencer)).toBe('not-fenced')
    receiver.mode = 'slow'
    await fencer.fence(INFO, anAttemptNow({ number: 2 }))
    expect(await state(fencer)).toBe('not-fenced')
    receiver.finish()
    expect(await state(fencer)).toBe('fenced')
  })

  test('an order that comes twice has the same key, another attempt another', async () => {
    const { receiver, fencer } = await start({ unfence: true })
    await fencer.fence(INFO, anAttemptNow())
    await fencer.fence(INFO, anAttemptNow())
    await fencer.fence(INFO, anAttemptNow({ number: 2 }))
    await fencer.unfence?.(INFO, anAttemptNow())
    expect([...receiver.orders]).toEqual(['f00-1', 'f00-2', 'f00-1-unfence'])
    expect(receiver.fenced.size).toBe(0)
  })

  test('a failure, or the status of another fence, is no success', async () => {
    const { receiver, fencer } = await start()
    receiver.mode = 'failed'
    await fencer.fence(INFO, anAttemptNow())
    expect(await state(fencer)).toBe('not-fenced')
    receiver.mode = 'prompt'
    await fencer.fence(INFO, anAttemptNow({ number: 2 }))
    receiver.mode = 'confused'
    expect(await state(fencer)).toBe('unknown')
  })

  test.each(BLINDING)('a status that is answered by "%s" shows nothing', async (kind) => {
    const { receiver, fencer } = await start()
    receiver.fenced.add('f00')
    receiver.server.fault(kind)
    expect(await state(fencer)).toBe('unknown')
    if (kind === 'lie' || kind === 'empty') return
    const monitored = fencer.monitor({ ...context, signal: AbortSignal.timeout(5_000) })
    await (kind === 'garbage' ? monitored : expect(monitored).rejects.toThrow())
    if (kind !== 'garbage') await expect(fencer.fence(INFO, anAttemptNow())).rejects.toThrow()
  })

  test('a receiver that is not there is unknown', async () => {
    const { receiver, fencer } = await start()
    await receiver.server.close()
    await expect(fencer.fence(INFO, anAttemptNow())).rejects.toThrow('ECONNREFUSED')
    expect(await state(fencer)).toBe('unknown')
  })

  test('a receiver that stalls ends with the attempt, and a wrong key orders nothing', async () => {
    const { receiver, fencer } = await start()
    receiver.server.fault('hang')
    await expect(fencer.fence(INFO, anAttemptNow({ lengthMs: 100 }))).rejects.toThrow()
    expect((await fencer.verify(INFO, anAttemptNow({ lengthMs: 100 }))).state).toBe('unknown')
    const stranger = await start({ secret: 'another key that is as long' })
    await expect(stranger.fencer.fence(INFO, anAttemptNow())).rejects.toThrow('401')
    await expect(stranger.fencer.monitor({ ...context, signal: AbortSignal.timeout(5_000) })).rejects.toThrow(
      '401',
    )
    expect(stranger.receiver.orders.size).toBe(0)
  })
})
