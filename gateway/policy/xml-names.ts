// The namespaces of one message: which prefixes are bound where the reader stands, and what each stands for.

import { isSame, Malformed, spells } from './xml-bytes.ts'

/** More bindings in scope than this are a fault: looking one up must stay cheap. */
export const XML_BINDINGS_MAX = 64

const XML = Buffer.from('xml')
const XMLNS = Buffer.from('xmlns')
const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace'
const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/'

// Of the bindings in scope, innermost last: where the prefix stands. Of one message at a time: it is read from its first byte
// to its last without anything between.
const PREFIX_FROM = new Int32Array(XML_BINDINGS_MAX)
const PREFIX_LENGTH = new Int32Array(XML_BINDINGS_MAX)

export class Namespaces {
  /** How many are in scope; going back to an earlier number takes the later ones out of it. */
  bindings = 0
  readonly #body: Buffer
  readonly #uris: string[] = []

  constructor(body: Buffer) {
    this.#body = body
  }

  /** Binds the prefix that stands between two places; it is empty for the namespace of what has none. */
  bind(from: number, to: number, uri: string): void {
    const isXml = spells(this.#body, from, to, XML)
    if (uri === XMLNS_NAMESPACE || spells(this.#body, from, to, XMLNS))
      throw new Malformed('the prefix xmlns is bound')
    if (isXml !== (uri === XML_NAMESPACE)) throw new Malformed('the prefix xml is bound anew')
    if (from < to && uri === '') throw new Malformed('a prefix is bound to nothing')
    if (this.bindings === XML_BINDINGS_MAX)
      throw new Malformed(`more than ${XML_BINDINGS_MAX} namespaces are bound`)
    PREFIX_FROM[this.bindings] = from
    PREFIX_LENGTH[this.bindings] = to - from
    this.#uris[this.bindings] = uri
    this.bindings++
  }

  /** What the prefix between two places stands for. An empty one may be unbound. */
  resolve(from: number, to: number): string {
    const length = to - from
    for (let i = this.bindings - 1; i >= 0; i--)
      if (PREFIX_LENGTH[i] === length && isSame(this.#body, PREFIX_FROM[i] ?? 0, from, length))
        return this.#uris[i] ?? ''
    if (length === 0) return ''
    if (spells(this.#body, from, to, XML)) return XML_NAMESPACE
    throw new Malformed(`the prefix ${this.#body.toString('latin1', from, to)} is not declared`)
  }
}
