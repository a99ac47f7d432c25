// The fence record: what is due against one ended session, how far it has come, and what proves that it is over.

import type { IncarnationId, LeaseId, Revision, SessionId } from './names.ts'

export type FenceCause = 'expired' | 'operator'

/** A fencer of a level, by its name in the configuration. */
export type FencePlanLevels = readonly (readonly string[])[]

export interface FenceAttempt {
  readonly level: number
  readonly fencer: string
  readonly number: number
  /** Wall clock, RFC 3339; for people. */
  readonly startedAt: string
  readonly endedAt: string
  readonly outcome: 'verified' | 'failed' | 'timed-out' | 'unknown' | 'refused'
  /** What the driver noted and why it failed; redacted, at most 4,096 characters. */
  readonly output: string
}

/** A verified success of one fencer. */
export interface FenceProof {
  readonly fencer: string
  readonly proves: readonly ('no-new-calls' | 'swept' | 'blocks' | 'flushed')[]
  /** Every gateway had reported the seals up to this revision before the observation began. 0: that was not awaited. */
  readonly sealedThrough: Revision | 0
  readonly observedAt: string
  readonly observed: string
  readonly request: string
}

/** What a fencer's service has said by itself, in a callback. */
export interface FenceCallback {
  readonly fencer: string
  /** Number of the attempt whose order it answers. */
  readonly attempt: number
  readonly state: 'fenced' | 'failed'
  /** Wall clock, RFC 3339; for people. */
  readonly at: string
  /** Redacted, bounded. */
  readonly evidence: string
}

/** What an operator had undone of a closed fence. */
export interface FenceUndoing {
  readonly fencer: string
  /** Wall clock, RFC 3339; for people. */
  readonly at: string
  readonly by: string
  readonly reason: string
  readonly outcome: 'undone' | 'failed' | 'timed-out'
  /** What the driver noted, and what it saw afterwards; redacted, bounded. */
  readonly output: string
}

export type FenceState =
  /** Wanted; nobody works on it. `notBefore` is wall clock for people; the sequencer backs off monotonically. */
  | { readonly state: 'due'; readonly level: number }
  /** One gateway holds the claim: `claim` names its incarnation and the lease that the claim goes with. */
  | {
      readonly state: 'running'
      readonly level: number
      readonly claim: { readonly incarnation: IncarnationId; readonly lease: LeaseId | null }
    }
  /**
   * All levels failed, or the brakes hold. Only an operator's retry or confirmation goes on from here. `held`: in a storm, and
   * the level at which it stands has not been tried.
   */
  | { readonly state: 'blocked'; readonly reason: string; readonly held?: boolean | undefined }
  | {
      readonly state: 'closed'
      /** `unfenced`: the session had no plan, and there is no default, or shadow mode: seal and drain are all there was. */
      readonly outcome: 'fenced' | 'confirmed' | 'unfenced'
      readonly closedAt: string
      /** Of a confirmation: who vouched, and why. */
      readonly by: string | null
      readonly reason: string | null
    }

/** What people and programs outside call the states. */
export const FENCE_STATES = ['due', 'running', 'blocked', 'held', 'closed'] as const
export type FenceStateWord = (typeof FENCE_STATES)[number]

export function fenceStateWord(progress: FenceState): FenceStateWord {
  return progress.state === 'blocked' && progress.held === true ? 'held' : progress.state
}

/** One per ended session; its id is the session's id, so two gateways that create it create the same. */
export interface FenceRecord {
  readonly id: SessionId
  readonly cause: FenceCause
  readonly by: string | null
  readonly reason: string | null
  readonly holder: Readonly<Record<string, unknown>> | null
  readonly fenceInfo: Readonly<Record<string, unknown>>
  /** Name of the plan; null where there was none. */
  readonly plan: string | null
  readonly levels: FencePlanLevels
  /** Targets (`<driver>:<target>`) that no new session may have while this is not closed. */
  readonly targets: readonly string[]
  readonly createdAt: string
  /** Why the session is taken to have expired in a storm; written once, by whichever gateway sees it first. */
  readonly storm?: string | undefined
  /** An operator has it go on, whatever the storm. */
  readonly released?: boolean | undefined
  /** For each level: what is let pass before it begins, where any has a delay. */
  readonly delaysMs?: readonly number[] | undefined
  /** Everything is decided and recorded, nobody is struck, and only an operator closes it. */
  readonly dryRun?: boolean | undefined
  /** A dry run since all gateways were in shadow mode: it ends as `unfenced`, by itself. */
  readonly shadow?: boolean | undefined
  /** Oldest first; absent where nobody called. */
  readonly callbacks?: readonly FenceCallback[] | undefined
  /** Oldest first; absent where nothing was. */
  readonly undone?: readonly FenceUndoing[] | undefined
  readonly progress: FenceState
  readonly attempts: readonly FenceAttempt[]
  readonly proofs: readonly FenceProof[]
}
