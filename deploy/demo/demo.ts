// `npm run demo`: a holder that was paused past its lease writes to a volume, once without the gateway and once with it.
// Real processes, a real lease, real signals; ends with 0 only where every step was observed.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { type LoggedCall, startVolumeBackend, type VolumeBackend } from '../sample/volume-backend.ts'
import { confirm, deplore, expectThat, heading, NotObserved, observations, tell } from './narrative.ts'
import { Holder, startGateway } from './processes.ts'

const ttlSeconds = 2
const workMs = 5_000
const volumes = {
  without: { id: '5aa10000-0000-4000-8000-000000000001', name: 'without', sizeGb: 1 },
  with: { id: '5aa10000-0000-4000-8000-000000000002', name: 'with', sizeGb: 1 },
}

// Times are RFC 3339 in UTC, from one machine's clock: they compare as text.
const Acquired = z.object({ acquiredAt: z.string() })
const Fences = z.object({
  items: z.array(
    z.object({ state: z.string(), outcome: z.literal('fenced'), closedAt: z.string().nullish() }),
  ),
})

interface Stage {
  readonly backend: VolumeBackend
  readonly control: string
  readonly gateway: string
  /** Where the fencer writes down whom it was told to fence. */
  readonly fenceLog: string
  readonly holders: Holder[]
}

const signature = (call: LoggedCall): boolean => call.target.endsWith('/metadata')
const extension = (call: LoggedCall): boolean => call.target.endsWith('/action')
const callsOn = (stage: Stage, id: string): readonly LoggedCall[] =>
  stage.backend.log().filter((call) => call.target.includes(id))

async function writtenBy(stage: Stage, id: string): Promise<string> {
  const answer = await fetch(`${stage.backend.url}/v3/demo/volumes/${id}/metadata`)
  const text = await answer.text()
  return /"written-by":"(?<name>[^"]*)"/.exec(text)?.groups?.['name'] ?? 'nobody'
}

/** Both stories begin alike: A holds the lock, has a call running at the backend, and is stopped past its lease. */
async function paused(
  stage: Stage,
  lock: string,
  volume: string,
): Promise<{ a: Holder; b: Holder; token: number }> {
  const a = new Holder('A', stage.control, volume, lock, ttlSeconds)
  const b = new Holder('B', stage.control, volume, lock, ttlSeconds)
  stage.holders.push(a, b)
  await Promise.all([a.next('session'), b.next('session')])
  a.order('acquire')
  const granted = await a.next('granted')
  expectThat(granted['status'] === 201, `A did not get the lock: ${JSON.stringify(granted)}`)
  confirm(`A (pid ${a.pid}) holds the lock ${lock}, token ${String(granted['token'])}, lease ${ttlSeconds} s`)
  a.order('extend')
  const accepted = await a.next('answered')
  expectThat(accepted['status'] === 202, `the extension was not accepted: ${JSON.stringify(accepted)}`)
  confirm(`A has the volume extended: 202, and the backend works on it for ${workMs / 1000} s`)
  a.stop()
  // It waits in the pipe: what A does first when it wakes up.
  a.order('sign')
  confirm('A is stopped (SIGSTOP) just before its next write; its lease runs out')
  b.order('acquire')
  return { a, b, token: Number(granted['token']) }
}

async function withoutGateway(stage: Stage): Promise<void> {
  const { id } = volumes.without
  heading('Without the gateway: a lock service alone. Calls go straight to the backend.')
  const { a, b } = await paused(stage, `demo/${id}`, `${stage.backend.url}/v3/demo/volumes/${id}`)
  const granted = await b.next('granted')
  expectThat(granted['status'] === 201, `B did not get the lock: ${JSON.stringify(granted)}`)
  const [extend] = callsOn(stage, id).filter(extension)
  expectThat(extend?.completedAt === null, 'the extension of A was over too early')
  deplore(
    `B is given the lock, token ${String(granted['token'])}, while the call of A still runs at the backend`,
  )
  b.order('sign')
  const signed = await b.next('answered')
  expectThat(signed['status'] === 200, `B could not write: ${JSON.stringify(signed)}`)
  confirm('B writes its name on the volume')
  a.wake()
  const stale = await a.next('answered')
  expectThat(stale['status'] === 200, `the stale write was refused: ${JSON.stringify(stale)}`)
  expectThat(callsOn(stage, id).filter(signature).length === 2, 'the log of the backend has another story')
  expectThat((await writtenBy(stage, id)) === 'A', 'the stale write did not land')
  deplore('A wakes up and writes: 200. The backend has A’s name on it; B, the owner, was overwritten')
}

async function withGateway(stage: Stage): Promise<void> {
  const { id } = volumes.with
  heading('With the gateway: the same processes, the same pause. Calls go through fencegate.')
  const { a, b, token } = await paused(stage, `cinder/volume/${id}`, `${stage.gateway}/v3/demo/volumes/${id}`)
  const granted = await b.next('granted')
  expectThat(granted['status'] === 201, `B did not get the lock: ${JSON.stringify(granted)}`)
  const [extend] = callsOn(stage, id).filter(extension)
  const { acquiredAt } = Acquired.parse(granted['said'])
  const completedAt = extend?.completedAt ?? null
  expectThat(completedAt !== null && completedAt <= acquiredAt, 'B came in before the call of A was over')
  confirm('nobody is let in while the call of A runs at the backend; it is over now')
  await observeFence(stage, acquiredAt)
  expectThat(Number(granted['token']) > token, `the token of B is not newer: ${JSON.stringify(granted)}`)
  confirm(`only then B is given the lock, token ${String(granted['token'])}`)
  b.order('sign')
  const signed = await b.next('answered')
  expectThat(signed['status'] === 200, `B could not write: ${JSON.stringify(signed)}`)
  confirm('B writes its name on the volume')
  a.wake()
  const stale = await a.next('answered')
  const verdict = String(stale['verdict'])
  expectThat(
    stale['status'] === 412 && verdict === 'stale-token',
    `A was not refused: ${JSON.stringify(stale)}`,
  )
  expectThat(callsOn(stage, id).filter(signature).length === 1, 'the stale write reached the backend')
  expectThat((await writtenBy(stage, id)) === 'B', 'the volume is not B’s')
  confirm(
    `A wakes up and writes with token ${token}: 412 ${verdict}. It never reached the backend; B’s write stands`,
  )
}

async function tellBoth(stage: Stage): Promise<void> {
  await withoutGateway(stage)
  rmSync(stage.fenceLog, { force: true })
  await withGateway(stage)
}

async function observeFence(stage: Stage, acquiredAt: string): Promise<void> {
  expectThat(existsSync(stage.fenceLog), 'nobody was fenced')
  const orders = readFileSync(stage.fenceLog, 'utf8').trim().split('\n')
  expectThat(
    orders.some((order) => order.includes('"action":"fence"') && order.includes('"A"')),
    `the fencer was called for somebody else: ${orders.join(' ')}`,
  )
  const answer = await fetch(`${stage.control}/v1/fences`)
  const { items } = Fences.parse(await answer.json())
  // That of the story before is among them.
  expectThat(
    items.length === 2 && items.every(({ closedAt }) => closedAt != null && closedAt <= acquiredAt),
    `B came in before A was fenced: ${JSON.stringify(items)}`,
  )
  confirm('A was fenced first: the fencer was run for A, and its record is closed')
  tell(
    '  (This fencer only writes down its order, so that A can wake up and try. A real one would have ended A:',
  )
  tell('  the refusal below is the gateway’s own, which needs no fencer.)')
}

function configure(folder: string, upstream: string): string {
  const record = `require('node:fs').appendFileSync(process.argv[1], require('node:fs').readFileSync(0, 'utf8').trim() + '\\n')`
  const config = {
    store: { embedded: { path: join(folder, 'store') } },
    state: join(folder, 'state'),
    control: { listen: '127.0.0.1:0' },
    backends: { volumes: { listen: '127.0.0.1:0', upstream, policy: 'cinder', quiet: 10 } },
    fencers: {
      recorder: { driver: 'exec', command: [process.execPath, '-e', record, join(folder, 'fenced')] },
    },
    plans: { demo: { levels: [['recorder']] } },
    defaultPlan: 'demo',
  }
  const file = join(folder, 'fencegate.yaml')
  // Every JSON document is a YAML document.
  writeFileSync(file, JSON.stringify(config, null, 2))
  return file
}

/** Rejects when the demo is told to end: a holder that is stopped would outlive it otherwise. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => reject(new NotObserved(`ended by ${signal}`)))
    }
  })
}

async function main(): Promise<void> {
  const interrupted = interruption()
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-demo-'))
  const ending: (() => Promise<void>)[] = []
  try {
    const backend = await startVolumeBackend({ workMs, volumes: Object.values(volumes) })
    ending.push(() => backend.close())
    const gateway = await startGateway(configure(folder, backend.url))
    ending.push(() => gateway.end())
    const stage: Stage = {
      backend,
      control: gateway.control,
      gateway: gateway.volumes,
      fenceLog: join(folder, 'fenced'),
      holders: [],
    }
    ending.push(async () => {
      await Promise.all(stage.holders.map((holder) => holder.end()))
    })
    await Promise.race([tellBoth(stage), interrupted])
    heading(`Every step was observed (${observations()} of them).`)
  } catch (error) {
    if (!(error instanceof NotObserved)) throw error
    heading(`The story went another way: ${error.message}`)
    process.exitCode = 1
  } finally {
    for (const end of ending.reverse()) await end()
    rmSync(folder, { recursive: true, force: true })
  }
}

await main()
// A story that was interrupted still waits for its next step.
process.exit()
