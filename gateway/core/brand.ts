// Names for plain values that must not be confused; a brand costs nothing at run time.

declare const brand: unique symbol

/** A `Base` that only the room which makes `Name`s may produce. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name }
