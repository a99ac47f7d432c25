// What this room is started with, and what it is to the others.

import type { LockSource } from '../core/lock-source.ts'
import type { CallerBook } from '../spi/callers.ts'
import type { Clock } from '../spi/clock.ts'
import type { ControlPlane } from '../spi/control-plane.ts'
import type { EventSink } from '../spi/events.ts'
import type { FenceJournal } from '../spi/fence-journal.ts'
import type { FencePlanner } from '../spi/fence-planner.ts'
import type { Gate } from '../spi/gate.ts'
import type { HighWaterMark } from '../spi/high-water-mark.ts'
import type { LoginBarrier } from '../spi/login-barrier.ts'
import type { Store } from '../spi/store.ts'
import type { EpochKeeper } from './epoch-keeper.ts'
import type { TokenCheck } from './gate.ts'
import type { Counts, Signer } from './listings.ts'
import type { ParkingSettings } from './parking.ts'
import type { SweeperSettings } from './sweeper.ts'

export interface LockingOptions extends SweeperSettings {
  readonly store: Store
  readonly prefix: string
  /** Locks that others keep in layouts of their own. Only with a store that they can reach. */
  readonly sources?: readonly LockSource[]
  readonly clock: Clock
  readonly events: EventSink
  readonly planner: FencePlanner
  /** Kept outside the store, which cannot tell that it was restored from an older backup. */
  readonly mark: HighWaterMark
  /** Of this store, with `store` and `mark` from it. Absent: the store never went back, and never will. */
  readonly epoch?: EpochKeeper
  /** Of this gateway, for people; its incarnations are named by `newId`. */
  readonly name: string
  /** 128 random bits as text. */
  readonly newId: () => string
  /** The longest quiet time of the backends; null where one has none. */
  readonly quietMs: number | null
  readonly leaseMs: number
  /** None of this gateway's backends refuses anything. */
  readonly shadow?: boolean
  readonly drainMs: number
  /** Keys of fenceInfo under which holders' login names at the backends stand; none where absent. */
  readonly loginKeys?: readonly string[]
  readonly parkedMax: number
  readonly parking?: ParkingSettings
  readonly ttlMsMin: number
  readonly ttlMsMax: number
  readonly signing: (TokenCheck & { readonly sign: Signer }) | null
  /** The process stood still past its lease: it has to end at once, before it writes anything. */
  readonly onStopped: (reason: string) => void
}

export interface Locking {
  readonly gate: Gate
  readonly plane: ControlPlane
  readonly journal: FenceJournal
  readonly logins: LoginBarrier
  readonly callers: CallerBook
  /** Figures for the metrics. */
  counts(): Counts
  /** Admits no more, waits up to `waitMs` for what is in flight, says "nothing open" where that is so, and goes. */
  close(waitMs: number): Promise<void>
}
