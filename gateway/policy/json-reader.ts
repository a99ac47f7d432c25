// A strict JSON reader: what two parsers could read differently (repeated keys, byte order marks, lone surrogates,
// comments, trailing text) is a fault. Total, one pass, bounded depth.

import { isUtf8 } from 'node:buffer'

/** Nesting beyond this is a fault. */
export const JSON_DEPTH_MAX = 64

/** Numbers keep the digits they were written with: an id of 20 digits must not be rounded. */
export interface JsonNumber {
  readonly digits: string
}

export type JsonObject = ReadonlyMap<string, JsonValue>
export type JsonValue = string | boolean | null | JsonNumber | readonly JsonValue[] | JsonObject

export type JsonReading =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly reason: string }

export function isJsonObject(value: JsonValue): value is JsonObject {
  return value instanceof Map
}

export function isJsonArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}

/** Reads the whole of `body`. Never throws. */
export function readJson(body: Buffer): JsonReading {
  if (body.length === 0) return { ok: false, reason: 'the body is empty' }
  if (!isUtf8(body)) return { ok: false, reason: 'the body is not UTF-8' }
  const reader = new Reader(body.toString('utf8'))
  const value = reader.document()
  return reader.fault === null ? { ok: true, value } : { ok: false, reason: reader.fault }
}

const KEYWORDS: readonly (readonly [text: string, value: boolean | null])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
]

/** After the first fault every method returns at once; `fault` says what it was. */
class Reader {
  fault: string | null = null
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): JsonValue {
    if (this.#text.charCodeAt(0) === 0xfeff) return this.#fail('the body begins with a byte order mark')
    this.#space()
    const value = this.#value(0)
    this.#space()
    if (this.fault === null && this.#at < this.#text.length)
      return this.#fail('something follows the JSON value')
    return value
  }

  #fail(reason: string): null {
    this.fault ??= `${reason} (at character ${this.#at})`
    return null
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #value(depth: number): JsonValue {
    if (depth > JSON_DEPTH_MAX) return this.#fail(`the JSON nests deeper than ${JSON_DEPTH_MAX}`)
    const code = this.#text.charCodeAt(this.#at)
    if (code === 0x22) return this.#string()
    if (code === 0x7b) return this.#object(depth)
    if (code === 0x5b) return this.#array(depth)
    if (code === 0x2d || isDigit(code)) return this.#number()
    for (const [text, value] of KEYWORDS)
      if (this.#text.startsWith(text, this.#at)) {
        this.#at += text.length
        return value
      }
    return this.#fail('this is not JSON')
  }

  #object(depth: number): JsonValue {
    const members = new Map<string, JsonValue>()
    this.#at++
    this.#space()
    if (this.#text.charCodeAt(this.#at) === 0x7d) {
      this.#at++
      return members
    }
    for (;;) {
      if (this.#text.charCodeAt(this.#at) !== 0x22) return this.#fail('a key must be a string')
      const key = this.#string()
      if (this.fault !== null) return null
      if (key.includes('\0')) return this.#fail('a key holds a NUL character')
      if (members.has(key)) return this.#fail(`the key ${JSON.stringify(key.slice(0, 64))} stands twice`)
      this.#space()
      if (this.#text.charCodeAt(this.#at) !== 0x3a) return this.#fail('a colon must follow a key')
      this.#at++
      this.#space()
      members.set(key, this.#value(depth + 1))
      if (this.fault !== null) return null
      this.#space()
      const next = this.#text.charCodeAt(this.#at)
      if (next !== 0x2c && next !== 0x7d) return this.#fail('a comma or a closing brace must follow')
      this.#at++
      if (next === 0x7d) return members
      this.#space()
    }
  }

  #array(depth: number): JsonValue {
    const items: JsonValue[] = []
    this.#at++
    this.#space()
    if (this.#text.charCodeAt(this.#at) === 0x5d) {
      this.#at++
      return items
    }
    for (;;) {
      items.push(this.#value(depth + 1))
      if (this.fault !== null) return null
      this.#space()
      const next = this.#text.charCodeAt(this.#at)
      if (next !== 0x2c && next !== 0x5d) return this.#fail('a comma or a closing bracket must follow')
      this.#at++
      if (next === 0x5d) return items
      this.#space()
    }
  }

  #number(): JsonValue {
    const start = this.#at
    if (this.#text.charCodeAt(this.#at) === 0x2d) this.#at++
    const leadingZero = this.#text.charCodeAt(this.#at) === 0x30
    const whole = this.#digits()
    if (whole === 0 || (leadingZero && whole > 1)) return this.#fail('a number is malformed')
    if (this.#text.charCodeAt(this.#at) === 0x2e) {
      this.#at++
      if (this.#digits() === 0) return this.#fail('a number is malformed')
    }
    if ((this.#text.charCodeAt(this.#at) | 0x20) === 0x65) {
      this.#at++
      const sign = this.#text.charCodeAt(this.#at)
      if (sign === 0x2b || sign === 0x2d) this.#at++
      if (this.#digits() === 0) return this.#fail('a number is malformed')
    }
    return { digits: this.#text.slice(start, this.#at) }
  }

  #digits(): number {
    const start = this.#at
    while (isDigit(this.#text.charCodeAt(this.#at))) this.#at++
    return this.#at - start
  }

  /** At the opening quote; afterwards behind the closing one. Empty after a fault. */
  #string(): string {
    const text = this.#text
    let at = this.#at + 1
    let from = at
    let pieces = ''
    let escaped = false
    for (;;) {
      const code = text.charCodeAt(at)
      // Beyond the end the code is no number, and compares as false.
      if (code >= 0x20 && code !== 0x22 && code !== 0x5c) {
        at++
        continue
      }
      this.#at = at
      if (code === 0x22) {
        this.#at++
        if (!escaped) return text.slice(from, at)
        pieces += text.slice(from, at)
        // UTF-8 cannot spell a lone surrogate; an escape can.
        if (!pieces.isWellFormed()) this.#fail('a string holds half a surrogate pair')
        return pieces
      }
      if (code !== 0x5c) {
        this.#fail('a string is not closed, or holds a control character')
        return ''
      }
      pieces += text.slice(from, at)
      escaped = true
      pieces += this.#escape()
      if (this.fault !== null) return ''
      at = this.#at
      from = at
    }
  }

  #escape(): string {
    const code = this.#text[this.#at + 1] ?? ''
    if (code === 'u') {
      const hex = this.#text.slice(this.#at + 2, this.#at + 6)
      if (!/^[0-9a-fA-F]{4}$/.test(hex)) {
        this.#fail('an escape is malformed')
        return ''
      }
      this.#at += 6
      return String.fromCharCode(Number.parseInt(hex, 16))
    }
    const plain = ESCAPES.get(code)
    if (plain === undefined) {
      this.#fail('an escape is malformed')
      return ''
    }
    this.#at += 2
    return plain
  }
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}
