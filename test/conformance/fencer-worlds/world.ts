// What the conformance suite asks of a driver's world. One file here for each driver, named like it.

/** A target that is alive, and the options with which the driver can fence it. */
export interface World {
  readonly options: Readonly<Record<string, unknown>>
  readonly fenceInfo: Readonly<Record<string, unknown>>
  isAlive(): Promise<boolean>
  /** Ends the target without the driver. */
  destroy(): Promise<void>
  close(): Promise<void>
}

/** Whoever keeps a secret in its options has `SECRET` there: the suite looks for it in all that the driver says. */
export const SECRET = 'very-secret-word'

export interface WorldMaker {
  /** Why there can be no such world on this machine; null where there can. */
  unavailable(): string | null
  /** Starts what the worlds share; may take minutes where something has to be built. */
  prepare(): Promise<void>
  /** A new target each time. */
  enter(): Promise<World>
  /** Ends what the worlds shared. */
  leave(): Promise<void>
}
