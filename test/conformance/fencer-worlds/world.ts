// What the conformance suite asks of a driver's world. One file here for each driver, named like it.

/** A target that is alive, and the options with which the driver can fence it. */
export interface World {
  /** Makes whatever the driver talks to slow, by some tenths of a second, for its next steps. */
  slow?(): Promise<void> | void
  readonly options: Readonly<Record<string, unknown>>
  readonly fenceInfo: Readonly<Record<string, unknown>>
  isAlive(): Promise<boolean>
  /** Ends the target without the driver. */
  destroy(): Promise<void>
  close(): Promise<void>
}

/** Whoever keeps a secret in its options has `SECRET` there: the suite looks for it in all that the driver says. */
export const SECRET = 'very-secret-word'

/** What can go wrong with a target, or with the way to it. */
export const FAILURES = [
  'unreachable',
  'slow',
  'wrong credentials',
  'partial success',
  'success that is not true',
  'already gone',
  'new incarnation',
  'garbage output',
  'huge output',
  'hanging',
] as const

/**
 * What shows how the driver meets it: a test of the conformance suite, by its own name (`suite`); one of the driver's own tests (the
 * text between the quotes, in test/integration/fencers/); or why it cannot happen.
 */
export type Cell = { readonly suite: string } | { readonly test: string } | { readonly never: string }

export const ALREADY_GONE: Cell = { suite: 'a target that went by itself is success' }
export const SLOW: Cell = { suite: 'what is slow is waited for' }

export interface WorldMaker {
  readonly failures: Readonly<Record<(typeof FAILURES)[number], Cell>>
  /** Why there can be no such world on this machine; null where there can. */
  unavailable(): string | null
  /** Starts what the worlds share; may take minutes where something has to be built. */
  prepare(): Promise<void>
  /** A new target each time. */
  enter(): Promise<World>
  /** Ends what the worlds shared. */
  leave(): Promise<void>
}
