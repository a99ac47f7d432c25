// A small, strict, total, single-pass reader of XML messages (SOAP 1.1 and ZAPI): which method is called, and the few
// values that a policy wants. What two XML parsers could read differently is a fault. Never resolves anything.
// It works on the bytes, and makes a string of nothing that nobody wants: most of a long call is passed over.

import type { SoapPaths, WantedElement } from './soap-paths.ts'
import { Attributes } from './xml-attributes.ts'
import { closingTagEnd, Malformed, nameEnd, spaceEnd, trimmedEnd } from './xml-bytes.ts'
import { type Envelope, envelopeOf, type XmlForm } from './xml-envelope.ts'
import { Namespaces } from './xml-names.ts'
import { checkEncoding, declarationEnd, decodeReferences, markupEnd, textEnd } from './xml-text.ts'

/** Nesting beyond this is a fault. */
export const XML_DEPTH_MAX = 128

export interface SoapMessage {
  readonly ok: true
  /** Local name of the one element that is the call. */
  readonly method: string
  readonly namespace: string
  /** By `SoapPath.value`: each occurrence in order; null where it is not plain text. Undefined: none. */
  readonly values: readonly ((string | null)[] | undefined)[]
  /** By `WantedElement.index`: how often the element occurs. */
  readonly counts: readonly (number | undefined)[]
}

export type SoapReading = SoapMessage | { readonly ok: false; readonly reason: string }

/** Reads the whole of `body`. Never throws; time and memory are linear in its length. */
export function readSoap(body: Buffer, paths: SoapPaths, form: XmlForm | 'plain' = 'soap'): SoapReading {
  try {
    if (body.length === 0) throw new Malformed('the body is empty')
    checkEncoding(body)
    const end = trimmedEnd(body)
    if (body[end - 1] !== GREATER) throw new Malformed('the body does not end with ">"')
    return new Reader(body, paths, envelopeOf(form)).message(end)
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, reason: error.message }
    throw error
  }
}

const EXCLAMATION = 0x21
const SLASH = 0x2f
const COLON = 0x3a
const LESS = 0x3c
const GREATER = 0x3e
const QUESTION = 0x3f

// Of the open elements, by depth: where their names stand, and how many bindings each found in place. Of one message at a
// time: it is read from its first byte to its last without anything between.
const NAME_FROM = new Int32Array(XML_DEPTH_MAX)
const LOCAL_FROM = new Int32Array(XML_DEPTH_MAX)
const NAME_TO = new Int32Array(XML_DEPTH_MAX)
const BINDINGS = new Int32Array(XML_DEPTH_MAX)

class Reader {
  readonly #body: Buffer
  readonly #paths: SoapPaths
  readonly #envelope: Envelope
  readonly #namespaces: Namespaces
  /** Of the element at hand. */
  readonly #attributes: Attributes
  /** What is wanted of each open element. Counted, not cut: setting an array's length would cost more than all else. */
  readonly #wanted: (WantedElement | null)[] = []

  #method: string | null = null
  #methodNamespace = ''
  readonly #values: (string | null)[][] = []
  readonly #counts: number[] = []

  constructor(body: Buffer, paths: SoapPaths, envelope: Envelope) {
    this.#body = body
    this.#paths = paths
    this.#envelope = envelope
    this.#namespaces = new Namespaces(body)
    this.#attributes = new Attributes(body, this.#namespaces)
  }

  /** Reads the document, which is the body from its first byte to `end`. A ">" stands before that. */
  message(end: number): SoapMessage {
    const body = this.#body
    const namespaces = this.#namespaces
    const wanted = this.#wanted
    const { methodDepth } = this.#envelope
    // Where the text began that stands alone in its element, so far; -1 where something else stands there.
    let textFrom = -1
    let depth = 0
    let at = declarationEnd(body)
    while (at < end) {
      if (body[at] !== LESS) {
        at = depth > methodDepth ? textEnd(body, at, end) : blankEnd(body, at)
        continue
      }
      const next = body[at + 1]
      if (next === SLASH) {
        if (depth === 0) throw new Malformed('a closing tag does not fit')
        depth--
        if (depth < methodDepth || wanted[depth] !== null) this.#close(depth, textFrom, at)
        namespaces.bindings = BINDINGS[depth] ?? 0
        textFrom = -1
        at = closingTagEnd(body, at, NAME_FROM[depth] ?? 0, NAME_TO[depth] ?? 0)
        continue
      }
      if (next === EXCLAMATION || next === QUESTION) {
        at = markupEnd(body, at, depth > methodDepth + 1)
        // Some parsers end a text at a comment, some join the parts.
        textFrom = -1
        continue
      }
      if (depth === XML_DEPTH_MAX) throw new Malformed(`the XML nests deeper than ${XML_DEPTH_MAX}`)
      const nameFrom = at + 1
      const prefixTo = nameEnd(body, nameFrom)
      const hasPrefix = body[prefixTo] === COLON
      const nameTo = hasPrefix ? nameEnd(body, prefixTo + 1) : prefixTo
      NAME_FROM[depth] = nameFrom
      LOCAL_FROM[depth] = hasPrefix ? prefixTo + 1 : nameFrom
      NAME_TO[depth] = nameTo
      BINDINGS[depth] = namespaces.bindings
      const hasAttributes = body[nameTo] !== GREATER
      const tagEnd = hasAttributes ? this.#attributes.read(nameTo, end) : nameTo
      const isEmpty = body[tagEnd] === SLASH
      at = isEmpty ? tagEnd + 2 : tagEnd + 1
      if (body[at - 1] !== GREATER) throw new Malformed('a tag is malformed')
      wanted[depth] =
        depth <= methodDepth || hasPrefix || wanted[depth - 1] !== null
          ? this.#open(depth, hasAttributes)
          : null
      textFrom = at
      if (isEmpty) {
        this.#close(depth, at, at)
        namespaces.bindings = BINDINGS[depth] ?? 0
        textFrom = -1
      } else depth++
    }
    if (depth > 0) throw new Malformed('an element is not closed')
    if (this.#method === null) throw new Malformed('there is no method in the message')
    return {
      ok: true,
      method: this.#method,
      namespace: this.#methodNamespace,
      values: this.#values,
      counts: this.#counts,
    }
  }

  /** The start tag of an element at `depth` was read. */
  #open(depth: number, hasAttributes: boolean): WantedElement | null {
    const wanted = depth > this.#envelope.methodDepth ? this.#wantedBelow(depth) : this.#wantedOf(depth)
    if (wanted === null) return null
    this.#counts[wanted.index] = (this.#counts[wanted.index] ?? 0) + 1
    if (hasAttributes && !wanted.attributes.isEmpty)
      this.#attributes.collect(wanted, (index, value) => this.#collect(index, value))
    return wanted
  }

  /** The element at `depth` is over. The text in it, if it has nothing else, stands between two places. */
  #close(depth: number, textFrom: number, textTo: number): void {
    const wanted = this.#wanted[depth] ?? null
    if (wanted !== null && wanted.text !== -1) this.#collectText(wanted.text, textFrom, textTo)
    if (depth < this.#envelope.methodDepth) this.#envelope.leave(depth)
  }

  /** Of an element below the method, or below one of the SOAP header. */
  #wantedBelow(depth: number): WantedElement | null {
    const { inCall, methodDepth } = this.#envelope
    const parent = this.#wanted[depth - 1] ?? null
    const localFrom = LOCAL_FROM[depth] ?? 0
    const wanted = parent?.children.find(this.#body, localFrom, NAME_TO[depth] ?? 0) ?? null
    if (wanted === null && localFrom === NAME_FROM[depth]) return null
    const uri = this.#namespaceOf(depth)
    // Who is blind to namespaces would take it for the argument, and who is not would look for another. Below an argument
    // clients change to the namespace of its type.
    const isAlien = wanted !== null && inCall && uri !== this.#methodNamespace
    if (isAlien && !(depth > methodDepth + 1 && this.#paths.namespaces.has(uri)))
      throw new Malformed('an argument is in the namespace of neither its method nor its type')
    return wanted
  }

  /** Of an element down to the method; holds the message to its form. */
  #wantedOf(depth: number): WantedElement | null {
    const { methodDepth } = this.#envelope
    const from = LOCAL_FROM[depth] ?? 0
    const to = NAME_TO[depth] ?? 0
    const local = this.#body.toString('latin1', from, to)
    const uri = this.#namespaceOf(depth)
    const fault = this.#envelope.enter(depth, local, uri)
    if (fault !== null) throw new Malformed(fault)
    if (depth === methodDepth && this.#envelope.inCall) {
      this.#method = local
      this.#methodNamespace = uri
      return this.#paths.method
    }
    if (depth === 0) return this.#paths.envelope
    return depth === methodDepth ? (this.#paths.headers.find(this.#body, from, to) ?? null) : null
  }

  #namespaceOf(depth: number): string {
    const nameFrom = NAME_FROM[depth] ?? 0
    const localFrom = LOCAL_FROM[depth] ?? 0
    return this.#namespaces.resolve(nameFrom, localFrom === nameFrom ? nameFrom : localFrom - 1)
  }

  #collectText(index: number, from: number, to: number): void {
    const written = from === -1 ? null : this.#body.toString('utf8', from, to)
    // A carriage return is a line feed to most parsers, and to some it is itself.
    this.#collect(index, written === null || written.includes('\r') ? null : decodeReferences(written))
  }

  #collect(index: number, value: string | null): void {
    const list = this.#values[index]
    // White space around a value is kept by some parsers and dropped by others.
    const exact = value !== null && value.trim() !== value ? null : value
    if (list === undefined) this.#values[index] = [exact]
    else list.push(exact)
  }
}

/** Behind white space that stands between tags. */
function blankEnd(body: Buffer, from: number): number {
  const at = spaceEnd(body, from)
  if (body[at] !== LESS) throw new Malformed('text stands where only elements may')
  return at
}
