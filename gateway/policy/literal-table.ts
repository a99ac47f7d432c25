// Finds a text among those that rules name. A Map takes every text that it is asked for into the engine's own table of
// names, which costs more than the search where the text is a name that is met once, as most of a path's segments are.

/** Texts that look alike to `bucketOf`, beyond which a Map is asked after all. */
const ALIKE_MAX = 8
/** A power of two. A table of more texts has more, and tells them apart by more of their characters. */
const BUCKETS = 64
/** Of a long text, so many characters are read. */
const CHARACTERS_MAX = 32

interface Entry<Value> {
  readonly text: string
  readonly value: Value
}

export class LiteralTable<Value> {
  #buckets: Entry<Value>[][] = []
  /** Of the buckets that are too full. */
  #crowded: Map<string, Value> | null = null
  #size = 0
  #hash: (text: string) => number = shortHash

  add(text: string, value: Value): void {
    this.#size++
    if (this.#buckets.length === 0) this.#buckets = emptyBuckets(BUCKETS)
    else if (this.#size > this.#buckets.length) this.#grow()
    this.#put({ text, value })
  }

  get(text: string): Value | undefined {
    if (this.#size === 0) return undefined
    const bucket = this.#buckets[this.#hash(text) & (this.#buckets.length - 1)]
    if (bucket === undefined || bucket.length === 0) return undefined
    if (bucket.length > ALIKE_MAX) return this.#crowded?.get(text)
    for (const entry of bucket) if (entry.text === text) return entry.value
    return undefined
  }

  #put(entry: Entry<Value>): void {
    const { text } = entry
    const bucket = this.#buckets[this.#hash(text) & (this.#buckets.length - 1)]
    if (bucket === undefined) return
    // One more than may be stays in the bucket: it says that the Map has them all.
    if (bucket.length <= ALIKE_MAX && bucket.push(entry) <= ALIKE_MAX) return
    this.#crowded ??= new Map()
    for (const one of [...bucket, entry]) this.#crowded.set(one.text, one.value)
  }

  #grow(): void {
    const entries = new Map<string, Value>(this.#crowded ?? [])
    for (const bucket of this.#buckets) for (const { text, value } of bucket) entries.set(text, value)
    this.#crowded = null
    this.#hash = longHash
    this.#buckets = emptyBuckets(this.#buckets.length * 4)
    for (const [text, value] of entries) this.#put({ text, value })
  }
}

function emptyBuckets<Value>(count: number): Entry<Value>[][] {
  return Array.from({ length: count }, () => [])
}

/** Reads three characters, whatever the length. */
function shortHash(text: string): number {
  const { length } = text
  if (length === 0) return 0
  const first = text.charCodeAt(0)
  const middle = text.charCodeAt(length >> 1)
  const last = text.charCodeAt(length - 1)
  return length + first * 5 + middle * 11 + last * 23
}

function longHash(text: string): number {
  let hash = text.length
  const end = Math.min(text.length, CHARACTERS_MAX)
  for (let at = 0; at < end; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash ^ (hash >>> 15)
}
