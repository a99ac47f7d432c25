// What this gateway remembers of its store, outside the store: what is kept in it is restored with it.

export interface HighWaterMark {
  /** Position in the store's order of writes (core/epoch.ts); 0 where nothing was seen. */
  readonly revision: number
  /** Resolves once it is durable; rejects where it cannot be written. Never lowers it. */
  raise(to: number): Promise<void>
}

export interface StoreMemory {
  /** The largest position seen. */
  readonly revision: number
  /** The id that the store got with its epoch; null where the memory is of a gateway that knew no epochs. */
  readonly lineage: string | null
  /** Names this gateway's own key in the store, and what it last wrote there: in an older store that is missing. */
  readonly witness: { readonly id: string; readonly beat: number } | null
}

/** The memory, on a disk of this gateway's own. */
export interface StoreMark {
  /** Null where nothing is remembered. */
  readonly memory: StoreMemory | null
  /** Resolves once it is durable; rejects where it cannot be written. */
  save(memory: StoreMemory): Promise<void>
}
