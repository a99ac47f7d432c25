// The main job on a volume backend: real gateway processes, real holders, a store of either kind.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startVolumeBackend, type VolumeBackend } from '../../../deploy/sample/volume-backend.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, type HolderProcess, send, startHolder } from '../../support/holder.ts'

const ID = '5aa10000-0000-4000-8000-000000000001'
const LOCK = `cinder/volume/${ID}`
let size = 1
const patient = { timeout: 10_000, interval: 20 }

interface StoreKind {
  readonly name: string
  readonly available: boolean
  /** The `store:` section. */
  section(): Record<string, unknown>
}

let etcd: EtcdCluster | null = null
let prefixes = 0
const KINDS: readonly StoreKind[] = [
  { name: 'embedded', available: true, section: () => ({ embedded: { path: './store' } }) },
  {
    name: 'etcd',
    available: etcdAvailable(),
    section: () => ({ etcd: { endpoints: etcd?.endpoints, prefix: `/story-${++prefixes}` } }),
  },
]

beforeAll(async () => {
  if (etcdAvailable()) etcd = await startEtcd({ members: 1 })
})
afterAll(() => etcd?.stop())

for (const kind of KINDS)
  describe.skipIf(!kind.available)(`a volume behind the gateway, on the ${kind.name} store`, () => {
    let folder: GatewayFolder
    let backend: VolumeBackend
    let gateway: GatewayProcess
    let control: ControlClient
    const holders: HolderProcess[] = []

    beforeEach(async () => {
      folder = new GatewayFolder()
      backend = await startVolumeBackend({ volumes: [{ id: ID, name: 'v', sizeGb: 1 }], workMs: 50 })
      folder.configure({
        store: kind.section(),
        backends: { volumes: { listen: '127.0.0.1:0', upstream: backend.url, policy: 'cinder', quiet: 2 } },
        fencers: { kill: { driver: 'process', graceMs: 200 } },
        plans: { kill: { levels: [['kill']], timeout: 10 } },
        handover: { drainLimit: 5 },
      })
      await startGateway()
    })

    afterEach(async () => {
      for (const holder of holders.splice(0)) holder.kill()
      backend.letGo()
      await folder.remove()
      await backend.close()
    })

    async function startGateway(): Promise<void> {
      gateway = await folder.start()
      control = new ControlClient(gateway.control)
    }

    async function holder(): Promise<HolderProcess> {
      const started = await startHolder()
      holders.push(started)
      return started
    }

    const action = () => `${gateway.backend('volumes')}/v3/p/volumes/${ID}/action`
    const extend = (token: string) => ({
      headers: { 'fencing-token': token },
      body: { 'os-extend': { new_size: ++size } },
    })
    const sealed = () =>
      expect
        .poll(async () => (await control.lock(LOCK)).owners[0]?.state, { ...patient, interval: 1 })
        .toBe('sealed')
    const executed = () => backend.log().filter((call) => call.executedAt !== null).length

    it('kills the holder whose lease ran out with a call in flight, and only then lets the next one in', async () => {
      const first = await holder()
      const session = await control.openSession({
        ttl: 2,
        holder: 'first',
        plan: 'kill',
        fenceInfo: { pid: first.pid },
      })
      const token = await control.take(LOCK, session)
      backend.hold('execution', 1)
      const inFlight = first.send(action(), extend(token)).catch((error: unknown) => error)
      await expect.poll(() => backend.log().length, patient).toBe(1)
      first.freeze()

      const nextSession = await control.openSession({ ttl: 60, holder: 'next' })
      let nextToken: string | null = null
      const taking = control.take(LOCK, nextSession, 60).then((granted) => {
        nextToken = granted
      })
      // Sealed by the store's own clock; nobody asked for it.
      await sealed()
      expect((await send(action(), extend(token))).status).toBe(412)
      await first.gone
      await expect.poll(async () => (await control.fence(session))?.state, patient).toBe('closed')
      expect(await control.fence(session)).toMatchObject({ outcome: 'fenced', proofs: [{ fencer: 'kill' }] })
      // The dead holder's call is still at the backend, so the lock is not handed over.
      expect(nextToken).toBeNull()
      expect((await control.lock(LOCK)).phase).toBe('handover')

      backend.letGo()
      await taking
      expect(Number(nextToken)).toBeGreaterThan(Number(token))
      expect(executed()).toBe(1)
      const allowed = await send(action(), extend(String(nextToken)))
      expect([allowed.status, executed()]).toEqual([202, 2])
      const stale = await send(action(), extend(token))
      expect([stale.status, stale.headers['fencing-verdict'], executed()]).toEqual([412, 'stale-token', 2])
      await inFlight
    })

    it('awaits the work that an answer named before it hands the volume on', async () => {
      const session = await control.openSession({ ttl: 60, holder: 'first' })
      const token = await control.take(LOCK, session)
      const create = await send(action(), extend(token))
      expect(create.status).toBe(202)
      await control.release(LOCK, session)
      const next = await control.openSession({ ttl: 60, holder: 'next' })
      await control.take(LOCK, next, 30)
      expect(backend.log().every((call) => call.completedAt !== null)).toBe(true)
    })

    it('parks a call of the next owner until the handover is over', async () => {
      const session = await control.openSession({ ttl: 60, holder: 'first' })
      const token = await control.take(LOCK, session)
      backend.hold('execution', 1)
      const slow = send(action(), extend(token))
      await expect.poll(() => backend.log().length, patient).toBe(1)
      const next = await control.openSession({ ttl: 60, holder: 'next' })
      const taking = control.take(LOCK, next, 30)
      await expect.poll(async () => (await control.lock(LOCK)).waiters.length, patient).toBe(1)
      const nextToken = (await control.lock(LOCK)).waiters[0]?.token ?? ''
      await control.release(LOCK, session)
      const parked = send(action(), extend(nextToken))
      backend.letGo()
      expect((await slow).status).toBe(202)
      expect((await parked).status).toBe(202)
      expect(await taking).toBe(nextToken)
    })

    it.each(['waiting', 'sealed', 'fencing'] as const)(
      'finishes after a kill -9 what was due when it was %s',
      async (moment) => {
        const first = await holder()
        const session = await control.openSession({
          ttl: 2,
          holder: 'first',
          plan: 'kill',
          fenceInfo: { pid: first.pid },
        })
        const token = await control.take(LOCK, session)
        first.freeze()
        if (moment === 'sealed') await sealed()
        if (moment === 'fencing')
          await expect
            .poll(async () => (await control.fence(session))?.state, { ...patient, interval: 1 })
            .toBe('running')
        await gateway.kill()
        await startGateway()
        // Whatever was written before the kill, the holder is dead before anybody else gets in.
        const next = await control.openSession({ ttl: 60, holder: 'next' })
        const nextToken = await control.take(LOCK, next, 60)
        expect(Number(nextToken)).toBeGreaterThan(Number(token))
        await first.gone
        expect(await control.fence(session)).toMatchObject({ state: 'closed', outcome: 'fenced' })
        expect((await send(action(), extend(token))).status).toBe(412)
        expect((await send(action(), extend(nextToken))).status).toBe(202)
      },
      60_000,
    )

    it('goes on without a new owner after a kill -9 in quiet times', async () => {
      const session = await control.openSession({ ttl: 30, holder: 'first' })
      const token = await control.take(LOCK, session)
      await gateway.kill()
      await startGateway()
      expect((await send(action(), extend(token))).status).toBe(202)
    })

    it('ends on SIGTERM with nothing left open, so that the next gateway owes no quiet time', async () => {
      const session = await control.openSession({ ttl: 30, holder: 'first' })
      const token = await control.take(LOCK, session)
      expect((await send(action(), extend(token))).status).toBe(202)
      expect(await gateway.stop()).toBe(0)
      await startGateway()
      await control.release(LOCK, session)
      const startMs = performance.now()
      await control.take(LOCK, await control.openSession({ ttl: 30, holder: 'next' }), 30)
      expect(performance.now() - startMs).toBeLessThan(1_900)
    })
  })
