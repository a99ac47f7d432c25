// Finds a name among those that a policy wants, in the bytes of a message: no string is made of a name that nobody wants.

import { spells } from './xml-bytes.ts'

/** A power of two. A policy wants some dozens of names at one place. */
const BUCKETS = 64

interface Entry<Value> {
  readonly name: Uint8Array
  readonly value: Value
}

export class NameTable<Value> {
  readonly #buckets: (Entry<Value>[] | undefined)[] = []
  /** A bit for each kind of name that is here: most names that are asked for are of no such kind. */
  #kinds = 0

  /** Only for a name that is new, and in ASCII. */
  add(name: string, value: Value): void {
    const bytes = Buffer.from(name)
    this.#kinds |= 1 << kindOf(bytes, 0, bytes.length)
    const at = bucketOf(bytes, 0, bytes.length)
    this.#buckets[at] = [...(this.#buckets[at] ?? []), { name: bytes, value }]
  }

  get isEmpty(): boolean {
    return this.#kinds === 0
  }

  get(name: string): Value | undefined {
    return this.find(Buffer.from(name), 0, name.length)
  }

  /** The value of the name that stands between two places. */
  find(bytes: Uint8Array, from: number, to: number): Value | undefined {
    return (this.#kinds & (1 << kindOf(bytes, from, to))) === 0 ? undefined : this.#search(bytes, from, to)
  }

  #search(bytes: Uint8Array, from: number, to: number): Value | undefined {
    const bucket = this.#buckets[bucketOf(bytes, from, to)]
    if (bucket !== undefined)
      for (const { name, value } of bucket) if (spells(bytes, from, to, name)) return value
    return undefined
  }
}

/** Of 32 kinds, as a shift takes its last five bits. */
function kindOf(bytes: Uint8Array, from: number, to: number): number {
  return (bytes[from] ?? 0) + to - from
}

/** Reads three bytes, whatever the length. */
function bucketOf(bytes: Uint8Array, from: number, to: number): number {
  const length = to - from
  const first = bytes[from] ?? 0
  const middle = bytes[from + (length >> 1)] ?? 0
  const last = bytes[to - 1] ?? 0
  return (length + first * 5 + middle * 11 + last * 23) & (BUCKETS - 1)
}
