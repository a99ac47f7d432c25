// This process as the other gateways know it: registered before it admits its first call, alive while it renews its lease
// and sees its own heartbeat come back, and closed by its own clean exit only. It counts its lease itself, from the moment
// it *sent* the renewal that was answered.

import type { IncarnationId, LeaseId, Revision } from '../core/names.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import { LeaseGone, type Store, StoreUnavailable, type Write } from '../spi/store.ts'
import type { Layout } from './layout.ts'
import { FORMATS, type GatewayRecord, gatewayRecords, type Watermark, watermarks } from './records.ts'

/** For how long a lease is renewed while the view is loaded, and no heartbeat can come back. */
const LOADING_LEASES_MAX = 12

export interface IncarnationOptions {
  readonly store: Store
  readonly layout: Layout
  readonly clock: Clock
  /** Where two incarnations would get the same id, one would speak for the other: 128 random bits. */
  readonly newId: () => string
  readonly name: string
  readonly quietMs: number | null
  /** As text to compare; '' for none. */
  readonly sources: string
  /** It enforces nothing. */
  readonly shadow: boolean
  readonly leaseMs: number
  /** What the next watermark reports; read in one tick, so that revision and exceptions are one snapshot. */
  readonly report: () => Omit<Watermark, 'beat'>
  /** False while there is no watch yet that could bring a heartbeat back. */
  readonly hasLoaded: () => boolean
  /** The lease is over, or its end cannot be told from now on. Called once. */
  readonly onLost: (reason: string) => void
  /** Nothing is admitted any more, as the lease could not be renewed in time. Once until it is renewed. */
  readonly onLapsed: (reason: string) => void
  /** The process stood still across its deadline. It must end before it writes anything. */
  readonly onStopped: (reason: string) => void
}

export class Incarnation {
  readonly id: IncarnationId
  readonly #options: IncarnationOptions
  #lease: LeaseId | null = null
  #ttlMs = 0
  /** Monotonic; admission ends here. Infinity where no other gateway can be alive beside this one. */
  #validUntilMs = Number.NEGATIVE_INFINITY
  #loadingUntilMs = 0
  #beat = 0
  /** What the store last said instead of an answer; null since it answered. */
  #failure: string | null = null
  #lapseTold = false
  #beatSeen = true
  #timer: Timer | null = null
  #writing = false
  #reportAgain = false
  #over = false
  #asking: ((written: Revision | null) => void)[] = []
  #said = 0

  constructor(options: IncarnationOptions) {
    this.#options = options
    this.id = options.newId() as IncarnationId
  }

  get lease(): LeaseId | null {
    return this.#lease
  }

  /** What the latest watermark says to be applied; one that is under way counts, one that failed does not. */
  get said(): number {
    return this.#said
  }

  /** False from the moment at which another gateway could take this one for gone. */
  valid(nowMs: number): boolean {
    return nowMs < this.#validUntilMs
  }

  /** Why it is not valid. */
  get lapse(): string {
    return `the gateway could not renew its lease${this.#failure === null ? '' : `: ${this.#failure}`}`
  }

  /** Writes the record. The first call is to be admitted only with a view that holds the revision that this gives. */
  async register(): Promise<Revision> {
    const { store, layout, clock } = this.#options
    const record: GatewayRecord = {
      state: 'serving',
      quietMs: this.#options.quietMs,
      name: this.#options.name,
      startedAt: new Date(clock.wallMs()).toISOString(),
      formats: FORMATS,
      ...(this.#options.shadow ? { shadow: true } : {}),
      ...(this.#options.sources === '' ? {} : { sources: this.#options.sources }),
    }
    const writes: Write[] = [{ put: layout.gateway(this.id), value: gatewayRecords.encode(record) }]
    let validUntilMs = Number.POSITIVE_INFINITY
    if (store.shared) {
      const sentAtMs = clock.monotonicMs()
      const { lease, ttlMs } = await store.grantLease(this.#options.leaseMs)
      this.#lease = lease
      this.#ttlMs = ttlMs
      validUntilMs = sentAtMs + ttlMs - margin(ttlMs)
      writes.push({
        put: layout.watermark(this.id),
        // Nothing is admitted before the view holds this, but calls of a former self may be open.
        value: watermarks.encode({ ...this.#options.report(), beat: 0, sealed: 0 }),
        lease,
      })
    }
    let registered: Revision
    try {
      const compare = [{ key: layout.gateway(this.id), createRevision: 0 }]
      registered = (await store.transact({ compare, writes })).revision
    } catch (error) {
      // The lease ran out before it was used: we stood still, or the store answered too late.
      if (error instanceof LeaseGone) throw new StoreUnavailable('the lease ended before the registration')
      throw error
    }
    this.#validUntilMs = validUntilMs
    this.#loadingUntilMs = clock.monotonicMs() + LOADING_LEASES_MAX * this.#ttlMs
    if (store.shared) this.#schedule()
    return registered
  }

  /** Our own watermark has come back through the watch. */
  seen(watermark: Watermark): void {
    if (watermark.beat !== this.#beat || this.#beatSeen) return
    this.#beatSeen = true
    void this.#renew()
  }

  /** Our own watermark went: with the lease, so the others take us for gone from that revision on. */
  vanished(): void {
    this.#lost('the lease is over')
  }

  /** Writes a watermark soon: a seal has been applied, or a grant has drained. At most one write is under way. */
  report(): void {
    if (!this.#options.store.shared || this.#over) {
      for (const answer of this.#asking.splice(0)) answer(null)
      return
    }
    if (this.#writing) this.#reportAgain = true
    else void this.#write()
  }

  /** The revision of a watermark written after this call, or null where it could not be: then the lease is in doubt. */
  sync(): Promise<Revision | null> {
    return new Promise((resolve) => {
      this.#asking.push(resolve)
      this.report()
    })
  }

  /** Says "nothing open" and goes. `clean` false leaves the record: what was open is for others to resolve. */
  async close(clean: boolean): Promise<void> {
    const { store, layout } = this.#options
    this.#end()
    if (clean) {
      const writes: Write[] = [{ delete: layout.gateway(this.id) }]
      if (store.shared) writes.push({ delete: layout.watermark(this.id) })
      await store.transact({ compare: [], writes })
    }
    if (this.#lease !== null) await store.revokeLease(this.#lease)
  }

  /** Ends admission and timers without a word to the store. */
  abandon(): void {
    this.#end()
  }

  #end(): void {
    this.#over = true
    this.#validUntilMs = Number.NEGATIVE_INFINITY
    this.#timer?.cancel()
    for (const answer of this.#asking.splice(0)) answer(null)
  }

  #schedule(): void {
    const intervalMs = this.#ttlMs / 4
    const dueMs = this.#options.clock.monotonicMs() + intervalMs
    this.#timer = this.#options.clock.after(intervalMs, () => {
      const nowMs = this.#options.clock.monotonicMs()
      if (nowMs - dueMs > this.#ttlMs) {
        this.#end()
        this.#options.onStopped(`the process stood still for ${Math.round(nowMs - dueMs)} ms, past its lease`)
        return
      }
      if (nowMs > this.#validUntilMs + 2 * this.#ttlMs) {
        this.#lost(`${this.lapse}, for three times its length`)
        return
      }
      if (nowMs > this.#validUntilMs && !this.#lapseTold) {
        this.#lapseTold = true
        this.#options.onLapsed(this.lapse)
      }
      // Whoever loads admits nothing, but others wait for him: so not for ever.
      if (!this.#options.hasLoaded() && nowMs < this.#loadingUntilMs) void this.#renew()
      // A beat that has not come back is not followed by another: then the watch stands still, and so must we.
      if (this.#beatSeen) {
        this.#beatSeen = false
        this.#beat++
      }
      this.report()
      this.#schedule()
    })
  }

  async #write(): Promise<void> {
    const { store, layout } = this.#options
    const lease = this.#lease
    if (lease === null) return
    this.#writing = true
    this.#reportAgain = false
    const asked = this.#asking
    this.#asking = []
    let written: Revision | null = null
    try {
      const report = this.#options.report()
      this.#said = report.sealed
      const value = watermarks.encode({ beat: this.#beat, ...report })
      const result = await store.transact({
        compare: [],
        writes: [{ put: layout.watermark(this.id), value, lease }],
      })
      written = result.revision
      this.#failure = null
    } catch (error) {
      this.#said = 0
      if (error instanceof LeaseGone) this.#lost('the lease is over')
      else if (error instanceof StoreUnavailable) this.#failure = error.message
      else throw error
    } finally {
      this.#writing = false
      for (const answer of asked) answer(written)
      if (this.#reportAgain && !this.#over) void this.#write()
    }
  }

  async #renew(): Promise<void> {
    const lease = this.#lease
    if (lease === null || this.#over) return
    const sentAtMs = this.#options.clock.monotonicMs()
    try {
      const state = await this.#options.store.keepAlive(lease)
      if (this.#over) return
      if (state === null) this.#lost('the lease is over')
      else this.#validUntilMs = sentAtMs + state.ttlMs - margin(state.ttlMs)
      this.#lapseTold = false
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      this.#failure = error.message
    }
  }

  #lost(reason: string): void {
    if (this.#over) return
    this.#end()
    this.#options.onLost(reason)
  }
}

/** Clocks drift and answers are late: we stop before others may begin. */
function margin(ttlMs: number): number {
  return Math.max(250, ttlMs / 10)
}
