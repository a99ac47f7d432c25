// Reads the `Fencing-Token` field: total, bounded, and stricter than RFC 9651 where leniency would give one field two
// readings. It says what was presented; whether that is worth anything is the gate's business.

import { asLockName, type LockName, lockNameFault } from './names.ts'

/** One member of the field. `lock` is null for the short form. */
export interface ParsedToken {
  readonly lock: LockName | null
  readonly token: number
  readonly signature: Uint8Array | null
}

export type ParsedTokens =
  | { readonly kind: 'tokens'; readonly tokens: readonly ParsedToken[] }
  | { readonly kind: 'bad'; readonly reason: string }

export const TOKEN_FIELD_CHARACTERS_MAX = 8192
export const TOKEN_MEMBERS_MAX = 64
export const SIGNATURE_BYTES_MAX = 256

/**
 * Parses one field value: a list of `812`, `"lock";t=812`, or, for names beyond ASCII, `%"l%c3%b6ck";t=812` (an RFC 9651
 * Display String), each with an optional `;s=:BASE64:`. Differences from a plain RFC 9651 parser, all on purpose: numbers
 * are 1 to 2^53-1 (one digit more than sf-integer has) without sign or leading zeros; unknown and repeated parameters,
 * a lock named twice, an empty list, and base64 without its padding are refused.
 */
export function parseFencingToken(value: string): ParsedTokens {
  const short = shortForm(value)
  if (short !== 0) return { kind: 'tokens', tokens: [{ lock: null, token: short, signature: null }] }
  if (value.length > TOKEN_FIELD_CHARACTERS_MAX)
    return bad(`the field has more than ${TOKEN_FIELD_CHARACTERS_MAX} characters`)
  return new Reader(value).list()
}

/** The token of a field that is nothing but one canonical number of up to 15 digits; 0 where it is anything else. */
function shortForm(value: string): number {
  const length = value.length
  if (length === 0 || length > 15) return 0
  let number = 0
  for (let i = 0; i < length; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9 || (i === 0 && digit === 0)) return 0
    number = number * 10 + digit
  }
  return number
}

function bad(reason: string): { kind: 'bad'; reason: string } {
  return { kind: 'bad', reason }
}

class Malformed extends Error {}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  list(): ParsedTokens {
    try {
      return { kind: 'tokens', tokens: this.#members() }
    } catch (error) {
      if (error instanceof Malformed) return bad(error.message)
      throw error
    }
  }

  #members(): ParsedToken[] {
    const members: ParsedToken[] = []
    const named = new Set<string>()
    this.#skipSpaces()
    if (this.#atEnd()) throw new Malformed('the field is empty')
    for (;;) {
      const member = this.#member()
      if (member.lock !== null) {
        if (named.has(member.lock)) throw new Malformed('a lock is named twice')
        named.add(member.lock)
      }
      members.push(member)
      if (members.length > TOKEN_MEMBERS_MAX)
        throw new Malformed(`there are more than ${TOKEN_MEMBERS_MAX} tokens`)
      this.#skipBlanks()
      if (this.#atEnd()) return members
      this.#expect(',')
      this.#skipBlanks()
      if (this.#atEnd()) throw new Malformed('the list ends with a comma')
    }
  }

  #member(): ParsedToken {
    const first = this.#text[this.#at]
    if (first === '"') return this.#named(this.#string())
    if (first === '%') return this.#named(this.#displayString())
    const token = this.#number()
    const parameters = this.#parameters()
    if (parameters.token !== 0) throw new Malformed('a number takes no parameter t')
    return { lock: null, token, signature: parameters.signature }
  }

  #named(name: string): ParsedToken {
    const lock = asLockName(name)
    if (lock === null) throw new Malformed(lockNameFault(name) ?? 'not a lock name')
    const parameters = this.#parameters()
    if (parameters.token === 0) throw new Malformed('a named lock needs its token in the parameter t')
    return { lock, token: parameters.token, signature: parameters.signature }
  }

  #parameters(): { token: number; signature: Uint8Array | null } {
    let token = 0
    let signature: Uint8Array | null = null
    while (this.#text[this.#at] === ';') {
      this.#at++
      this.#skipSpaces()
      const key = this.#text.slice(this.#at, this.#at + 2)
      this.#at += 2
      if (key === 't=' && token === 0) token = this.#number()
      else if (key === 's=' && signature === null) signature = this.#bytes()
      else throw new Malformed(`unknown or repeated parameter at character ${this.#at - 2}`)
    }
    return { token, signature }
  }

  #number(): number {
    const start = this.#at
    let number = 0
    for (; this.#at < this.#text.length; this.#at++) {
      const digit = this.#text.charCodeAt(this.#at) - 0x30
      if (digit < 0 || digit > 9) break
      if (this.#at - start >= 16) throw new Malformed('a token is below 2^53')
      number = number * 10 + digit
    }
    if (this.#at === start) throw new Malformed(`expected a token at character ${start}`)
    if (this.#text[start] === '0') throw new Malformed('a token has no leading zero and is not zero')
    if (!Number.isSafeInteger(number)) throw new Malformed('a token is below 2^53')
    return number
  }

  #string(): string {
    this.#at++
    let text = ''
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at)
      if (Number.isNaN(unit)) throw new Malformed('a string has no end')
      if (unit < 0x20 || unit > 0x7e)
        throw new Malformed(
          'a string holds printable ASCII only; use a display string (%"…") for other names',
        )
      this.#at++
      if (unit === 0x22) return text
      if (unit !== 0x5c) {
        text += String.fromCharCode(unit)
        continue
      }
      const escaped = this.#text[this.#at++]
      if (escaped !== '"' && escaped !== '\\') throw new Malformed('only \\" and \\\\ are escapes')
      text += escaped
    }
  }

  #displayString(): string {
    if (this.#text[this.#at + 1] !== '"') throw new Malformed('a display string begins with %"')
    this.#at += 2
    const bytes: number[] = []
    for (;;) {
      const unit = this.#text.charCodeAt(this.#at)
      if (Number.isNaN(unit)) throw new Malformed('a display string has no end')
      if (unit < 0x20 || unit > 0x7e) throw new Malformed('a display string is percent-encoded ASCII')
      this.#at++
      if (unit === 0x22) break
      if (unit !== 0x25) {
        bytes.push(unit)
        continue
      }
      const digits = this.#text.slice(this.#at, this.#at + 2)
      if (!/^[0-9a-f]{2}$/.test(digits)) throw new Malformed('% takes two lower-case hex digits')
      bytes.push(Number.parseInt(digits, 16))
      this.#at += 2
    }
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes))
    } catch {
      throw new Malformed('a display string is UTF-8')
    }
  }

  #bytes(): Uint8Array {
    const end = this.#text.indexOf(':', this.#at + 1)
    if (this.#text[this.#at] !== ':' || end === -1) throw new Malformed('a signature is written :BASE64:')
    const encoded = this.#text.slice(this.#at + 1, end)
    const bytes = Buffer.from(encoded, 'base64')
    // The decoder skips what it does not know; only what encodes back to itself has one reading.
    if (encoded.length === 0 || bytes.toString('base64') !== encoded)
      throw new Malformed('a signature is padded, canonical base64')
    if (bytes.length > SIGNATURE_BYTES_MAX) throw new Malformed('a signature is too long')
    this.#at = end + 1
    return new Uint8Array(bytes)
  }

  #expect(character: string): void {
    if (this.#text[this.#at] !== character)
      throw new Malformed(`expected "${character}" at character ${this.#at}`)
    this.#at++
  }

  #skipSpaces(): void {
    while (this.#text[this.#at] === ' ') this.#at++
  }

  #skipBlanks(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at++
  }

  #atEnd(): boolean {
    return this.#at >= this.#text.length
  }
}
