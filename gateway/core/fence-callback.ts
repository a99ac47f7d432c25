// What the word of a fencer's service does to a fence record, and what all its words together say. Pure. A service that
// contradicts itself about one attempt has said nothing about it.

import type { FenceCallback, FenceRecord } from './fence-record.ts'

/** Older ones have had their say: each attempt has its own. */
export const CALLBACKS_KEPT = 32

export type CallbackStep =
  /** To be written. `contradicts`: about this attempt the service has said something else before. */
  | { readonly step: 'write'; readonly record: FenceRecord; readonly contradicts: boolean }
  /** It is known, or comes too late to matter. */
  | { readonly step: 'known' }
  /** The fence was closed on this service's word, and now it says the opposite. */
  | { readonly step: 'too-late'; readonly reason: string }

export function callbackStep(record: FenceRecord, callback: FenceCallback): CallbackStep {
  const { fencer, attempt, state } = callback
  const earlier = (record.callbacks ?? []).filter((one) => one.fencer === fencer && one.attempt === attempt)
  const isKnown = earlier.some((one) => one.state === state)
  if (record.progress.state === 'closed') {
    const wasBelieved = record.proofs.some((proof) => proof.fencer === fencer)
    return state === 'failed' && wasBelieved && !isKnown
      ? { step: 'too-late', reason: `it is closed, and ${fencer} had said that the holder was fenced` }
      : { step: 'known' }
  }
  if (isKnown) return { step: 'known' }
  const callbacks = [...(record.callbacks ?? []), callback].slice(-CALLBACKS_KEPT)
  return { step: 'write', record: { ...record, callbacks }, contradicts: earlier.length > 0 }
}

export type CallbackWord =
  | { readonly state: 'none' }
  | { readonly state: 'contradicted'; readonly attempt: number }
  | (Pick<FenceCallback, 'attempt' | 'state' | 'evidence'> & { readonly state: 'fenced' | 'failed' })

/**
 * The word about the latest attempt that anything was said about. Each attempt of a fence is about the same incarnation, so
 * the word about an earlier one holds as long as nothing was said about a later one.
 */
export function latestWord(callbacks: readonly FenceCallback[]): CallbackWord {
  const attempt = callbacks.reduce((latest, one) => Math.max(latest, one.attempt), 0)
  const words = callbacks.filter((one) => one.attempt === attempt)
  const [first] = words
  if (first === undefined) return { state: 'none' }
  if (words.some(({ state }) => state !== first.state)) return { state: 'contradicted', attempt }
  return { attempt, state: first.state, evidence: first.evidence }
}
