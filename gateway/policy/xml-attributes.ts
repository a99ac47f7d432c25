// The attributes of one start tag, as places in the message's text: nothing is cut out of it but what somebody asks for.
// One object serves all tags of a message, one after the other.

import type { WantedElement } from './soap-paths.ts'
import { isSpaceCode, type NameScanner, type Namespaces } from './xml-names.ts'
import { checkReferences, decodeReferences } from './xml-text.ts'

const SCHEMA_INSTANCE = 'http://www.w3.org/2001/XMLSchema-instance'
const XMLNS = 'xmlns'

/** Attributes of one element beyond this are a fault. */
export const XML_ATTRIBUTES_MAX = 64

/** Of each attribute: where its name begins, its colon stands (-1 without one), its name ends, its value begins and ends. */
const PLACES = 5

export interface AttributesTerms {
  readonly text: string
  readonly names: NameScanner
  readonly namespaces: Namespaces
  /** Whether an ampersand stands anywhere in the text. */
  readonly hasReferences: boolean
}

export class Attributes {
  /** Why the tag cannot be read, or null. */
  fault: string | null = null
  readonly #text: string
  readonly #names: NameScanner
  readonly #namespaces: Namespaces
  readonly #hasReferences: boolean
  readonly #places: number[] = []
  #count = 0

  constructor({ text, names, namespaces, hasReferences }: AttributesTerms) {
    this.#text = text
    this.#names = names
    this.#namespaces = namespaces
    this.#hasReferences = hasReferences
  }

  /** Forgets those of the tag before. */
  clear(): void {
    this.#count = 0
  }

  /** Reads what stands behind a tag's name, and binds the prefixes that it declares; answers where the tag's end stands. */
  read(from: number): number {
    const text = this.#text
    let at = from
    let prefixed = 0
    for (;;) {
      const before = at
      at = this.#spaceEnd(at)
      const code = text.charCodeAt(at)
      if (code === 0x3e || code === 0x2f) break
      if (at === before) return this.#fail('a tag is malformed')
      const nameFrom = at
      const nameTo = this.#names.scan(at)
      const { colon } = this.#names
      if (nameTo === -1) return this.#fail('a name is malformed')
      at = this.#spaceEnd(nameTo)
      if (text.charCodeAt(at) !== 0x3d) return this.#fail('an attribute has no value')
      at = this.#spaceEnd(at + 1)
      const valueFrom = at + 1
      const valueTo = this.#valueEnd(valueFrom, text.charCodeAt(at))
      if (valueTo === -1) return at
      if (this.#stands(nameFrom, nameTo))
        return this.#fail(`the attribute ${text.slice(nameFrom, nameTo)} stands twice`)
      if (this.#count === XML_ATTRIBUTES_MAX)
        return this.#fail(`an element has more than ${XML_ATTRIBUTES_MAX} attributes`)
      this.#add(nameFrom, colon, nameTo, valueFrom, valueTo)
      if (this.#isXmlns(nameFrom, colon === -1 ? nameTo : colon)) {
        const prefix = colon === -1 ? '' : text.slice(colon + 1, nameTo)
        const fault = this.#namespaces.bind(prefix, decodeReferences(text.slice(valueFrom, valueTo)))
        if (fault !== null) return this.#fail(fault)
      } else if (colon !== -1) prefixed++
      at = valueTo + 1
    }
    if (prefixed > 0) this.#checkPrefixed(prefixed)
    return at
  }

  /** Tells of each that is wanted: its value, or null where readers differ about it. */
  collect(wanted: WantedElement, into: (index: number, value: string | null) => void): void {
    for (let i = 0; i < this.#count; i++) {
      const nameFrom = this.#place(i, 0)
      const colon = this.#place(i, 1)
      const index = wanted.attributes.get(
        this.#text.slice(colon === -1 ? nameFrom : colon + 1, this.#place(i, 2)),
      )
      if (index === undefined) continue
      if (colon === -1) {
        const written = this.#text.slice(this.#place(i, 3), this.#place(i, 4))
        // Any white space in an attribute is a blank to most parsers, and to some it is itself.
        into(index, /[\t\n\r]/.test(written) ? null : decodeReferences(written))
      } else if (
        !this.#isXmlns(nameFrom, colon) &&
        this.#namespaces.resolveIn(this.#text, nameFrom, colon) !== SCHEMA_INSTANCE
      ) {
        // A parser that is blind to prefixes would take it for the unprefixed one.
        into(index, null)
      }
    }
  }

  #fail(reason: string): -1 {
    this.fault ??= reason
    return -1
  }

  #spaceEnd(at: number): number {
    while (isSpaceCode(this.#text.charCodeAt(at))) at++
    return at
  }

  /** Where the value's quote stands again; -1 where the value cannot be read. */
  #valueEnd(from: number, quote: number): number {
    if (quote !== 0x22 && quote !== 0x27) return this.#fail('an attribute is not quoted')
    const text = this.#text
    let at = from
    for (let code = text.charCodeAt(at); code !== quote; code = text.charCodeAt(++at)) {
      if (code === 0x3c) return this.#fail('an attribute holds "<"')
      if (Number.isNaN(code)) return this.#fail('an attribute is not closed')
    }
    if (this.#hasReferences) {
      const fault = checkReferences(text.slice(from, at))
      if (fault !== null) return this.#fail(fault)
    }
    return at
  }

  /** Whether the tag has an attribute of this name already. */
  #stands(from: number, to: number): boolean {
    for (let i = 0; i < this.#count; i++) {
      const other = this.#place(i, 0)
      if (this.#place(i, 2) - other === to - from && this.#isSame(other, from, to - from)) return true
    }
    return false
  }

  #isSame(one: number, other: number, length: number): boolean {
    for (let i = 0; i < length; i++)
      if (this.#text.charCodeAt(one + i) !== this.#text.charCodeAt(other + i)) return false
    return true
  }

  #add(nameFrom: number, colon: number, nameTo: number, valueFrom: number, valueTo: number): void {
    const places = this.#places
    const at = this.#count++ * PLACES
    places[at] = nameFrom
    places[at + 1] = colon
    places[at + 2] = nameTo
    places[at + 3] = valueFrom
    places[at + 4] = valueTo
  }

  #place(attribute: number, which: number): number {
    return this.#places[attribute * PLACES + which] ?? -1
  }

  #isXmlns(from: number, to: number): boolean {
    return to - from === XMLNS.length && this.#text.startsWith(XMLNS, from)
  }

  /** Prefixes must be declared, and two of them must not spell the same attribute. */
  #checkPrefixed(prefixed: number): void {
    let seen: string[] | null = null
    for (let i = 0; i < this.#count; i++) {
      const from = this.#place(i, 0)
      const colon = this.#place(i, 1)
      if (colon === -1 || this.#isXmlns(from, colon)) continue
      const uri = this.#namespaces.resolveIn(this.#text, from, colon)
      if (uri === null) {
        this.#fail(`the prefix ${this.#text.slice(from, colon)} is not declared`)
        return
      }
      // One alone has nothing to be the same as.
      if (prefixed === 1) return
      const name = this.#text.slice(from, this.#place(i, 2))
      const expanded = `${uri} ${this.#text.slice(colon + 1, this.#place(i, 2))}`
      seen ??= []
      if (seen.includes(expanded)) {
        this.#fail(`the attribute ${name} stands twice`)
        return
      }
      seen.push(expanded)
    }
  }
}
