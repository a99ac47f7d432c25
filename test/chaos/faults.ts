// Carries out the faults of a scenario, one after another and some over one another, and writes down when each began and ended.

import { setTimeout as sleep } from 'node:timers/promises'
import { EtcdJson } from './etcd-json.ts'
import { nowMs } from './log.ts'
import type { Program } from './processes.ts'
import type { FaultKind, PlannedFault } from './scenario.ts'
import { CREDENTIAL, type GatewayParty, PREFIX, type World } from './world.ts'

export interface InjectedFault {
  readonly kind: FaultKind
  readonly victim: string
  readonly beganAtMs: number
  endedAtMs: number | null
}

const CLOCK_JUMPS_MS = [-86_400_000, -3_600_000, -30_000, 30_000, 3_600_000, 86_400_000 * 365]
const SLOW_MS_MAX = 250
/** How long a fault waits for a victim that no other fault has in hand. */
const PATIENCE_MS = 15_000
/** Past the end of the run's time: a fault is over when its victim goes on, and one that hangs may never. */
const HEAL_MS_MAX = 60_000

export class Faults {
  readonly injected: InjectedFault[] = []
  /** Faults that were planned and could not be had, with the reason. */
  readonly left = new Map<FaultKind, string>()
  readonly #world: World
  readonly #etcd: EtcdJson
  readonly #running = new Map<Promise<void>, FaultKind>()
  /** A party that one fault has in hand is left alone by the others. */
  readonly #busy = new Set<string>()

  constructor(world: World) {
    this.#world = world
    this.#etcd = new EtcdJson(world.endpoints)
  }

  /** Until the last one is over and healed. */
  async run(): Promise<void> {
    const { faults, durationMs } = this.#world.scenario
    const beganAtMs = nowMs()
    for (const fault of faults) {
      await sleep(Math.max(0, beganAtMs + fault.atMs - nowMs()))
      const reason = this.#world.network.missing.get(fault.kind)
      if (reason !== undefined) {
        this.left.set(fault.kind, reason)
        continue
      }
      const done = this.#strike(fault).catch((error: unknown) => {
        this.left.set(fault.kind, String(error))
      })
      this.#running.set(done, fault.kind)
      void done.finally(() => this.#running.delete(done))
    }
    await sleep(Math.max(0, beganAtMs + durationMs - nowMs()))
    const late = new AbortController()
    const patience = sleep(HEAL_MS_MAX, null, { signal: late.signal }).catch(() => null)
    await Promise.race([Promise.all(this.#running.keys()), patience])
    late.abort()
    for (const kind of this.#running.values())
      this.left.set(kind, `its victim did not go on within ${HEAL_MS_MAX / 1_000} s after all was over`)
  }

  async #strike(fault: PlannedFault): Promise<void> {
    const { kind, victim, durationMs } = fault
    const { gateways, etcd, holders, network } = this.#world
    switch (kind) {
      case 'gateway-stop':
        return this.#onGateway(fault, ({ program }) => this.#stop(program, durationMs))
      case 'gateway-kill':
        return this.#onGateway(fault, (gateway) => this.#restartGateway(gateway, 'SIGKILL', durationMs))
      case 'gateway-end':
        return this.#onGateway(fault, (gateway) => this.#restartGateway(gateway, 'SIGTERM', durationMs))
      case 'holder-stop': {
        // Those that go on with an old token are who this is about.
        const stubborn = holders.filter(({ name }) => name.includes('stubborn'))
        return this.#on(fault, stubborn.length > 0 ? stubborn : holders, (holder) =>
          this.#stop(holder, durationMs),
        )
      }
      case 'holder-kill':
        return this.#on(fault, holders, async (holder) => {
          await holder.end()
          await sleep(durationMs)
          await this.#world.startHolder(holder)
        })
      case 'etcd-stop':
        return this.#onMember(fault, (member) => this.#stop(member, durationMs))
      case 'etcd-kill':
        return this.#onMember(fault, async (member) => {
          await member.end()
          await sleep(durationMs)
          await member.start(false)
        })
      case 'etcd-slow':
        return this.#onMember(fault, async (member) => {
          const untilMs = nowMs() + durationMs
          while (nowMs() < untilMs) {
            await this.#stop(member, 80)
            await sleep(20)
          }
        })
      case 'store-outage':
        return this.#onMember(fault, async (member) => {
          const other = etcd.find((one) => one !== member) ?? member
          await Promise.all([member, other].map((one) => this.#stop(one, durationMs)))
        })
      case 'store-compaction':
        return this.#onGateway(fault, async ({ program }) => {
          program.signal('SIGSTOP')
          try {
            await sleep(durationMs)
            await this.#etcd.compact(this.#world.observer.latest)
          } finally {
            program.signal('SIGCONT')
          }
        })
      case 'cut-gateway-etcd':
        return this.#onGateway(fault, ({ name }) =>
          this.#cut(
            etcd.flatMap((member) => bothWays(name, member.name)),
            durationMs,
          ),
        )
      case 'cut-gateway-etcd-one-way':
        return this.#onGateway(fault, ({ name }) =>
          this.#cut(
            etcd.map((member): Way => (victim % 2 === 0 ? [member.name, name] : [name, member.name])),
            durationMs,
          ),
        )
      case 'cut-gateway-backend':
        return this.#onGateway(fault, ({ name }) => this.#cut(bothWays(name, 'backend'), durationMs))
      case 'cut-holder-gateways':
        return this.#on(fault, holders, ({ name }) =>
          this.#cut(
            gateways.flatMap((gateway) => bothWays(name, gateway.name)),
            durationMs,
          ),
        )
      case 'cut-etcd-peers':
        return this.#onMember(fault, ({ name }) =>
          this.#cut(
            etcd.filter((other) => other.name !== name).flatMap((other) => bothWays(name, other.name)),
            durationMs,
          ),
        )
      case 'slow-links':
        return this.#onGateway(fault, async ({ name }) => {
          // Lost again and again, a call could come later than any quiet time.
          const others = etcd.map((member) => member.name)
          if (network.kind === 'relays') others.push('backend')
          const ways = others.flatMap((other) => bothWays(name, other))
          for (const [from, to] of ways) network.slow(from, to, SLOW_MS_MAX)
          await sleep(durationMs)
          for (const [from, to] of ways) network.slow(from, to, 0)
        })
      case 'backend-loses':
        return this.#on(fault, [this.#world.backend], async (backend) => {
          backend.send({ loses: true })
          await sleep(durationMs)
          backend.send({ loses: false })
        })
      case 'clock-jump':
        return this.#onGateway(fault, async ({ program }) => {
          program.send({ wallOffsetMs: CLOCK_JUMPS_MS[victim % CLOCK_JUMPS_MS.length] ?? 0 })
          await sleep(durationMs)
          program.send({ wallOffsetMs: 0 })
        })
      case 'order-fence':
        return this.#order(fault)
    }
  }

  async #onGateway(fault: PlannedFault, act: (gateway: GatewayParty) => Promise<void>): Promise<void> {
    return this.#on(fault, this.#world.gateways, act)
  }

  /** One member at a time: two are an outage of the store, which is a fault of its own. */
  async #onMember(fault: PlannedFault, act: (member: Program) => Promise<void>): Promise<void> {
    const deadlineMs = nowMs() + PATIENCE_MS
    while (this.#busy.has('etcd') && nowMs() < deadlineMs) await sleep(50)
    this.#busy.add('etcd')
    try {
      await this.#on(fault, this.#world.etcd, act)
    } finally {
      this.#busy.delete('etcd')
    }
  }

  async #on<Victim extends { readonly name: string }>(
    fault: PlannedFault,
    victims: readonly Victim[],
    act: (victim: Victim) => Promise<void>,
  ): Promise<void> {
    const deadlineMs = nowMs() + PATIENCE_MS
    let free = victims.filter(({ name }) => !this.#busy.has(name))
    while (free.length === 0 && nowMs() < deadlineMs) {
      await sleep(50)
      free = victims.filter(({ name }) => !this.#busy.has(name))
    }
    const victim = free[fault.victim % free.length]
    if (victim === undefined) throw new Error('every possible victim is in the hands of another fault')
    this.#busy.add(victim.name)
    const entry = this.#begin(fault.kind, victim.name)
    try {
      await act(victim)
    } finally {
      entry.endedAtMs = nowMs()
      this.#busy.delete(victim.name)
    }
  }

  #begin(kind: FaultKind, victim: string): InjectedFault {
    const entry: InjectedFault = { kind, victim, beganAtMs: nowMs(), endedAtMs: null }
    this.injected.push(entry)
    return entry
  }

  async #stop(program: Program, durationMs: number): Promise<void> {
    program.signal('SIGSTOP')
    await sleep(durationMs)
    program.signal('SIGCONT')
  }

  async #restartGateway(
    gateway: GatewayParty,
    how: 'SIGKILL' | 'SIGTERM',
    durationMs: number,
  ): Promise<void> {
    await gateway.program.end(how)
    await sleep(durationMs)
    await this.#world.startGateway(gateway)
  }

  async #cut(ways: readonly Way[], durationMs: number): Promise<void> {
    const { network } = this.#world
    for (const [from, to] of ways) network.cut(from, to)
    await sleep(durationMs)
    for (const [from, to] of ways) network.heal(from, to)
  }

  async #order(fault: PlannedFault): Promise<void> {
    const keys = this.#world.observer.current().keys()
    const sessions = [...keys].flatMap((key) =>
      key.startsWith(`${PREFIX}/canaries/`) ? [key.slice(PREFIX.length + 10)] : [],
    )
    const session = sessions[fault.victim % sessions.length]
    if (session === undefined) throw new Error('nobody has a session')
    const entry = this.#begin('order-fence', session)
    this.#world.log({ what: 'ordered', atMs: nowMs(), session })
    for (const gateway of this.#world.gateways) {
      const answer = await operate(gateway, `/v1/sessions/${session}/fence`)
      if (answer !== null) break
    }
    entry.endedAtMs = nowMs()
  }
}

type Way = readonly [from: string, to: string]

function bothWays(a: string, b: string): Way[] {
  return [
    [a, b],
    [b, a],
  ]
}

/** An operator's word; its status, or null where there was no answer. */
export async function operate(gateway: GatewayParty, path: string): Promise<number | null> {
  try {
    const answer = await fetch(`${gateway.control}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${CREDENTIAL}`, 'content-type': 'application/json' },
      body: JSON.stringify({ by: 'chaos', reason: 'the test says so' }),
      signal: AbortSignal.timeout(2_000),
    })
    await answer.text()
    return answer.status
  } catch {
    return null
  }
}
