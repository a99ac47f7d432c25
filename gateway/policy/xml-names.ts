// The name level of XML: which characters make a name, and which namespace a prefix stands for.

/** More bindings in scope than this are a fault: looking one up must stay cheap. */
export const XML_BINDINGS_MAX = 64

const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace'
const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/'

const NAME_START = 1
const NAME_REST = 2
const NAME = nameTable()

function nameTable(): Uint8Array {
  const table = new Uint8Array(128)
  for (let code = 0; code < 128; code++) {
    const character = String.fromCharCode(code)
    if (/[A-Za-z_]/.test(character)) table[code] = NAME_START
    else if (/[0-9.-]/.test(character)) table[code] = NAME_REST
  }
  return table
}

export interface ScannedName {
  /** Behind the name; -1 where there is none, or it is malformed. */
  readonly end: number
  /** Where its colon stands; -1 without one. */
  readonly colon: number
}

/** Scans a name that may hold one colon. Names are ASCII here. */
export function scanName(text: string, from: number): ScannedName {
  let at = from
  let fresh = true
  let colon = -1
  for (;;) {
    const code = text.charCodeAt(at)
    const kind = code < 128 ? NAME[code] : 0
    if (kind === NAME_START || (kind === NAME_REST && !fresh)) fresh = false
    else if (code === 0x3a && !fresh && colon === -1) {
      colon = at
      fresh = true
    } else break
    at++
  }
  return { end: fresh ? -1 : at, colon }
}

export function isSpaceCode(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

/** The namespace bindings in scope, innermost last. */
export class Namespaces {
  /** How many count; going back to an earlier number takes the later ones out of scope. */
  bindings = 0
  readonly #prefixes: string[] = []
  readonly #uris: string[] = []

  /** Adds a binding, or says what is wrong with it. */
  bind(prefix: string, uri: string): string | null {
    if (prefix === 'xmlns' || uri === XMLNS_NAMESPACE) return 'the prefix xmlns is bound'
    if ((prefix === 'xml') !== (uri === XML_NAMESPACE)) return 'the prefix xml is bound anew'
    if (prefix !== '' && uri === '') return 'a prefix is bound to nothing'
    if (this.bindings === XML_BINDINGS_MAX) return `more than ${XML_BINDINGS_MAX} namespaces are bound`
    this.#prefixes[this.bindings] = prefix
    this.#uris[this.bindings] = uri
    this.bindings++
    return null
  }

  /** The namespace of the element prefix that stands in the text there; the empty one may be unbound. */
  resolveIn(text: string, from: number, to: number): string | null {
    const length = to - from
    for (let i = this.bindings - 1; i >= 0; i--) {
      const prefix = this.#prefixes[i]
      if (prefix?.length === length && (length === 0 || text.startsWith(prefix, from)))
        return this.#uris[i] ?? null
    }
    return length === 0 ? '' : length === 3 && text.startsWith('xml', from) ? XML_NAMESPACE : null
  }

  /** The namespace of a prefix that is not empty, or null. */
  resolve(prefix: string): string | null {
    return this.resolveIn(prefix, 0, prefix.length)
  }
}
