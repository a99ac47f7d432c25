// What the store says of its epochs: a record that is written by `fencegate epoch bump` alone (the first by the first
// gateway), and beside it the word that nothing from before the bump can do harm any more.

import { z } from 'zod'
import { EPOCH_MAX, Epochs } from '../core/epoch.ts'
import type { KeyValue, Snapshot } from '../spi/store.ts'

const start = {
  epoch: z.int().min(0).max(EPOCH_MAX),
  /** Random; written with the epoch, so that two stores that had the same one are told apart. */
  id: z.string().min(1),
  by: z.string().nullable(),
  reason: z.string().nullable(),
  at: z.string(),
}

const epochRecord = z.strictObject({
  version: z.literal(1),
  ...start,
  earlier: z.array(z.strictObject({ ...start, begins: z.int().min(0) })),
})

const settledRecord = z.strictObject({ version: z.literal(1), id: z.string(), at: z.string() })

const witnessRecord = z.looseObject({
  version: z.literal(1),
  beat: z.int().min(0),
  at: z.string().optional(),
})

export type EpochRecord = Omit<z.output<typeof epochRecord>, 'version'>

export interface EpochKeys {
  readonly record: string
  readonly settled: string
  /** All witnesses begin with it. */
  readonly witnesses: string
  witness(id: string): string
}

export function epochKeys(root: string): EpochKeys {
  const witnesses = `${root}marks/`
  return {
    record: `${root}epoch`,
    settled: `${root}epoch-settled`,
    witnesses,
    witness: (id) => witnesses + id,
  }
}

export const encodeEpoch = (record: EpochRecord): string => JSON.stringify({ version: 1, ...record })
export const encodeSettled = (id: string, at: string): string => JSON.stringify({ version: 1, id, at })
export const encodeWitness = (beat: number, at: string): string => JSON.stringify({ version: 1, beat, at })

/** -1 where there is none that can be read. */
export function witnessBeat(item: KeyValue | undefined): number {
  return item === undefined ? -1 : (parsed(witnessRecord, item.value)?.beat ?? -1)
}

/** Wall clock at which it was written last; null where it does not say. */
export function witnessSince(value: string): number | null {
  const sinceMs = Date.parse(parsed(witnessRecord, value)?.at ?? '')
  return Number.isNaN(sinceMs) ? null : sinceMs
}

/** What a look at a store showed; all in its own revisions. */
export interface FoundEpoch {
  readonly revision: number
  /** Null where the store has none: no gateway that knows of epochs has been there. */
  readonly record: EpochRecord | null
  /** Of the record; 0 where there is none. */
  readonly modRevision: number
  readonly epochs: Epochs
  readonly isSettled: boolean
}

/** `snapshot` holds at least the keys that begin as the record's does. Throws where the record cannot be read. */
export function findEpoch(snapshot: Snapshot, keys: EpochKeys): FoundEpoch {
  const item = snapshot.items.find(({ key }) => key === keys.record)
  const { revision } = snapshot
  if (item === undefined)
    return {
      revision,
      record: null,
      modRevision: 0,
      epochs: new Epochs([{ epoch: 0, begins: 0 }]),
      isSettled: true,
    }
  const record = parsed(epochRecord, item.value)
  if (record === null) throw new EpochUnreadable(keys.record)
  const { version: _, ...known } = record
  const settled = snapshot.items.find(({ key }) => key === keys.settled)
  const begins = known.epoch === 0 ? 0 : item.modRevision
  return {
    revision,
    record: known,
    modRevision: item.modRevision,
    epochs: new Epochs([...known.earlier, { epoch: known.epoch, begins }]),
    isSettled:
      known.epoch === 0 || (settled !== undefined && parsed(settledRecord, settled.value)?.id === known.id),
  }
}

export class EpochUnreadable extends Error {
  override readonly name = 'EpochUnreadable'

  constructor(key: string) {
    super(`the store's epoch record ${key} cannot be read by this version of the gateway`)
  }
}

function parsed<Value>(schema: z.ZodType<Value>, text: string): Value | null {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}
