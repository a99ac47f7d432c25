// What fencing a session now would do, as far as it can be told without doing anything. For the control API and the command line.

import type { Neighbour } from './fence-journal.ts'
import type { Proof } from './fencer.ts'
import type { FencerHealth } from './fencer-health.ts'

export interface FencerPreview {
  /** By its name in the configuration. */
  readonly fencer: string
  /** Null where the configuration has no such fencer. */
  readonly driver: string | null
  readonly proves: readonly Proof[]
  /** It cuts the power of a whole machine. */
  readonly power: boolean
  /** The incarnation that would be struck, by the fenceInfo with templates and inventory filled in. Null: see `fault`. */
  readonly target: string | null
  readonly fault: string | null
  readonly health: FencerHealth['state']
  readonly reason: string | null
}

export interface LevelPreview {
  /** What is let pass before it begins. */
  readonly delayMs: number
  readonly fencers: readonly FencerPreview[]
}

export interface FencePreview {
  readonly session: string
  readonly holder: Readonly<Record<string, unknown>> | null
  /** Null: the session has none, and there is no default. Then nobody is struck. */
  readonly plan: string | null
  /** Without what is secret. */
  readonly fenceInfo: Readonly<Record<string, unknown>>
  /** By its plan, or since all gateways are in shadow mode: nobody is struck. */
  readonly dryRun: boolean
  readonly levels: readonly LevelPreview[]
  /** Other living sessions on that machine, or with that target. */
  readonly neighbours: readonly Neighbour[]
  /** What would keep a level from striking, one line each; empty where nothing would. */
  readonly heldBy: readonly string[]
}
