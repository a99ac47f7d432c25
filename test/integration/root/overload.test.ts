// A flood of calls at a backend listener takes neither holders' sessions nor fences nor handovers down with it: the control API has its
// own listener, and no turn of the event loop has more to do than the limits allow.

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { startEchoBackend } from '../../support/echo-backend.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'
import { ask, ControlClient, send } from '../../support/holder.ts'

const FLOOD = fileURLToPath(new URL('./flood-program.ts', import.meta.url))
const Backends = z.object({
  items: z.array(
    z.looseObject({ inFlight: z.number(), connections: z.number(), shed: z.record(z.string(), z.number()) }),
  ),
})
const Owned = z.looseObject({
  owners: z.array(z.looseObject({ afterFences: z.array(z.string()).optional() })),
})
const TTL_SECONDS = 20

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

describe('under a flood of calls', () => {
  test('sessions are renewed, an expired holder is fenced and makes room for the next, and what is too much is shed', async () => {
    const backend = await startEchoBackend()
    closers.push(() => backend.close())
    const folder = new GatewayFolder()
    closers.push(() => folder.remove())
    folder.configure({
      backends: {
        volumes: {
          listen: '127.0.0.1:0',
          upstream: backend.url,
          policy: 'cinder',
          quiet: 1,
          limits: { connections: 150, connectionsPerAddress: 0, calls: 50 },
        },
      },
      fencers: { kill: { driver: 'process', graceMs: 0 } },
      plans: { kill: { levels: [['kill']] } },
      log: { level: 'silent' },
    })
    const gateway = await folder.start()
    const control = new ControlClient(gateway.control)
    const renewed = await control.openSession({ ttl: TTL_SECONDS, holder: 'renewed' })
    const victim = spawn('sleep', ['600'])
    closers.push(async () => void victim.kill('SIGKILL'))
    const silent = await control.openSession({
      ...{ ttl: TTL_SECONDS / 4, holder: 'silent', plan: 'kill' },
      fenceInfo: { pid: victim.pid ?? 0 },
    })
    await control.take('a', renewed)
    await control.take('b', silent)

    const flood = fork(FLOOD, [new URL(gateway.backend('volumes')).port, '250'], { execArgv: [] })
    closers.push(async () => {
      const gone = once(flood, 'exit')
      if (flood.kill('SIGKILL')) await gone
    })
    const state = async () => (await ask(Backends, `${gateway.control}/v1/backends`)).items[0]
    // The flood is there: more than may come has come, and been turned away.
    await expect
      .poll(state, { timeout: 60_000, interval: 100 })
      .toMatchObject({ connections: 150, shed: { connections: expect.any(Number) } })

    const granted = control.take('b', renewed, 60)
    let isGranted = false
    void granted.then(() => (isGranted = true))
    let renewals = 0
    let slowestMs = 0
    // Until the lock of the one who says nothing is handed over.
    while (!isGranted || renewals < 50) {
      const askedMs = performance.now()
      const { status } = await send(`${gateway.control}/v1/sessions/${renewed}/keepalive`, { method: 'POST' })
      slowestMs = Math.max(slowestMs, performance.now() - askedMs)
      expect(status).toBe(200)
      renewals++
      await new Promise<void>((resolve) => setTimeout(resolve, 100))
    }
    expect(Number(await granted)).toBeGreaterThan(0)
    // Not before the former holder was seen to be dead.
    const owned = await ask(Owned, control.lockUrl('b'))
    expect(owned.owners[0]?.afterFences).toEqual([silent])
    await expect.poll(() => victim.signalCode).toBe('SIGKILL')
    expect((await control.lock('a')).owners[0]?.session).toBe(renewed)
    // Each within what a holder has who renews after a third of his time.
    expect(slowestMs).toBeLessThan((TTL_SECONDS * 1000) / 3)
    const last = await state()
    expect(last?.connections).toBeLessThanOrEqual(150)
    expect(last?.inFlight).toBeLessThanOrEqual(50)
  }, 120_000)
})
