// A gateway on which nothing is enforced yet, and a holder that dies there: he is not struck, and nobody waits for it.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { GatewayFolder } from '../../support/gateway-process.ts'
import { ControlClient, type HolderProcess, send, startHolder } from '../../support/holder.ts'

const patient = { timeout: 15_000, interval: 30 }
/** Starting a gateway takes most of it, on a machine that is busy. */
const TWO_GATEWAYS_MS_MAX = 90_000
const LOCK = 'cinder/volume/5aa1f3d2-0000-4000-8000-000000000001'

let folder: GatewayFolder
let holder: HolderProcess

beforeEach(async () => {
  folder = new GatewayFolder()
  holder = await startHolder()
})
afterEach(async () => {
  holder.kill()
  await folder.remove()
})

function configure(enforce: boolean): void {
  folder.configure({
    backends: {
      volumes: { listen: '127.0.0.1:0', upstream: 'http://127.0.0.1:9', policy: 'cinder', quiet: 1, enforce },
    },
    fencers: {
      kill: { driver: 'process' },
      hook: { driver: 'exec', command: ['/usr/bin/touch', join(folder.path, 'struck')] },
    },
    plans: { kill: { levels: [['hook', 'kill']], attempts: 1, timeout: 5 } },
    defaultPlan: 'kill',
  })
}

/** The holder's session; it is not renewed. */
async function hold(control: ControlClient): Promise<string> {
  const session = await control.openSession({ ttl: 3, holder: 'volume-1', fenceInfo: { pid: holder.pid } })
  await control.take(LOCK, session)
  return session
}

it('says whom it would have struck, strikes nobody, and lets the next one in; enforced, it strikes', {
  timeout: TWO_GATEWAYS_MS_MAX,
}, async () => {
  configure(false)
  const shadow = await folder.start()
  expect(shadow.output()).toContain('fences strike nobody')
  const control = new ControlClient(shadow.control)
  const first = await hold(control)
  const second = await control.openSession({ ttl: 60, holder: 'volume-2', fenceInfo: { pid: process.pid } })
  await control.take(LOCK, second, 10)
  const fence = await control.fence(first)
  expect(fence).toMatchObject({ state: 'closed', outcome: 'unfenced', shadow: true, proofs: [] })
  expect(JSON.stringify(fence?.['attempts'])).toContain(`would strike process:`)

  // An operator's order is no other.
  const ordered = { by: 'ops', reason: 'a try' }
  await send(`${control.base}/v1/sessions/${second}/fence`, { body: ordered })
  await expect.poll(async () => (await control.fence(second))?.['outcome'], patient).toBe('unfenced')
  expect(existsSync(join(folder.path, 'struck'))).toBe(false)
  expect((await holder.send(`${control.base}/livez`)).status).toBe(200)
  await shadow.stop()

  configure(true)
  const enforced = new ControlClient((await folder.start()).control)
  const third = await hold(enforced)
  await holder.gone
  await expect.poll(async () => (await enforced.fence(third))?.['attempts'], patient).toHaveLength(2)
  expect(existsSync(join(folder.path, 'struck'))).toBe(true)
})
