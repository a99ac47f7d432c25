// Between the locks and the configured fencers: which plan a session has, and whether its fenceInfo satisfies it.

import type { FilledFenceInfo } from '../core/fence-info-template.ts'
import type { FencePlanLevels } from '../core/fence-record.ts'

export type FenceInfoCheck =
  | {
      readonly kind: 'complete'
      /** With what drivers add to name the incarnation (the start time of a pid). */
      readonly fenceInfo: Readonly<Record<string, unknown>>
      /** `<driver>:<target>`, of every fencer of the plan. */
      readonly targets: readonly string[]
    }
  | { readonly kind: 'faulty'; readonly faults: readonly string[] }

/** How a plan is carried out, as far as each fence record holds it from its beginning. */
export interface PlanTerms {
  /** For each level: how long it is waited before it begins. */
  readonly delaysMs: readonly number[]
  /** Nobody is struck. */
  readonly dryRun: boolean
  /** The same, for all gateways are in shadow mode: and nobody is asked. Only with `dryRun`. */
  readonly shadow?: boolean
}

/** Which parts of a fenceInfo are for fencers alone. */
export interface FenceInfoSecrets {
  /** For people: the values are blots. */
  hidden(fenceInfo: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
  /** For a record that nobody acts on any more: what is not there cannot strike anybody either. */
  removed(fenceInfo: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
}

export interface FencePlanner {
  /** The plan of sessions that name none; null where seal and drain are all there is. */
  readonly defaultPlan: string | null
  /** Absent: there are none. */
  readonly secrets?: FenceInfoSecrets
  /** Null where there is no such plan. */
  levels(plan: string): FencePlanLevels | null
  /** Absent, or null where there is no such plan: no delays, and it strikes. */
  terms?(plan: string): PlanTerms | null
  /**
   * What the plan makes of the holder's own fenceInfo: the template of the configuration over it. To be asked before
   * `checkFenceInfo`. Absent: nothing.
   */
  fillFenceInfo?(
    plan: string,
    said: {
      readonly holder: Readonly<Record<string, unknown>>
      readonly fenceInfo: Readonly<Record<string, unknown>>
    },
  ): FilledFenceInfo
  /**
   * `opening`, the default: the holder has just said it, and drivers may fill in what names his incarnation. `due`: his
   * session is over, and nothing may be filled in any more: his pid may be somebody else's by now.
   */
  checkFenceInfo(
    plan: string,
    fenceInfo: Readonly<Record<string, unknown>>,
    moment?: 'opening' | 'due',
  ): FenceInfoCheck
}
