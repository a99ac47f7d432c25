// The fields of one head, as places in its text. One object serves all heads of a connection: nothing is allocated for a
// field that nobody asks for.

import { isNameAt, nameEnd, valueEnd } from './field-bytes.ts'

/** More than this in one head is unusual. */
const FIELDS_MAX = 96

const SPACE = 0x20
const TAB = 0x09
const COLON = 0x3a
const CR = 0x0d
const LF = 0x0a

export class Fields {
  /** What the head was read from. */
  text = ''
  count = 0
  #end = 0
  /** A bit for each length, modulo 32, that a name here has: most fields that are asked for are not there. */
  #lengths = 0
  /** Of each field: where its line begins, its name ends, its value begins and ends. */
  readonly #places = new Uint32Array(FIELDS_MAX * 4)

  /**
   * Reads the lines from `at` up to an empty one, and answers where that ends; 0 where they are not plain fields, one a line,
   * or where the text ends before. `text`: the first of the bytes.
   */
  read(text: string, bytes: Uint8Array, at: number): number {
    this.text = text
    this.count = 0
    const limit = text.length
    const places = this.#places
    let count = 0
    let lengths = 0
    for (;;) {
      const name = nameEnd(bytes, at, limit)
      if (name === at) break
      if (count === FIELDS_MAX || bytes[name] !== COLON) return 0
      let start = name + 1
      while (bytes[start] === SPACE || bytes[start] === TAB) start++
      const line = valueEnd(bytes, start, limit)
      if (bytes[line] !== CR || bytes[line + 1] !== LF) return 0
      let last = line
      while (last > start && (bytes[last - 1] === SPACE || bytes[last - 1] === TAB)) last--
      const place = count * 4
      places[place] = at
      places[place + 1] = name
      places[place + 2] = start
      places[place + 3] = last
      lengths |= 1 << (name - at)
      count++
      at = line + 2
    }
    // All that was looked at stands before this; of bytes behind the text nothing is known.
    if (at + 2 > limit || bytes[at] !== CR || bytes[at + 1] !== LF) return 0
    this.#end = at
    this.#lengths = lengths
    this.count = count
    return at + 2
  }

  /** Where the last line has ended. */
  get end(): number {
    return this.#end
  }

  /** Lets go of the text. */
  clear(): void {
    this.text = ''
    this.count = 0
    this.#end = 0
  }

  lineStart(index: number): number {
    return index < this.count ? (this.#places[index * 4] ?? 0) : this.#end
  }

  nameLength(index: number): number {
    return (this.#places[index * 4 + 1] ?? 0) - (this.#places[index * 4] ?? 0)
  }

  valueStart(index: number): number {
    return this.#places[index * 4 + 2] ?? 0
  }

  valueEnd(index: number): number {
    return this.#places[index * 4 + 3] ?? 0
  }

  /** Whether white space stands between the value and the end of its line. */
  isPadded(index: number): boolean {
    return this.valueEnd(index) + 2 !== this.lineStart(index + 1)
  }

  /** `lower` has the length of the field's name. */
  isNamed(index: number, lower: string): boolean {
    return isNameAt(this.text, this.#places[index * 4] ?? 0, lower)
  }

  name(index: number): string {
    return this.text.slice(this.#places[index * 4], this.#places[index * 4 + 1])
  }

  value(index: number): string {
    return this.text.slice(this.#places[index * 4 + 2], this.#places[index * 4 + 3])
  }

  /** `lower`: in lower case. */
  has(lower: string): boolean {
    if ((this.#lengths & (1 << lower.length)) === 0) return false
    for (let index = 0; index < this.count; index++)
      if (this.nameLength(index) === lower.length && this.isNamed(index, lower)) return true
    return false
  }

  /** All values of a name, given in lower case, joined; undefined where there is none. */
  joined(lower: string, separator: string): string | undefined {
    if ((this.#lengths & (1 << lower.length)) === 0) return undefined
    let joined: string | undefined
    for (let index = 0; index < this.count; index++) {
      if (this.nameLength(index) !== lower.length || !this.isNamed(index, lower)) continue
      const value = this.value(index)
      joined = joined === undefined ? value : joined + separator + value
    }
    return joined
  }
}
