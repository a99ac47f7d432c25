// A small, strict, total, single-pass reader of XML messages (SOAP 1.1 and ZAPI): which method is called, and the few
// values that a policy wants. What two XML parsers could read differently is a fault. Never resolves anything.

import { isUtf8 } from 'node:buffer'
import type { SoapPaths, WantedElement } from './soap-paths.ts'
import { Attributes } from './xml-attributes.ts'
import { type Envelope, envelopeOf, type XmlForm } from './xml-envelope.ts'
import { isSpaceCode, NameScanner, Namespaces } from './xml-names.ts'
import { checkReferences, decodeReferences, INVALID_CHARACTER, readDeclaration } from './xml-text.ts'

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
  if (body.length === 0) return { ok: false, reason: 'the body is empty' }
  if (!isUtf8(body)) return { ok: false, reason: 'the body is not UTF-8' }
  const text = body.toString('utf8')
  if (INVALID_CHARACTER.test(text))
    return { ok: false, reason: 'the body holds a character that XML forbids' }
  const declaration = readDeclaration(text)
  if (typeof declaration === 'string') return { ok: false, reason: declaration }
  return new Reader(text, declaration, paths, envelopeOf(form)).message()
}

// Of the open elements, by depth: where their names stand, and how many bindings each found in place. Of one message at a
// time: it is read from its first byte to its last without anything between.
const NAME_FROM = new Int32Array(XML_DEPTH_MAX)
const NAME_TO = new Int32Array(XML_DEPTH_MAX)
const BINDING_MARKS = new Int32Array(XML_DEPTH_MAX)

class Reader {
  readonly #text: string
  readonly #paths: SoapPaths
  readonly #envelope: Envelope
  readonly #methodDepth: number
  readonly #hasReferences: boolean
  readonly #hasSectionEnd: boolean
  #at: number
  #fault: string | null = null

  // What is wanted below each open element. Counted, not cut: setting an array's length is what would cost most here.
  #depth = 0
  readonly #wanted: (WantedElement | null)[] = []
  readonly #namespaces = new Namespaces()
  readonly #names: NameScanner
  /** Of the element at hand. */
  readonly #attributes: Attributes

  #method: string | null = null
  #methodNamespace = ''
  readonly #values: (string | null)[][]
  readonly #counts: number[]
  // Text of the wanted element at hand: null where none is open, and where it is not plain text `#pieceFault`.
  #piece: string | null = null
  #pieceDepth = -1
  #pieceFault = false

  constructor(text: string, from: number, paths: SoapPaths, envelope: Envelope) {
    this.#text = text
    this.#at = from
    this.#paths = paths
    this.#envelope = envelope
    this.#methodDepth = envelope.methodDepth
    this.#hasReferences = text.includes('&')
    this.#hasSectionEnd = text.includes(']]>')
    this.#names = new NameScanner(text)
    this.#attributes = new Attributes({
      text,
      names: this.#names,
      namespaces: this.#namespaces,
      hasReferences: this.#hasReferences,
    })
    this.#values = []
    this.#counts = []
  }

  message(): SoapReading {
    const text = this.#text
    while (this.#fault === null) {
      // Tags mostly stand one behind the other, and the search costs more than the look.
      const open = text.charCodeAt(this.#at) === 0x3c ? this.#at : text.indexOf('<', this.#at)
      const end = open === -1 ? text.length : open
      if (end > this.#at) this.#characters(this.#at, end)
      if (open === -1) break
      const next = text.charCodeAt(open + 1)
      if (next === 0x2f) this.#endTag(open)
      else if (next === 0x21) this.#markup(open)
      else if (next === 0x3f) this.#fail('a processing instruction is not allowed')
      else this.#startTag(open)
    }
    if (this.#fault === null && this.#depth > 0) this.#fail('an element is not closed')
    if (this.#fault === null && this.#method === null) this.#fail('there is no method in the message')
    if (this.#fault !== null || this.#method === null)
      return { ok: false, reason: this.#fault ?? 'there is no method' }
    return {
      ok: true,
      method: this.#method,
      namespace: this.#methodNamespace,
      values: this.#values,
      counts: this.#counts,
    }
  }

  #fail(reason: string): undefined {
    this.#fault ??= reason
  }

  #characters(from: number, to: number): undefined {
    const structural = this.#depth <= this.#methodDepth
    if (structural) {
      if (!isSpace(this.#text, from, to)) this.#fail('text stands where only elements may')
      return
    }
    if (this.#pieceDepth === this.#depth || this.#hasReferences) {
      const written = this.#text.slice(from, to)
      if (this.#hasReferences) {
        const fault = checkReferences(written)
        if (fault !== null) return this.#fail(fault)
      }
      if (this.#pieceDepth === this.#depth) this.#piece = (this.#piece ?? '') + written
    }
    if (this.#hasSectionEnd && this.#text.slice(from, to).includes(']]>')) this.#fail('"]]>" stands in text')
  }

  #markup(open: number): undefined {
    const text = this.#text
    if (text.startsWith('<!--', open)) {
      const end = text.indexOf('--', open + 4)
      if (end === -1 || text.charCodeAt(end + 2) !== 0x3e) return this.#fail('a comment is malformed')
      this.#at = end + 3
      // Some parsers end a text at a comment, some join the parts.
      this.#pieceFault = true
      return
    }
    if (text.startsWith('<![CDATA[', open)) {
      if (this.#depth <= this.#methodDepth + 1)
        return this.#fail('a CDATA section stands where only elements may')
      const end = text.indexOf(']]>', open + 9)
      if (end === -1) return this.#fail('a CDATA section is not closed')
      this.#at = end + 3
      this.#pieceFault = true
      return
    }
    this.#fail('a document type declaration is not allowed')
  }

  #endTag(open: number): undefined {
    const text = this.#text
    if (this.#depth === 0) return this.#fail('a closing tag does not fit')
    const depth = this.#depth - 1
    const from = NAME_FROM[depth] ?? 0
    const length = (NAME_TO[depth] ?? 0) - from
    let at = open + 2
    for (let i = 0; i < length; i++, at++)
      if (text.charCodeAt(from + i) !== text.charCodeAt(at)) return this.#fail('a closing tag does not fit')
    while (isSpaceCode(text.charCodeAt(at))) at++
    if (text.charCodeAt(at) !== 0x3e) return this.#fail('a closing tag does not fit')
    this.#at = at + 1
    this.#depth = depth
    this.#close(depth)
  }

  /** The element at `depth` is over. */
  #close(depth: number): undefined {
    const wanted = this.#wanted[depth] ?? null
    if (wanted !== null && wanted.text !== -1) {
      const plain = this.#pieceDepth === depth + 1 && !this.#pieceFault
      const piece = this.#piece ?? ''
      // A carriage return is a line feed to most parsers, and to some it is itself.
      this.#collect(wanted.text, plain && !piece.includes('\r') ? decodeReferences(piece) : null)
    }
    if (this.#pieceDepth > depth) this.#pieceDepth = -1
    this.#namespaces.bindings = BINDING_MARKS[depth] ?? 0
    if (depth < this.#methodDepth) this.#envelope.leave(depth)
  }

  #startTag(open: number): undefined {
    const text = this.#text
    const nameEnd = this.#names.scan(open + 1)
    if (nameEnd === -1) return this.#fail('a name is malformed')
    const { colon } = this.#names
    const mark = this.#namespaces.bindings
    let at = nameEnd
    const attributes = this.#attributes
    attributes.clear()
    if (text.charCodeAt(at) !== 0x3e) {
      at = attributes.read(nameEnd)
      if (attributes.fault !== null) return this.#fail(attributes.fault)
    }
    const empty = text.charCodeAt(at) === 0x2f
    if (empty) at++
    if (text.charCodeAt(at) !== 0x3e) return this.#fail('a tag is malformed')
    this.#at = at + 1

    const depth = this.#depth
    if (depth >= XML_DEPTH_MAX) return this.#fail(`the XML nests deeper than ${XML_DEPTH_MAX}`)
    const uri = this.#namespaces.resolveIn(text, open + 1, colon === -1 ? open + 1 : colon)
    if (uri === null) return this.#fail('a prefix is not declared')
    let wanted: WantedElement | null = null
    if (depth <= this.#methodDepth + 1 || this.#wanted[depth - 1] !== null) {
      wanted = this.#enter(depth, colon === -1 ? open + 1 : colon + 1, nameEnd, uri)
      if (this.#fault !== null) return
    }

    // A wanted text with an element in it is no text.
    if (this.#pieceDepth !== -1) this.#pieceFault = true
    NAME_FROM[depth] = open + 1
    NAME_TO[depth] = nameEnd
    BINDING_MARKS[depth] = mark
    this.#wanted[depth] = wanted
    if (wanted !== null) this.#open(wanted, depth)
    if (empty) this.#close(depth)
    else this.#depth = depth + 1
  }

  #open(wanted: WantedElement, depth: number): undefined {
    this.#counts[wanted.index] = (this.#counts[wanted.index] ?? 0) + 1
    if (wanted.attributes.size > 0)
      this.#attributes.collect(wanted, (index, value) => this.#collect(index, value))
    if (wanted.text === -1) return
    this.#piece = null
    this.#pieceDepth = depth + 1
    this.#pieceFault = false
  }

  /** Holds the message to its form; answers what is wanted of this element, whose local name stands between two places. */
  #enter(depth: number, from: number, to: number, uri: string): WantedElement | null {
    if (depth > this.#methodDepth) {
      // Of the SOAP header.
      if (!this.#envelope.inCall) return this.#wanted[depth - 1]?.children.find(this.#text, from, to) ?? null
      const siblings = depth === this.#methodDepth + 1 ? this.#paths.root : this.#wanted[depth - 1]?.children
      const wanted = siblings?.find(this.#text, from, to) ?? null
      // Who is blind to namespaces would take it for the argument, and who is not would look for another. Below an argument
      // clients change to the namespace of its type.
      const isAlien = wanted !== null && uri !== this.#methodNamespace
      if (isAlien && !(depth > this.#methodDepth + 1 && this.#paths.namespaces.has(uri)))
        this.#fail('an argument is in the namespace of neither its method nor its type')
      return wanted
    }
    const local = this.#text.slice(from, to)
    const fault = this.#envelope.enter(depth, local, uri)
    if (fault !== null) this.#fail(fault)
    if (depth === this.#methodDepth && this.#envelope.inCall) {
      this.#method = local
      this.#methodNamespace = uri
      return null
    }
    if (depth === 0) return this.#paths.envelope
    return depth === this.#methodDepth ? (this.#paths.headers.get(local) ?? null) : null
  }

  #collect(index: number, value: string | null): undefined {
    const list = this.#values[index]
    // White space around a value is kept by some parsers and dropped by others.
    const exact = value !== null && value.trim() !== value ? null : value
    if (list === undefined) this.#values[index] = [exact]
    else list.push(exact)
  }
}

function isSpace(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (!isSpaceCode(text.charCodeAt(at))) return false
  return true
}
