// Finds a text among those that rules name. A Map takes every text that it is asked for into the engine's own table of
// names, which costs more than the search where the text is a name that is met once, as most of a path's segments are.

/** Texts that look alike to `bucketOf`, beyond which a Map is asked after all. */
const ALIKE_MAX = 8
/** A power of two. */
const BUCKETS = 64

interface Entry<Value> {
  readonly text: string
  readonly value: Value
}

export class LiteralTable<Value> {
  readonly #buckets: Entry<Value>[][] = []
  /** Of the buckets that are too full. */
  readonly #crowded = new Map<string, Value>()
  #size = 0

  add(text: string, value: Value): void {
    if (this.#size++ === 0) for (let i = 0; i < BUCKETS; i++) this.#buckets.push([])
    const bucket = this.#buckets[bucketOf(text)]
    if (bucket === undefined || bucket.length > ALIKE_MAX) this.#crowded.set(text, value)
    else if (bucket.push({ text, value }) > ALIKE_MAX)
      for (const entry of bucket) this.#crowded.set(entry.text, entry.value)
  }

  get(text: string): Value | undefined {
    if (this.#size === 0) return undefined
    const bucket = this.#buckets[bucketOf(text)]
    if (bucket === undefined || bucket.length === 0) return undefined
    if (bucket.length > ALIKE_MAX) return this.#crowded.get(text)
    for (const entry of bucket) if (entry.text === text) return entry.value
    return undefined
  }
}

/** Reads three characters, whatever the length. */
function bucketOf(text: string): number {
  const { length } = text
  const first = text.charCodeAt(0)
  const middle = text.charCodeAt(length >> 1)
  const last = text.charCodeAt(length - 1)
  return (length + first * 5 + middle * 11 + last * 23) & (BUCKETS - 1)
}
