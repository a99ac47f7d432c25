// Holders: programs that open sessions, take locks, make calls with their tokens, and now and then forget to renew, come
// back too late, hang up, or die. They know only what they were told.

import { GatewayError } from '../../gateway/core/errors.ts'
import type { LockMode, LockName, SessionId } from '../../gateway/core/names.ts'
import type { Locking } from '../../gateway/locking/locking.ts'
import { StoreUnavailable } from '../../gateway/spi/store.ts'
import type { SimulatedBackend } from './backend.ts'
import type { Gateways, RunningGateway } from './gateways.ts'
import type { HistoryEvent } from './history.ts'
import { LOGIN_KEY } from './logins.ts'
import type { Marks } from './marks.ts'
import type { Profile } from './profile.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

export interface HolderOptions {
  readonly name: string
  readonly scheduler: Scheduler
  readonly random: Random
  readonly profile: Profile
  readonly marks: Marks
  readonly gateways: Gateways
  readonly backend: SimulatedBackend
  readonly record: (event: HistoryEvent) => void
  readonly crashed: (gateway: string, error: unknown) => void
  readonly calm: () => boolean
  /** Numbers for releases and processes, one series in a run. */
  readonly nextId: () => number
}

interface Held {
  readonly lock: LockName
  readonly mode: LockMode
  readonly token: number
  readonly session: SessionId
}

const REMEMBERED_MAX = 6

export class Holder {
  readonly #options: HolderOptions
  #session: SessionId | null = null
  #ttlMs = 0
  #held: Held[] = []
  /** Tokens of earlier grants too: a holder that came back too late still believes in them. */
  #remembered: Held[] = []
  #busy = false
  #asleepUntilMs = 0
  /** Asleep, but for its calls: what renews has died, what works has not noticed. */
  #stuck = false
  #life = 0
  #pid: number
  /** Given back last, and soon wanted again. */
  #released: LockName | null = null
  #retired = false

  constructor(options: HolderOptions) {
    this.#options = options
    this.#pid = options.nextId()
    this.#act()
    this.#makeCalls()
    this.#renew()
  }

  get name(): string {
    return this.#options.name
  }

  get session(): SessionId | null {
    return this.#session
  }

  /** Lets everything lapse. */
  retire(): void {
    this.#retired = true
  }

  /** kill -9, if the process with this pid is this holder. */
  kill(pid: number): void {
    if (pid === this.#pid) this.#forget()
  }

  /** An operator has stopped it, for good: whoever comes in its place remembers nothing. */
  stop(): void {
    this.#forget()
  }

  /** Neither renews nor works for longer than its session lasts, and then goes on. */
  fallSilent(): void {
    this.#asleepUntilMs = this.#options.scheduler.nowMs + this.#ttlMs * 3
    this.#stuck = false
  }

  isDead(pid: number): boolean {
    return pid !== this.#pid
  }

  get #awake(): boolean {
    return !this.#retired && this.#options.scheduler.nowMs >= this.#asleepUntilMs
  }

  #act(): void {
    const { scheduler, random, profile, calm } = this.#options
    scheduler.after(random.between(0.05, 1) * profile.idleMsMax, () => this.#act())
    if (!this.#awake || this.#busy || calm()) return
    if (this.#session === null) {
      this.#open()
      return
    }
    const dice = random.unit()
    if (random.chance(profile.restlessProbability)) {
      if (dice < 0.4) this.#close()
      else if (dice < 0.6) this.#forget()
      else this.#sleep()
    } else if (dice < 0.55) this.#acquire()
    else if (dice < 0.88) this.#release()
    else if (dice < 0.96) this.#changeMode()
  }

  #sleep(): void {
    const { scheduler, random, profile } = this.#options
    this.#asleepUntilMs = scheduler.nowMs + this.#ttlMs * random.between(0.5, 3)
    this.#stuck = random.chance(profile.stuckProbability)
  }

  #renew(): void {
    const { scheduler, random } = this.#options
    scheduler.after(this.#ttlMs === 0 ? 300 : this.#ttlMs / 4, () => this.#renew())
    const session = this.#session
    if (!this.#awake || session === null) return
    const life = this.#life
    this.#ask((locking) => locking.plane.keepAlive(session), {
      done: (info) => {
        // He is told that it is over, and mostly believes it.
        if (info === null && this.#life === life && random.chance(0.8)) this.#leave()
      },
      failed: () => undefined,
    })
  }

  #makeCalls(): void {
    const { scheduler, random, profile, backend, calm } = this.#options
    scheduler.after(random.between(0.05, 0.6) * profile.idleMsMax, () => this.#makeCalls())
    if (!(this.#awake || (this.#stuck && !this.#retired)) || calm()) return
    const isOld = random.chance(profile.oldTokenProbability)
    const old = random.chance(0.5) ? (this.#remembered.at(-1) ?? null) : random.pick(this.#remembered)
    const first = isOld ? old : random.pick(this.#held)
    if (first === null) return
    const second = random.chance(profile.multiLockProbability)
      ? random.pick(this.#held.filter((other) => other.lock !== first.lock))
      : null
    const caller = { session: first.session, held: second === null ? [first] : [first, second] }
    // Sent twice, where the client has not heard in time.
    for (let times = random.chance(0.05) ? 2 : 1; times > 0; times--) {
      const asked = this.#anyGateway()
      if (asked === null) return
      const { gateway, locking } = asked
      scheduler.after(this.#wayMs(), () =>
        gateway.process.deliver(() => backend.call(caller, gateway.process, locking)),
      )
    }
  }

  #anyGateway(): ReturnType<Gateways['any']> {
    const { gateways, random, profile } = this.#options
    return random.chance(profile.newestProbability) ? gateways.newest() : gateways.any()
  }

  /** How long a request is on its way to a gateway. */
  #wayMs(): number {
    const { random, profile, marks, calm } = this.#options
    if (calm() || !random.chance(profile.straggleProbability)) return random.between(0.1, 5)
    marks.hit('request long on its way to the gateway')
    return random.between(500, 10_000)
  }

  #open(): void {
    const { random, profile, scheduler } = this.#options
    this.#busy = true
    const life = ++this.#life
    const plan = random.chance(profile.planProbability) ? random.pick(profile.plans) : null
    if (!random.chance(profile.samePidProbability)) this.#pid = this.#options.nextId()
    const pid = this.#pid
    const ttlMs = Math.round(random.between(1_500, 6_000))
    this.#ask(
      (locking) =>
        locking.plane.openSession({
          ttlMs,
          holder: { id: this.#options.name },
          fenceInfo: { pid, [LOGIN_KEY]: this.#options.name },
          plan,
        }),
      {
        done: (info) => {
          this.#options.record({ kind: 'session-granted', atMs: scheduler.nowMs, session: info.session })
          if (this.#life !== life) return
          this.#session = info.session
          this.#ttlMs = info.ttlMs
          this.#busy = false
        },
        failed: () => this.#idle(life),
      },
    )
    scheduler.after(10_000, () => this.#idle(life))
  }

  #acquire(): void {
    const { random, profile, scheduler, record } = this.#options
    const session = this.#session
    const again = random.chance(0.5) ? this.#released : null
    const lock = again ?? (random.pick(profile.locks) as LockName | null)
    if (session === null || lock === null) return
    const mode: LockMode = random.chance(profile.sharedProbability) ? 'shared' : 'exclusive'
    const waitMs = random.pick([0, 0, 500, 3_000, 15_000]) ?? 0
    const life = this.#life
    const hangUp = new AbortController()
    let answered = false
    this.#busy = true
    record({ kind: 'acquire-asked', atMs: scheduler.nowMs, lock, session })
    const asked = this.#ask(
      (locking) => locking.plane.acquire({ lock, session, mode, waitMs, note: null }, hangUp.signal),
      {
        done: (result, gateway) => {
          answered = true
          if (hangUp.signal.aborted) return
          this.#idle(life)
          if (result.kind !== 'granted') return
          const held: Held = { lock, mode, token: Number(result.grant.token), session }
          record({
            kind: 'granted',
            atMs: scheduler.nowMs,
            lock,
            token: held.token,
            session,
            gateway: gateway.process.name,
          })
          if (this.#life !== life) return
          this.#held = [...this.#held.filter((other) => other.token !== held.token), held]
          this.#remembered = [...this.#remembered, held].slice(-REMEMBERED_MAX)
        },
        failed: (error) => {
          answered = true
          this.#idle(life)
          if (error instanceof GatewayError && error.code === 'session-unknown' && random.chance(0.3))
            this.#leave()
        },
      },
    )
    if (asked === null) {
      this.#idle(life)
      return
    }
    // The client hangs up: now and then at once, and always where no answer comes long after it was due.
    const patienceMs = random.chance(0.2) ? random.between(1, waitMs + 500) : waitMs + 8_000
    scheduler.after(patienceMs, () => {
      if (answered) return
      asked.process.deliver(() => hangUp.abort())
      this.#idle(life)
    })
  }

  #changeMode(): void {
    const { random, scheduler, record } = this.#options
    const held = random.pick(this.#held)
    if (held === null) return
    const { lock, session, token } = held
    const mode: LockMode = random.chance(0.9) === (held.mode === 'shared') ? 'exclusive' : 'shared'
    const waitMs = random.pick([0, 500, 3_000]) ?? 0
    const life = this.#life
    const hangUp = new AbortController()
    this.#busy = true
    record({ kind: 'mode-asked', atMs: scheduler.nowMs, lock, session })
    const asked = this.#ask(
      (locking) =>
        locking.plane.changeMode({ lock, session, token: String(token), mode, waitMs }, hangUp.signal),
      {
        done: (grant, gateway) => {
          this.#idle(life)
          if (hangUp.signal.aborted) return
          const changed: Held = { lock, mode, token: Number(grant.token), session }
          record({
            kind: 'granted',
            atMs: scheduler.nowMs,
            lock,
            token: changed.token,
            session,
            gateway: gateway.process.name,
          })
          if (this.#life !== life) return
          this.#held = [...this.#held.filter((other) => other !== held), changed]
          this.#remembered = [...this.#remembered, changed].slice(-REMEMBERED_MAX)
        },
        failed: () => this.#idle(life),
      },
    )
    scheduler.after(waitMs + 8_000, () => {
      asked?.process.deliver(() => hangUp.abort())
      this.#idle(life)
    })
  }

  #release(): void {
    const { random, scheduler } = this.#options
    const held = random.pick(this.#held)
    if (held === null) return
    this.#held = this.#held.filter((other) => other !== held)
    const { lock, session } = held
    const token = random.chance(0.5) ? held.token : null
    this.#released = lock
    const life = this.#life
    this.#busy = true
    const again = random.chance(0.15) ? 2 : 1
    if (token !== null) this.#options.marks.hit('release that names its token')
    if (again === 2) this.#options.marks.hit('release asked for twice')
    for (let i = 0; i < again; i++) {
      const gateway = this.#ask(
        (locking) => locking.plane.release(lock, session, token === null ? null : String(token)),
        {
          done: () => {
            done?.('done')
            this.#idle(life)
          },
          failed: () => {
            done?.('failed')
            this.#idle(life)
          },
        },
      )
      const done = gateway === null ? null : this.#noteRelease({ lock, token, session }, gateway)
    }
    scheduler.after(10_000, () => this.#idle(life))
  }

  #close(): void {
    const session = this.#session
    if (session === null) return
    const gateway = this.#ask((locking) => locking.plane.closeSession(session), {
      done: () => done?.('done'),
      failed: () => done?.('failed'),
    })
    const done = gateway === null ? null : this.#noteRelease({ lock: null, token: null, session }, gateway)
    if (gateway !== null) this.#leave()
  }

  /** kill -9 of the holder: his session runs out. */
  #forget(): void {
    this.#remembered = []
    this.#stuck = false
    this.#pid = this.#options.nextId()
    this.#leave()
  }

  #leave(): void {
    this.#session = null
    this.#held = []
    this.#life++
    this.#busy = false
  }

  #idle(life: number): void {
    if (this.#life === life) this.#busy = false
  }

  #noteRelease(
    about: { readonly lock: LockName | null; readonly token: number | null; readonly session: SessionId },
    { process }: RunningGateway,
  ): (how: 'done' | 'failed' | 'gateway-died') => void {
    const { scheduler, record } = this.#options
    const id = this.#options.nextId()
    record({ kind: 'release-asked', atMs: scheduler.nowMs, id, ...about, gateway: process.name })
    let answered = false
    const answer = (how: 'done' | 'failed' | 'gateway-died') => {
      if (answered) return
      answered = true
      record({ kind: 'release-answered', atMs: scheduler.nowMs, id, how })
    }
    if (process.alive) process.onDeath.push(() => answer('gateway-died'))
    else answer('gateway-died')
    return answer
  }

  /** Asks one of the gateways; null where there is none. */
  #ask<Answer>(
    request: (locking: Locking) => Promise<Answer>,
    then: {
      readonly done: (answer: Answer, gateway: RunningGateway) => void
      readonly failed: (error: unknown) => void
    },
  ): RunningGateway | null {
    const { scheduler, random, crashed, gateways } = this.#options
    const asked = gateways.steadiest()
    if (asked === null) {
      scheduler.after(100, () => then.failed(null))
      return null
    }
    const { gateway, locking } = asked
    let settled = false
    const settle = (act: () => void) => {
      if (settled) return
      settled = true
      act()
    }
    // The connection breaks, and what has become of the request is not known.
    gateway.process.onDeath.push(() =>
      scheduler.after(random.between(0.1, 50), () => settle(() => then.failed(null))),
    )
    scheduler.after(this.#wayMs(), () =>
      gateway.process.deliver(() => {
        request(locking).then(
          (answer) => settle(() => then.done(answer, gateway)),
          (error: unknown) => {
            if (!(error instanceof GatewayError) && !(error instanceof StoreUnavailable))
              crashed(gateway.process.name, error)
            settle(() => then.failed(error))
          },
        )
      }),
    )
    return gateway
  }
}
