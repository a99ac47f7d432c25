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

/** Scans names that may hold one colon. Names are ASCII here. */
export class NameScanner {
  /** Where the colon of the name scanned last stands; -1 without one. */
  colon = -1
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** Answers where the name that begins there ends; -1 where there is none, or it is malformed. */
  scan(from: number): number {
    this.colon = -1
    const end = partEnd(this.#text, from)
    if (end === -1 || this.#text.charCodeAt(end) !== 0x3a) return end
    this.colon = end
    return partEnd(this.#text, end + 1)
  }
}

/** The end of a name without a colon. */
function partEnd(text: string, from: number): number {
  if (kindOf(text.charCodeAt(from)) !== NAME_START) return -1
  let at = from + 1
  while (kindOf(text.charCodeAt(at)) !== 0) at++
  return at
}

/** Beyond the text the code is no number, and compares as false. */
function kindOf(code: number): number {
  return code < 128 ? (NAME[code] ?? 0) : 0
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
