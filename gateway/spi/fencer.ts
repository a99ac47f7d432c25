// The contract of a fencing driver: what it proves, what it needs, how it acts, and how it is checked.
// A driver never certifies itself: `fence` acts, and the sequencer believes only what `verify` has seen.

import type { ZodType } from 'zod'
import type { FenceCallback } from '../core/fence-record.ts'
import type { Clock } from './clock.ts'

/**
 * What a verified success means. `no-new-calls`: the holder can start nothing any more. `swept`: what had arrived
 * at the backend is over. `blocks`: the backend refuses everything of this holder from now on, late arrivals too.
 * `flushed`: everything forwarded is over.
 */
export type Proof = 'no-new-calls' | 'swept' | 'blocks' | 'flushed'

/** What stands in the record for good: what was observed, and by which request. Never a secret. */
export interface Evidence {
  readonly observed: string
  readonly request: string
}

export type Verification =
  | { readonly state: 'fenced'; readonly evidence: Evidence }
  /** Seen to be able to do harm still; the sequencer polls again until its deadline. */
  | { readonly state: 'not-fenced'; readonly reason: string }
  /** Nothing could be seen. Never counted as success. */
  | { readonly state: 'unknown'; readonly reason: string }

export interface FencerContext {
  readonly clock: Clock
  /** A line for the fence's record and the log; secrets are the driver's to leave out. */
  note(line: string): void
}

export interface Attempt extends FencerContext {
  /** Of the fence; the same on every attempt, so usable as an idempotency key. */
  readonly fenceId: string
  /** From 1. A gateway that takes a fence over may use the number of an attempt that nobody could write down. */
  readonly number: number
  /** Name of the fencer in the configuration: callbacks come under it. Absent where none can come. */
  readonly fencer?: string
  /** What has been called back for this fencer and this fence up to now, whichever gateway took it. Absent: nothing can be. */
  callbacks?(): readonly FenceCallback[]
  /** Aborted at the attempt's deadline, or when the claim on the fence is lost: stop at once, strike no more. */
  readonly signal: AbortSignal
  /** Monotonic. Every destructive step checks at the last instant that it is not past. */
  readonly deadlineMs: number
  /** Who the holder said that he was; for people and for hooks, never to find the target by. */
  readonly holder?: Readonly<Record<string, unknown>> | null
  /**
   * To be asked right before every destructive step, with no await between: false once the signal is aborted, the
   * deadline is past, or this gateway cannot prove any more that the claim is its own. Then stop, strike no more.
   */
  mayStrike(): boolean
}

/** What a driver throws where `mayStrike` said no: the target was left alone. */
export class StrikeWithheld extends Error {
  override readonly name = 'StrikeWithheld'
}

/** What `complete` throws where the holder's fenceInfo names nothing that could be struck. */
export class FenceInfoFault extends Error {
  override readonly name = 'FenceInfoFault'
}

/** A request that came to the control API under a fencer's name, from whomever. */
export interface CallbackDelivery {
  /** Its name in the configuration, and the fence that it is about, as the request's path has them. */
  readonly fencer: string
  readonly fenceId: string
  /** By its name in small letters. */
  readonly header: (name: string) => string | undefined
  /** The body, byte for byte as it was signed. */
  readonly text: string
  readonly wallMs: number
}

/** A configured fencer. `Info` is the part of the holder's `fenceInfo` that the driver's schema picks. */
export interface Fencer<Info> {
  /**
   * Called when a session is opened, with what `complete` has made of the fenceInfo: could this fencer, as it is configured, act on
   * it? Throws `FenceInfoFault` where it names a machine that is not configured, or leaves out what a request needs. No I/O.
   */
  check?(info: Info): void
  /**
   * Makes the holder harmless. Idempotent: a target that is gone is success. Strikes only the incarnation that
   * `info` names. Resolves when it has done what it can; rejects where the action failed. Not a proof.
   */
  fence(info: Info, attempt: Attempt): Promise<void>
  /** Looks, changes nothing. Begins its observation after it is called. */
  verify(info: Info, attempt: Attempt): Promise<Verification>
  /**
   * What the delivery says, if it is provably the word of this fencer's own service about that fence; null where it is not,
   * or where that cannot be told. Nobody else has asked who sends it. No I/O. It is written down, and `verify` finds it in
   * `attempt.callbacks`. Only where the driver takes callbacks.
   */
  callback?(delivery: CallbackDelivery): Pick<FenceCallback, 'attempt' | 'state' | 'evidence'> | null
  /** Could this fencer do its job right now (credentials, reachability)? Changes nothing; rejects with the reason. */
  monitor(context: FencerContext & { readonly signal: AbortSignal }): Promise<void>
  /** Undoes what a fence did that outlasts the holder. Only where the driver has such a thing. */
  unfence?(info: Info, attempt: Attempt): Promise<void>
  /** Frees connections. Idempotent. */
  close?(): Promise<void>
}

export interface FencerDriver<Options = unknown, Info = unknown> {
  /** The name of the driver's file without its ending. */
  readonly id: string
  /** One line for `fencegate fencers list`. */
  readonly summary: string
  /** Strict; what stands beside `driver:` in the configuration. */
  readonly options: ZodType<Options>
  /** Not strict: it picks its keys from the holder's `fenceInfo` and leaves the others to other fencers. */
  readonly fenceInfo: ZodType<Info>
  /**
   * What an operator would write; for `fencegate fencers describe`, and for the conformance suite, which demands it of
   * the drivers in fencers/. Its secrets are no secrets.
   */
  readonly example?: {
    readonly options: Readonly<Record<string, unknown>>
    readonly fenceInfo: Readonly<Record<string, unknown>>
  }
  proves(options: Options): readonly Proof[]
  /** True for a driver that cuts the power of a whole machine: such strikes are counted and rationed. */
  readonly power?: boolean
  /** Where that depends on the options; goes before `power`. */
  cutsPower?(options: Options): boolean
  /**
   * True for a driver that only asks an operator: where nothing else is left to try on its level, the fence is blocked with what
   * it says, and no later level strikes.
   */
  asksOperator?(options: Options): boolean
  /**
   * True for a driver that takes the holder's access to the backend away and nothing else: he lives on, and can be let in
   * again. All others are held in a storm of expiries until an operator has looked.
   */
  readonly accessOnly?: boolean
  /**
   * Called when a session is opened: fills in what names the incarnation (the start time of a pid). Reads at most this
   * machine's own state, waits for nothing, and gives back unchanged what is complete. Throws `FenceInfoFault` where
   * there is no such target. Not called when the fence is due: by then a name may mean somebody else.
   */
  complete?(info: Info): Info
  /** Names the incarnation that would be struck: two equal strings are one target. Empty: there is none yet. */
  target(info: Info): string
  /** Does no I/O. */
  create(options: Options, context: FencerContext): Fencer<Info>
}

/** Keeps a driver's own types while it is checked against the contract. */
export function defineFencer<Options, Info>(
  driver: FencerDriver<Options, Info>,
): FencerDriver<Options, Info> {
  return driver
}
