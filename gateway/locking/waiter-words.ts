// What a waiter key's value says: ours is JSON, foreign clients leave it empty or write what they like. Read without a schema,
// as there is one for each lock that is held: test/unit/locking/waiter-words.test.ts holds it to one.

import type { IncarnationId, Revision } from '../core/names.ts'

export interface WaiterWords {
  readonly note: string | null
  /** The shared grant that an upgrade is to replace. */
  readonly replaces: Revision | null
  /** The gateway where somebody waits for it. */
  readonly at: IncarnationId | null
}

const NOTHING: WaiterWords = { note: null, replaces: null, at: null }

/** Nothing at all where one of its words is none of ours. */
export function waiterWords(value: string): WaiterWords {
  if (value === '') return NOTHING
  let json: unknown
  try {
    json = JSON.parse(value)
  } catch {
    return NOTHING
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return NOTHING
  const { note, replaces, at }: { note?: unknown; replaces?: unknown; at?: unknown } = json
  if (!isText(note) || !isRevision(replaces) || !isIncarnation(at)) return NOTHING
  return { note: note ?? null, replaces: replaces ?? null, at: at ?? null }
}

function isText(word: unknown): word is string | undefined {
  return word === undefined || typeof word === 'string'
}

function isRevision(word: unknown): word is Revision | undefined {
  return word === undefined || (typeof word === 'number' && Number.isSafeInteger(word) && word >= 1)
}

function isIncarnation(word: unknown): word is IncarnationId | undefined {
  return word === undefined || (typeof word === 'string' && word.length > 0)
}

/** The value of a session's own waiter key; `request` names the acquisition that wrote it, at the gateway `at`. */
export function waiterKeyValue(note: string | null, request: string, at: IncarnationId): string {
  return JSON.stringify(note === null ? { request, at } : { note, request, at })
}

/** Of a waiter key that is to replace the session's shared grant `replaces`. */
export function upgradeKeyValue(replaces: Revision, request: string, at: IncarnationId): string {
  return JSON.stringify({ replaces, request, at })
}
