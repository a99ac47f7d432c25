// Who is calling: the marks on a call, and the book of which session each belongs to. The book is the store's, so what was
// bound through one gateway is known to all. Implemented by gateway/locking.

import type { CallerClaim, CallerWay } from '../core/caller.ts'
import type { SessionId } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'

export interface CallerClaims {
  /** Under which backend's name the values were bound. */
  readonly realm: string
  readonly claims: readonly CallerClaim[]
  /** A known caller without a token counts as presenting those that his session holds. */
  readonly implicit: boolean
  /** Of a login: a backend session that nobody knows says nothing, as it may be what is left of an earlier one. */
  readonly opening?: true
}

export type CallerFinding =
  | { readonly kind: 'unknown' }
  | { readonly kind: 'known'; readonly session: SessionId }
  /** Two marks that belong to different sessions. */
  | { readonly kind: 'conflict'; readonly refusal: Refusal }

/** What the answer to a login has told. */
export interface OpenedLogin {
  /** By which later calls will name the backend's session; never empty. */
  readonly sessions: readonly string[]
  /** For the holder's `fenceInfo`: each value is added to the list of that name. */
  readonly collect: Readonly<Record<string, string>>
  /** For the holder's `fenceInfo`, where the holder has not said it himself. */
  readonly note: Readonly<Record<string, string>>
}

export interface CallerBook {
  /** By what this gateway has applied; one look-up for each claim. */
  find(caller: CallerClaims): CallerFinding
  /** As `find`, after the store was asked where that knows nobody. */
  findCurrent(caller: CallerClaims): Promise<CallerFinding>
  /**
   * Binds what a login has opened to the session, and writes it into its record. Null once that is durable, and known here;
   * else why it is not. Never rejects.
   */
  learn(session: SessionId, realm: string, opened: OpenedLogin): Promise<Refusal | null>
  /** A logout: the backend's sessions among the claims are nobody's any more. Never rejects. */
  forget(caller: CallerClaims): Promise<void>
}

export type { CallerWay }
