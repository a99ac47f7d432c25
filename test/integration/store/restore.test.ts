// etcd is restored from a snapshot, with etcd's own tools, while real gateways run: what they refuse, what an operator does,
// and that no token comes again.

import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { startVolumeBackend, type VolumeBackend } from '../../../deploy/sample/volume-backend.ts'
import { type EtcdCluster, etcdAvailable, startEtcd } from '../../support/etcd.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send, startHolder } from '../../support/holder.ts'

const MAIN = fileURLToPath(new URL('../../../gateway/main.ts', import.meta.url))
const IDS = ['5aa10000-0000-4000-8000-000000000001', '5aa10000-0000-4000-8000-000000000002'] as const
const [FIRST, SECOND] = IDS.map((id) => `cinder/volume/${id}`) as [string, string]
const PATIENT = { timeout: 60_000, interval: 100 }
const EPOCH = 2 ** 44

const clean: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const step of clean.splice(0).reverse()) await step()
})

let sizeGb = 1

interface Site {
  readonly etcd: EtcdCluster
  readonly backend: VolumeBackend
  readonly snapshot: string
}

async function site(members: 1 | 3): Promise<Site> {
  const etcd = await startEtcd({ members })
  clean.push(() => etcd.stop())
  const backend = await startVolumeBackend({
    volumes: IDS.map((id) => ({ id, name: id, sizeGb: 1 })),
    workMs: 10,
  })
  clean.push(() => backend.close())
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-snapshot-'))
  clean.push(() => rmSync(folder, { recursive: true, force: true }))
  return { etcd, backend, snapshot: join(folder, 'snapshot.db') }
}

/** A gateway's place on a machine of its own, with its own `state:`. */
function place({ etcd, backend }: Site): GatewayFolder {
  const folder = new GatewayFolder()
  clean.push(() => folder.remove())
  folder.configure({
    store: { etcd: { endpoints: etcd.endpoints, prefix: '/fencegate' } },
    backends: { volumes: { listen: '127.0.0.1:0', upstream: backend.url, policy: 'cinder', quiet: 1 } },
    fencers: { kill: { driver: 'process', graceMs: 200 } },
    plans: { kill: { levels: [['kill']], timeout: 10 } },
    handover: { drainLimit: 1 },
  })
  return folder
}

/** What it remembers; 0 where that is nothing yet. */
function markOf(folder: GatewayFolder): number {
  const state = join(folder.path, 'state')
  const [file] = readdirSync(state).filter((name) => /^high-water-mark-\w+$/.test(name))
  if (file === undefined) return 0
  return Number(/"revision":(\d+)/.exec(readFileSync(join(state, file), 'utf8'))?.[1] ?? 0)
}

async function verdict(gateway: GatewayProcess, index: 0 | 1, token: string): Promise<string> {
  const answer = await send(`${gateway.backend('volumes')}/v3/p/volumes/${IDS[index]}/action`, {
    headers: { 'fencing-token': token },
    body: { 'os-extend': { new_size: ++sizeGb } },
  })
  return answer.headers['fencing-verdict'] ?? `admitted ${answer.status}`
}

async function readiness(gateway: GatewayProcess): Promise<string> {
  const { status, body } = await send(`${gateway.control}/readyz`)
  return `${status} ${body}`
}

function cli(
  args: readonly string[],
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { timeout: 90_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, out, err }),
    )
  })
}

describe.skipIf(!etcdAvailable())('etcd restored from a snapshot', () => {
  test.each([1, 3] as const)(
    'with %i member(s): nothing is admitted or written until a new epoch, and no token comes again',
    async (members) => {
      const here = await site(members)
      const { etcd, snapshot } = here
      const [placeA, placeB] = [place(here), place(here)]
      let [a, b] = await Promise.all([placeA.start(), placeB.start()])
      let control = new ControlClient(a.control)
      const holder = await startHolder()
      clean.push(() => holder.kill())

      const owner = await control.openSession({
        ttl: 600,
        holder: 'owner',
        plan: 'kill',
        fenceInfo: { pid: holder.pid },
      })
      const before = await control.take(FIRST, owner)
      expect(await verdict(b, 0, before)).toBe('admitted 202')
      await etcd.saveSnapshot(snapshot)

      // What the snapshot does not have: a new holder of one lock, and the holder of another.
      await control.release(FIRST, owner)
      const later = await control.openSession({ ttl: 600, holder: 'later' })
      const lost = [await control.take(FIRST, later, 30), await control.take(SECOND, later)] as const
      const largest = Math.max(...lost.map(Number))
      for (const folder of [placeA, placeB])
        await expect.poll(() => markOf(folder), PATIENT).toBeGreaterThanOrEqual(largest)

      await etcd.restoreSnapshot(snapshot)
      // The gateways that ran all the time see it by themselves, and say so; what they still hold open they refuse.
      for (const gateway of [a, b]) {
        await expect.poll(() => readiness(gateway), PATIENT).toMatch(/^503 .*restored from an older backup/)
        expect(gateway.output()).toContain('restored from an older backup')
        for (const token of [before, lost[0]])
          expect(await verdict(gateway, 0, token)).toBe('view-not-current')
        expect(await verdict(gateway, 1, lost[1])).toBe('view-not-current')
      }

      // A gateway that remembers nothing serves it, and with it the store passes the others' marks.
      const placeC = place(here)
      const c = await placeC.start()
      expect(c.output()).toContain('mark.missing')
      expect(await readiness(c)).toMatch(/^200/)
      for (let writes = 0; writes < 30; writes++) await etcd.etcdctl(['put', '/elsewhere', String(writes)])
      const config = ['-c', placeA.file]
      const word = ['--by', 'ada', '--reason', 'the disk broke']
      const refused = await cli(['epoch', 'bump', ...config, ...word, '--holders-stopped'])
      expect(refused.err).toMatch(/gateway .* serves this store: stop every gateway/)
      expect(refused.code).toBe(1)
      await c.stop()
      await b.kill()
      b = await placeB.start()
      expect(await readiness(b)).toMatch(/^503 .*the store lacks what this gateway wrote to it/)

      const shown = await cli(['epoch', ...config])
      expect(shown.out).toMatch(/epoch {5}0: begun at .*\n.*\n.*\n.*served {4}no: the store lacks/s)
      expect(shown.code).toBe(1)
      const asked = await cli(['epoch', 'bump', ...config, ...word])
      expect(asked.err).toMatch(/nothing was done.*--holders-stopped/)
      const bumped = await cli(['epoch', 'bump', ...config, ...word, '--holders-stopped'])
      expect(bumped).toMatchObject({ code: 0, out: 'epoch 1 has begun; start the gateways\n' })
      // Without a restart nothing changes.
      expect(await readiness(a)).toMatch(/^503/)
      await Promise.all([a.stop(), b.stop()])
      ;[a, b] = await Promise.all([placeA.start(), placeB.start()])
      control = new ControlClient(a.control)
      for (const gateway of [a, b]) {
        expect(await readiness(gateway)).toMatch(/^200/)
        for (const token of [before, lost[0]]) expect(await verdict(gateway, 0, token)).toBe('stale-token')
        expect(await verdict(gateway, 1, lost[1])).toBe('stale-token')
      }

      // Whom the snapshot shows as the owner is fenced, as nobody knows what he had given back.
      await holder.gone
      await expect.poll(() => control.fence(owner), PATIENT).toMatchObject({ outcome: 'fenced' })
      const next = await control.openSession({ ttl: 600, holder: 'next' })
      const tokens = [await control.take(FIRST, next, 90), await control.take(SECOND, next, 90)] as const
      for (const token of tokens) expect(Number(token)).toBeGreaterThan(EPOCH)
      expect(Math.min(...tokens.map(Number))).toBeGreaterThan(largest)
      expect(await verdict(b, 0, tokens[0])).toBe('admitted 202')
      expect(await verdict(a, 1, tokens[1])).toBe('admitted 202')
      expect(await verdict(a, 0, before)).toBe('stale-token')
      expect((await cli(['epoch', ...config])).code).toBe(0)
    },
    300_000,
  )
})
