// One run from beginning to end: everybody is started, the faults strike, all is healed, what is left is waited for, and the
// checker of the simulation judges what came of it.

import { setTimeout as sleep } from 'node:timers/promises'
import { check, type Violation } from '../sim/checker.ts'
import { Faults, type InjectedFault, operate } from './faults.ts'
import { nowMs, type PartyLine, readLogs } from './log.ts'
import { firstSightings, mergeHistory } from './merge.ts'
import type { Network } from './network/network.ts'
import type { SeenRevision } from './observer.ts'
import type { FaultKind, Scenario } from './scenario.ts'
import { CREDENTIAL, type GatewayParty, PREFIX, World } from './world.ts'

export interface ChaosRun {
  readonly scenario: Scenario
  readonly network: string
  readonly beganAtMs: number
  readonly endedAtMs: number
  readonly injected: readonly InjectedFault[]
  readonly left: ReadonlyMap<FaultKind, string>
  readonly lines: readonly PartyLine[]
  readonly store: readonly SeenRevision[]
  readonly sightings: readonly number[]
  readonly violations: readonly Violation[]
  readonly events: number
  readonly holdersLost: number
  /** Who was killed as he hung, and how. */
  readonly hung: readonly string[]
}

const SETTLE_MS_MAX = 45_000
const ENOUGH_MS_MAX = 60_000
/** Nothing is proven where nothing has happened. */
export const ENOUGH = { admitted: 100, grants: 15 } as const
const PROBE_SECONDS = 10

export async function runScenario(options: {
  readonly scenario: Scenario
  readonly network: Network
  readonly say: (text: string) => void
  /** Of this run alone; it stays when the run is over. */
  readonly folder: string
  /** Ends as soon as a promise is seen broken. */
  readonly hasty: boolean
}): Promise<ChaosRun> {
  const { scenario, network, say, folder, hasty } = options
  const world = new World(scenario, network, folder)
  try {
    await world.start()
    say('everybody runs')
    const beganAtMs = nowMs()
    const faults = new Faults(world)
    const struck = faults.run()
    let broken = false
    if (hasty) {
      let over = false
      void struck.finally(() => {
        over = true
      })
      await waitFor(() => over || seenBroken(world), scenario.durationMs * 2)
      broken = seenBroken(world)
    }
    if (!broken) await struck
    const endedAtMs = nowMs()
    say('all is healed; waiting for what is left')
    // On a busy machine it takes a while until enough has happened to judge by, or something has gone wrong where it must.
    const enough = () => (scenario.route === 'gateway' ? hasSeenEnough(world) : seenBroken(world))
    if (!broken) await waitFor(enough, ENOUGH_MS_MAX)
    await world.endHolders()
    await Promise.all(world.gateways.map((gateway) => waitFor(() => gateway.ready, 20_000)))
    // Where nothing is enforced, only what it leads to counts.
    say('the holders have ended')
    const settles = scenario.route === 'gateway' && !broken
    const settled = settles && (await settle(world))
    if (settles) world.log({ what: 'settled', atMs: nowMs() })
    if (settled) await Promise.all(scenario.locks.map((lock, i) => probe(world, lock, i)))
    await world.observer.caughtUp(10_000)
    await world.close()
    const { lines, store, violations, events } = judge(world)
    return {
      scenario,
      network: network.kind,
      beganAtMs,
      endedAtMs,
      injected: faults.injected,
      left: faults.left,
      lines,
      store,
      sightings: firstSightings(lines, store),
      violations,
      events,
      holdersLost: world.holdersLost,
      hung: world.hung,
    }
  } finally {
    await world.close()
  }
}

function judge(world: World): Pick<ChaosRun, 'lines' | 'store' | 'violations' | 'events'> {
  const lines = readLogs(world.logs)
  const store = world.observer.history()
  const history = mergeHistory({ lines, store, prefix: PREFIX, route: world.scenario.route })
  return { lines, store, violations: check(history), events: history.length }
}

function hasSeenEnough(world: World): boolean {
  const lines = readLogs(world.logs)
  const count = (what: PartyLine['what']) => lines.filter((line) => line.what === what).length
  return count('admitted') >= ENOUGH.admitted && count('granted') >= ENOUGH.grants
}

/** While a run goes on, a log may be read before what another one speaks of: only what is whole by itself counts. */
function seenBroken(world: World): boolean {
  return judge(world).violations.some(
    ({ promise, detail }) =>
      promise !== 'I8' && !detail.includes('without having been') && !detail.includes('never opened'),
  )
}

/** Whether no lock is held, waited for or in a handover any more. An operator confirms what is blocked. */
async function settle(world: World): Promise<boolean> {
  const confirmed = new Set<string>()
  return waitFor(async () => {
    let busy = 0
    for (const [key, { value }] of world.observer.current()) {
      if (key.startsWith(`${PREFIX}/lock-records/`) || key.startsWith(`${PREFIX}/locks/`)) busy++
      if (!key.startsWith(`${PREFIX}/fences/`)) continue
      const id = key.slice(key.lastIndexOf('/') + 1)
      if (value.includes('"state":"closed"')) continue
      busy++
      if (!value.includes('"state":"blocked"') || confirmed.has(id)) continue
      const gateway = world.gateways.find(({ ready }) => ready)
      if (gateway !== undefined && (await operate(gateway, `/v1/fences/${id}/confirm`)) === 200) {
        confirmed.add(id)
        world.log({ what: 'confirmed', atMs: nowMs(), session: id })
      }
    }
    return busy === 0 && (await world.observer.caughtUp(1_000))
  }, SETTLE_MS_MAX)
}

/** Whoever asks for a lock now gets it, at any gateway. */
async function probe(world: World, lock: string, index: number): Promise<void> {
  const gateway = world.gateways[index % world.gateways.length]
  if (gateway === undefined) return
  let detail = ''
  let granted = false
  // One that stood still past its lease ends itself only when it wakes, and is then started again.
  await waitFor(() => isAtHome(gateway), 20_000)
  try {
    const session = await ask(gateway, 'POST', '/v1/sessions', { ttl: 15, holder: { id: 'probe' } })
    const { session: id } = JSON.parse(session.text)
    const path = `/v1/locks/${encodeURIComponent(lock)}`
    const grant = await ask(gateway, 'POST', path, { session: id, wait: PROBE_SECONDS })
    granted = grant.status === 201
    detail = `${grant.status} ${grant.text.slice(0, 500)}`
    world.log({
      what: 'release-asked',
      atMs: nowMs(),
      id: -1 - index,
      lock: null,
      session: id,
      gateway: gateway.name,
    })
    const closed = await ask(gateway, 'DELETE', `/v1/sessions/${id}`, null)
    world.log({
      what: 'release-answered',
      atMs: nowMs(),
      id: -1 - index,
      how: closed.status === 204 ? 'done' : 'failed',
    })
  } catch (error) {
    detail = String(error)
  }
  world.log({ what: 'probed', atMs: nowMs(), lock, granted, detail })
}

async function isAtHome({ control, ready }: GatewayParty): Promise<boolean> {
  if (!ready) return false
  const answer = await fetch(`${control}/readyz`, { signal: AbortSignal.timeout(1_000) }).catch(() => null)
  await answer?.text()
  return answer?.ok === true
}

async function ask(
  gateway: GatewayParty,
  method: string,
  path: string,
  body: unknown,
): Promise<{ readonly status: number; readonly text: string }> {
  const answer = await fetch(`${gateway.control}${path}`, {
    method,
    headers: { authorization: `Bearer ${CREDENTIAL}`, 'content-type': 'application/json' },
    ...(body === null ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout((PROBE_SECONDS + 5) * 1_000),
  })
  return { status: answer.status, text: await answer.text() }
}

async function waitFor(holds: () => boolean | Promise<boolean>, waitMs: number): Promise<boolean> {
  const deadlineMs = nowMs() + waitMs
  while (!(await holds())) {
    if (nowMs() > deadlineMs) return false
    await sleep(500)
  }
  return true
}
