// The webhook fencer with a service that calls back: which deliveries are its service's word, and what they are worth.

import { afterEach, describe, expect, test } from 'vitest'
import driver from '../../../fencers/webhook.ts'
import type { FenceCallback } from '../../../gateway/core/fence-record.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import { BLINDING } from '../../support/rest-server.ts'
import { type Said, signedCallback, startWebhookReceiver } from '../../support/webhook-receiver.ts'
import { anAttemptNow, realClock } from './support.ts'

type Info = ReturnType<typeof driver.fenceInfo.parse>
const SECRET = 'a shared key of some length'
const CALLBACK = 'https://gateways.example:8443/fencegate/'
const INFO: Info = { host: 'compute-3' }
const context = { clock: realClock, note: () => undefined }
const open: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const parse = (more: Readonly<Record<string, unknown>>) =>
  driver.options.safeParse({ url: 'https://fencing.example', secret: SECRET, ...more })

async function start(more: Readonly<Record<string, unknown>> = { monitorPath: '/health' }) {
  const receiver = await startWebhookReceiver(SECRET)
  open.push(() => receiver.server.close())
  const options = driver.options.parse({
    url: receiver.server.url,
    secret: SECRET,
    callback: CALLBACK,
    ...more,
  })
  const fencer: Fencer<Info> = driver.create(options, context)
  open.push(async () => await fencer.close?.())
  return { receiver, fencer }
}

/** A fencer that has given its first order, with the ticket of that. */
async function ordered(more?: Readonly<Record<string, unknown>>) {
  const { receiver, fencer } = await start(more)
  await fencer.fence(INFO, anAttemptNow({ fencer: 'service' }))
  const answerable = receiver.answerable.get('f00-1')
  if (answerable === undefined) throw new Error('the order cannot be answered')
  return { receiver, fencer, ...answerable }
}

interface Sent {
  readonly said: Said
  readonly secret?: string
  readonly ageSeconds?: number
  readonly fencer?: string
  readonly fenceId?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly text?: string
}

function heard(fencer: Fencer<Info>, sent: Sent) {
  const { text, headers } = signedCallback(sent.secret ?? SECRET, sent.said, sent.ageSeconds)
  const shown: Readonly<Record<string, string>> = sent.headers ?? headers
  const delivery = {
    fencer: sent.fencer ?? 'service',
    fenceId: sent.fenceId ?? 'f00',
    header: (name: string) => shown[name],
    text: sent.text ?? text,
    wallMs: Date.now(),
  }
  return fencer.callback?.(delivery)
}

const calledBack = (state: 'fenced' | 'failed', attempt = 1): FenceCallback => {
  return { fencer: 'service', attempt, state, at: new Date().toISOString(), evidence: 'pulled the plug' }
}

describe('the webhook fencer whose service calls back', () => {
  test('tells the service where, with a ticket for this order alone, the same whichever gateway gives it', async () => {
    const { receiver, fencer, url, ticket } = await ordered()
    expect(url).toBe('https://gateways.example:8443/fencegate/v1/fences/f00/callback/service')
    expect(ticket).toMatch(/^1\.[0-9a-f]{64}$/)
    const another = driver.create(
      driver.options.parse({
        url: receiver.server.url,
        secret: SECRET,
        callback: CALLBACK,
        monitorPath: '/h',
      }),
      context,
    )
    open.push(async () => await another.close?.())
    await another.fence(INFO, anAttemptNow({ fencer: 'service' }))
    expect(receiver.answerable.get('f00-1')?.ticket).toBe(ticket)
    await fencer.fence(INFO, anAttemptNow({ fencer: 'service', number: 2 }))
    expect(receiver.answerable.get('f00-2')?.ticket.slice(2)).not.toBe(ticket.slice(2))
  })

  test('believes a signed word with the ticket of the order', async () => {
    const { fencer, ticket } = await ordered()
    const said = { fence: 'f00', ticket, state: 'fenced', evidence: 'pulled the plug' }
    expect(heard(fencer, { said })).toEqual({ attempt: 1, state: 'fenced', evidence: 'pulled the plug' })
    expect(heard(fencer, { said: { ...said, state: 'failed' } })).toMatchObject({ state: 'failed' })
    expect(heard(fencer, { said, ageSeconds: 200 })).not.toBeNull()
    expect(heard(fencer, { said, ageSeconds: -200 })).not.toBeNull()
  })

  test('believes nothing that is forged, old, changed on the way, or meant for another fence, fencer or order', async () => {
    const { receiver, fencer, ticket } = await ordered()
    const said = { fence: 'f00', ticket, state: 'fenced' }
    const good = signedCallback(SECRET, said)
    const order = receiver.server.calls.at(-1)
    const header = (name: string) => String(order?.headers[name])
    const deliveries: Readonly<Record<string, Sent>> = {
      'another key': { said, secret: 'another key that is as long' },
      'signed ten minutes ago': { said, ageSeconds: 600 },
      'signed in ten minutes': { said, ageSeconds: -600 },
      'no signature': { said, headers: { 'fencegate-timestamp': good.headers['fencegate-timestamp'] } },
      'no timestamp': { said, headers: { 'fencegate-signature': good.headers['fencegate-signature'] } },
      'a timestamp that was put in place of the signed one': {
        said,
        headers: {
          ...signedCallback(SECRET, said, 600).headers,
          'fencegate-timestamp': good.headers['fencegate-timestamp'],
        },
      },
      'another body under the signature': {
        said,
        text: good.text.replace('fenced', 'failed'),
        headers: good.headers,
      },
      'sent on to another fence': { said, fenceId: 'f01' },
      'about another fence than the path': { said: { ...said, fence: 'f01' } },
      'sent on to another fencer with the same key': { said, fencer: 'other' },
      'the ticket of one order with the number of another': {
        said: { ...said, ticket: ticket.replace(/^1/, '2') },
      },
      'a guessed ticket': { said: { ...said, ticket: `1.${'0'.repeat(64)}` } },
      'no ticket': { said: { ...said, ticket: '' } },
      'a state that there is not': { said: { ...said, state: 'pending' } },
      'no JSON': { said, text: 'fenced', headers: good.headers },
      'our own order, sent back': {
        said,
        text: order?.text ?? '',
        headers: {
          'fencegate-timestamp': header('fencegate-timestamp'),
          'fencegate-signature': header('fencegate-signature'),
        },
      },
    }
    expect(heard(fencer, { said })).not.toBeNull()
    for (const [name, sent] of Object.entries(deliveries)) expect(heard(fencer, sent), name).toBeNull()
  })

  test('waits for the word, and takes a failure, silence or a contradiction for none', async () => {
    const { receiver, fencer } = await ordered()
    const seen = async (...callbacks: readonly FenceCallback[]) =>
      await fencer.verify(INFO, anAttemptNow({ fencer: 'service', number: 2, callbacks }))
    expect(await seen()).toMatchObject({
      state: 'unknown',
      reason: expect.stringContaining('has not called back'),
    })
    expect((await seen(calledBack('failed'))).state).toBe('not-fenced')
    expect((await seen(calledBack('fenced'), calledBack('failed'))).state).toBe('unknown')
    expect(await seen(calledBack('failed'), calledBack('fenced', 2))).toMatchObject({
      state: 'fenced',
      evidence: {
        observed: expect.stringContaining('pulled the plug'),
        request: 'callback to the order f00-2',
      },
    })
    // A service that calls back is not polled.
    expect(receiver.server.calls.filter(({ method }) => method === 'GET')).toEqual([])
  })

  test('asks for the status as well where it is told to, and what is asked now counts more than what was called back', async () => {
    const { receiver, fencer } = await ordered({ statusPath: '/{{fence.id}}' })
    const seen = async (...callbacks: readonly FenceCallback[]) =>
      (await fencer.verify(INFO, anAttemptNow({ fencer: 'service', callbacks }))).state
    expect(await seen()).toBe('fenced')
    receiver.mode = 'failed'
    receiver.fenced.clear()
    expect(await seen(calledBack('fenced'))).toBe('not-fenced')
  })

  test.each(BLINDING)(
    'a word that was called back counts where the status is answered by "%s"',
    async (kind) => {
      const { receiver, fencer } = await ordered({ statusPath: '/{{fence.id}}' })
      receiver.server.fault(kind)
      const callbacks = [calledBack('fenced')]
      expect((await fencer.verify(INFO, anAttemptNow({ fencer: 'service', callbacks }))).state).toBe('fenced')
      expect((await fencer.verify(INFO, anAttemptNow({ fencer: 'service' }))).state).toBe('unknown')
    },
  )

  test('a word about calls has to be asked for: it may be older than the last seal', async () => {
    const more = { statusPath: '/{{fence.id}}', proves: ['no-new-calls', 'blocks'] }
    const { receiver, fencer } = await ordered(more)
    receiver.server.fault('error')
    const callbacks = [calledBack('fenced')]
    expect((await fencer.verify(INFO, anAttemptNow({ fencer: 'service', callbacks }))).state).toBe('unknown')
    expect(parse({ callback: CALLBACK, ...more }).success).toBe(true)
    expect(parse({ callback: CALLBACK, monitorPath: '/h', proves: ['blocks'] }).error?.message).toContain(
      'no-new-calls alone',
    )
  })

  test('wants a way to ask whether the service is there, and uses it', async () => {
    expect(parse({ callback: CALLBACK }).error?.message).toContain('a service that only calls back')
    const { receiver, fencer } = await start({ monitorPath: '/monitor' })
    await expect(fencer.monitor({ ...context, signal: AbortSignal.timeout(5_000) })).rejects.toThrow(
      'GET /monitor',
    )
    expect(receiver.server.calls.at(-1)?.path).toBe('/monitor')
  })

  test('an order to undo is not answered by a word about the fence', async () => {
    const { receiver, fencer } = await start({ monitorPath: '/health', unfence: true })
    await fencer.unfence?.(INFO, anAttemptNow({ fencer: 'service' }))
    expect(receiver.answerable.size).toBe(0)
  })
})
