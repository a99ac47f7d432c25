// The attributes of one start tag, as places in the message's bytes: nothing is made a string but what somebody asks for.
// One object serves all tags of a message, one after the other.

import type { WantedElement } from './soap-paths.ts'
import { isSame, Malformed, nameEnd, spaceEnd, spells } from './xml-bytes.ts'
import type { Namespaces } from './xml-names.ts'
import { decodeReferences, valueEnd } from './xml-text.ts'

const SLASH = 0x2f
const COLON = 0x3a
const EQUALS = 0x3d
const GREATER = 0x3e

const SCHEMA_INSTANCE = 'http://www.w3.org/2001/XMLSchema-instance'
const XMLNS = Buffer.from('xmlns')

/** Attributes of one element beyond this are a fault. */
export const XML_ATTRIBUTES_MAX = 64

// Of each attribute of the tag at hand: where its name, its local name and its value stand. A name is local from its first
// letter on where nothing is to be looked up for it: without a prefix, and where it declares one.
const NAME_FROM = new Int32Array(XML_ATTRIBUTES_MAX)
const LOCAL_FROM = new Int32Array(XML_ATTRIBUTES_MAX)
const NAME_TO = new Int32Array(XML_ATTRIBUTES_MAX)
const VALUE_FROM = new Int32Array(XML_ATTRIBUTES_MAX)
const VALUE_TO = new Int32Array(XML_ATTRIBUTES_MAX)

export class Attributes {
  readonly #body: Buffer
  readonly #namespaces: Namespaces
  #count = 0

  constructor(body: Buffer, namespaces: Namespaces) {
    this.#body = body
    this.#namespaces = namespaces
  }

  /** Reads what stands behind a tag's name, and binds the prefixes that it declares; answers where the tag's end stands. */
  read(from: number, end: number): number {
    const body = this.#body
    this.#count = 0
    let prefixed = 0
    let at = from
    for (;;) {
      const nameFrom = spaceEnd(body, at)
      if (body[nameFrom] === GREATER || body[nameFrom] === SLASH) {
        if (prefixed > 0) this.#checkPrefixed()
        return nameFrom
      }
      if (nameFrom === at) throw new Malformed('a tag is malformed')
      const prefixTo = nameEnd(body, nameFrom)
      const hasColon = body[prefixTo] === COLON
      const nameTo = hasColon ? nameEnd(body, prefixTo + 1) : prefixTo
      const equals = spaceEnd(body, nameTo)
      if (body[equals] !== EQUALS) throw new Malformed('an attribute has no value')
      const valueFrom = spaceEnd(body, equals + 1) + 1
      const valueTo = valueEnd(body, valueFrom, end)
      at = valueTo + 1
      const i = this.#nextOf(nameFrom, nameTo)
      NAME_FROM[i] = nameFrom
      LOCAL_FROM[i] = nameFrom
      NAME_TO[i] = nameTo
      VALUE_FROM[i] = valueFrom
      VALUE_TO[i] = valueTo
      if (spells(body, nameFrom, prefixTo, XMLNS)) {
        const uri = decodeReferences(body.toString('utf8', valueFrom, valueTo))
        this.#namespaces.bind(hasColon ? prefixTo + 1 : nameTo, nameTo, uri)
      } else if (hasColon) {
        LOCAL_FROM[i] = prefixTo + 1
        prefixed++
      }
    }
  }

  /** Tells of each that is wanted: its value, or null where readers differ about it. */
  collect(wanted: WantedElement, into: (index: number, value: string | null) => void): void {
    for (let i = 0; i < this.#count; i++) {
      const index = wanted.attributes.find(this.#body, LOCAL_FROM[i] ?? 0, NAME_TO[i] ?? 0)
      if (index === undefined) continue
      if (!isPrefixed(i)) {
        const written = this.#body.toString('utf8', VALUE_FROM[i], VALUE_TO[i])
        // Any white space in an attribute is a blank to most parsers, and to some it is itself.
        into(index, /[\t\n\r]/.test(written) ? null : decodeReferences(written))
      } else if (this.#namespaceOf(i) !== SCHEMA_INSTANCE) {
        // A parser that is blind to prefixes would take it for the unprefixed one.
        into(index, null)
      }
    }
  }

  /** A place for one more, of whose name the tag has none yet. */
  #nextOf(nameFrom: number, nameTo: number): number {
    for (let i = 0; i < this.#count; i++) {
      const other = NAME_FROM[i] ?? 0
      const length = (NAME_TO[i] ?? 0) - other
      if (length === nameTo - nameFrom && isSame(this.#body, other, nameFrom, length)) this.#failTwice(i)
    }
    if (this.#count === XML_ATTRIBUTES_MAX)
      throw new Malformed(`an element has more than ${XML_ATTRIBUTES_MAX} attributes`)
    return this.#count++
  }

  /** Prefixes must be declared, and two of them must not spell the same attribute. */
  #checkPrefixed(): void {
    for (let i = 0; i < this.#count; i++) {
      if (!isPrefixed(i)) continue
      const uri = this.#namespaceOf(i)
      const local = LOCAL_FROM[i] ?? 0
      const length = (NAME_TO[i] ?? 0) - local
      for (let j = 0; j < i; j++) {
        const other = LOCAL_FROM[j] ?? 0
        const isAlike = (NAME_TO[j] ?? 0) - other === length && isSame(this.#body, other, local, length)
        if (isAlike && isPrefixed(j) && this.#namespaceOf(j) === uri) this.#failTwice(i)
      }
    }
  }

  #namespaceOf(attribute: number): string {
    return this.#namespaces.resolve(NAME_FROM[attribute] ?? 0, (LOCAL_FROM[attribute] ?? 0) - 1)
  }

  #failTwice(attribute: number): never {
    const name = this.#body.toString('latin1', NAME_FROM[attribute], NAME_TO[attribute])
    throw new Malformed(`the attribute ${name} stands twice`)
  }
}

function isPrefixed(attribute: number): boolean {
  return LOCAL_FROM[attribute] !== NAME_FROM[attribute]
}
