// What a watermark says to be open, in a bounded size: a store takes only so much in one write, and a gateway that could not write
// its watermark any more would lose its lease. What there is no room for counts as open, never as drained.

import type { Watermark } from './records.ts'

export type How = 'draining' | 'unknown'
export type OpenEntry = readonly [lock: string, createRevision: number, how: How]
export type OpenList = Pick<Watermark, 'open' | 'tokens' | 'more'>

/** By lock, as people read it; a name has up to 1,024 bytes, and twice that where each has to be escaped. */
const NAMED_MAX = 128
/** By token alone, of up to 16 digits. With the named ones less than a transaction may have. */
const TOKENS_MAX = 40_000

export function openList(entries: readonly OpenEntry[]): OpenList {
  const open = entries.slice(0, NAMED_MAX)
  if (entries.length <= NAMED_MAX) return { open }
  const draining: number[] = []
  const unknown: number[] = []
  for (const [, createRevision, how] of entries.slice(NAMED_MAX, NAMED_MAX + TOKENS_MAX))
    (how === 'draining' ? draining : unknown).push(createRevision)
  const more = entries.length > NAMED_MAX + TOKENS_MAX
  return { open, tokens: { draining, unknown }, ...(more ? { more } : {}) }
}

/** An open list as it is asked for one grant after the other. */
export class OpenIndex {
  readonly #named: ReadonlyMap<string, How>
  readonly #draining: ReadonlySet<number>
  readonly #unknown: ReadonlySet<number>
  readonly #more: boolean

  constructor({ open, tokens, more = false }: OpenList) {
    // Named twice, the first counts.
    this.#named = new Map(
      open.toReversed().map(([name, createRevision, how]) => [nameOf(name, createRevision), how]),
    )
    this.#draining = new Set(tokens?.draining)
    this.#unknown = new Set(tokens?.unknown)
    this.#more = more
  }

  /** Null: nothing is open under it. */
  how({ name, createRevision }: { readonly name: string; readonly createRevision: number }): How | null {
    const named = this.#named.get(nameOf(name, createRevision))
    if (named !== undefined) return named
    // Keys of a foreign client's one transaction share a token: then it is open for all of their locks.
    if (this.#draining.has(createRevision) || (this.#more && !this.#unknown.has(createRevision)))
      return 'draining'
    return this.#unknown.has(createRevision) ? 'unknown' : null
  }
}

function nameOf(name: string, createRevision: number): string {
  return `${createRevision} ${name}`
}
