// A fence that outlasts its holder, and the operator who has it undone from the command line once the lock has moved on.

import { afterEach, beforeEach, expect, it } from 'vitest'
import { fetchWith } from '../../../gateway/cli/index.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'
import { ControlClient } from '../../support/holder.ts'
import { startWebhookReceiver, type WebhookReceiver } from '../../support/webhook-receiver.ts'
import { run as runWith } from '../../unit/cli/run-with.ts'

const SECRET = 'a shared key of some length'
const patient = { timeout: 15_000, interval: 30 }

let folder: GatewayFolder
let receiver: WebhookReceiver
let control: ControlClient

beforeEach(async () => {
  receiver = await startWebhookReceiver(SECRET)
  folder = new GatewayFolder()
  folder.configure({
    fencers: { service: { driver: 'webhook', url: receiver.server.url, secret: SECRET, unfence: true } },
    plans: { service: { levels: [['service']], timeout: 10 } },
  })
  control = new ControlClient((await folder.start()).control)
})
afterEach(async () => {
  await folder.remove()
  await receiver.server.close()
})

it('is refused until the fence is closed, is done by the fencer, and stands on record with the operator’s name', async () => {
  const environment = { FENCEGATE_CONTROL: control.base, USER: 'ann' }
  const run = (...args: string[]) => runWith(args, { fetchWith, environment })
  receiver.mode = 'slow'
  const session = await control.openSession({
    ttl: 60,
    holder: 'nova-1',
    plan: 'service',
    fenceInfo: { host: 'compute-3' },
  })
  await control.take('vmware/vm/vm-1', session)
  expect((await run('fence', session, '--reason', 'hangs')).code).toBe(0)
  await expect.poll(async () => (await control.fence(session))?.state, patient).toBe('running')
  const early = await run('unfence', session, '--reason', 'too soon')
  expect([early.code, early.err]).toEqual([1, expect.stringContaining('is not closed yet')])

  await expect.poll(() => receiver.orders.size, patient).toBe(1)
  receiver.finish()
  await expect.poll(async () => (await control.fence(session))?.['outcome'], patient).toBe('fenced')
  await expect
    .poll(async () => (await run('unfence', session, '--reason', 'it is back')).code, patient)
    .toBe(0)
  expect([...receiver.orders].filter((order) => order.endsWith('-unfence'))).toEqual([`${session}-2-unfence`])
  const undone = { fencer: 'service', by: 'ann', reason: 'it is back', outcome: 'undone' }
  expect(await control.fence(session)).toMatchObject({ state: 'closed', undone: [undone] })
  expect((await run('fences', session)).out).toMatch(
    /^undone +service: undone \(.*\) by ann: it is back: .*seen afterwards: not-fenced/m,
  )
  expect((await run('unfence', 'a1', '--reason', 'x')).err).toContain('there is no fence "a1"')
})
