// The text level of XML: the declaration, what may stand in texts and attributes, and references. No entity but the five
// predefined ones.

import { isAscii, isUtf8 } from 'node:buffer'
import { checkCharacters, dataEnd, Malformed } from './xml-bytes.ts'

const DOUBLE_QUOTE = 0x22
const AMPERSAND = 0x26
const SINGLE_QUOTE = 0x27
const LESS = 0x3c
const GREATER = 0x3e
const QUESTION = 0x3f
const BRACKET = 0x5d

const DECLARATION_BYTES_MAX = 258
const DECLARATION =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(["'])1\.0\1(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(["'])([A-Za-z][\w.-]*)\2)?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(["'])(?:yes|no)\4)?[ \t\r\n]*\?>$/

/** Holds the body to UTF-8, and to what XML allows beyond ASCII. */
export function checkEncoding(body: Buffer): void {
  if (isAscii(body)) return
  if (!isUtf8(body)) throw new Malformed('the body is not UTF-8')
  if (body.includes('\ufffe') || body.includes('\uffff'))
    throw new Malformed('the body holds a character that XML forbids')
}

/** Where the body behind the XML declaration begins, 0 without one. */
export function declarationEnd(body: Buffer): number {
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf)
    throw new Malformed('the body begins with a byte order mark')
  if (body[0] !== LESS || body[1] !== QUESTION) return 0
  const end = body.indexOf(GREATER) + 1
  const declaration = body.toString('latin1', 0, Math.min(end, DECLARATION_BYTES_MAX))
  if (declaration === lastDeclaration) return end
  if (!declaration.startsWith('<?xml')) return 0
  const match = DECLARATION.exec(declaration)
  if (match === null) throw new Malformed('the XML declaration is malformed')
  const encoding = match[3]?.toLowerCase() ?? 'utf-8'
  if (encoding !== 'utf-8' && encoding !== 'utf8')
    throw new Malformed('the XML declaration names an encoding that is not UTF-8')
  lastDeclaration = declaration
  return end
}

// A backend's clients send the same one on every call: one remembered declaration saves the parsing.
let lastDeclaration: string | null = null

/** Where the text that begins there ends: at a tag, or with the document. */
export function textEnd(body: Buffer, from: number, end: number): number {
  for (let at = from; ; ) {
    at = dataEnd(body, at, end)
    const byte = body[at]
    if (at === end || byte === LESS) return at
    if (byte === BRACKET && body[at + 1] === BRACKET && body[at + 2] === GREATER)
      throw new Malformed('"]]>" stands in text')
    at = passed(body, at)
  }
}

/** Where the comment or the CDATA section that begins there ends. */
export function markupEnd(body: Buffer, open: number, takesSections: boolean): number {
  const start = body.toString('latin1', open, open + 9)
  if (start.startsWith('<?')) throw new Malformed('a processing instruction is not allowed')
  if (start.startsWith('<!--')) {
    const close = body.indexOf('--', open + 4)
    if (close === -1 || body[close + 2] !== GREATER) throw new Malformed('a comment is malformed')
    checkCharacters(body, open, close)
    return close + 3
  }
  if (start !== '<![CDATA[') throw new Malformed('a document type declaration is not allowed')
  if (!takesSections) throw new Malformed('a CDATA section stands where only elements may')
  const close = body.indexOf(']]>', open + 9)
  if (close === -1) throw new Malformed('a CDATA section is not closed')
  checkCharacters(body, open, close)
  return close + 3
}

/** Where the quote that an attribute's value began with stands again. */
export function valueEnd(body: Buffer, from: number, end: number): number {
  const quote = body[from - 1]
  if (quote !== DOUBLE_QUOTE && quote !== SINGLE_QUOTE) throw new Malformed('an attribute is not quoted')
  for (let at = from; ; ) {
    at = dataEnd(body, at, end)
    const byte = body[at]
    if (at === end) throw new Malformed('an attribute is not closed')
    if (byte === quote) return at
    if (byte === LESS) throw new Malformed('an attribute holds "<"')
    at = passed(body, at)
  }
}

/** Behind the byte or the reference at which the scan of a text or a value stopped. */
function passed(body: Buffer, at: number): number {
  if (body[at] !== AMPERSAND) {
    checkCharacters(body, at, at + 1)
    return at + 1
  }
  // The longest allowed reference is `&#x10FFFF;`; bounding the search keeps a text of ampersands linear.
  const behind = body.toString('latin1', at + 1, at + 12)
  const length = behind.indexOf(';')
  if (length === -1 || referenced(behind.slice(0, length)) === null)
    throw new Malformed('a reference is neither predefined nor a character that XML allows')
  return at + length + 2
}

/** The text with its references replaced. Only for what `textEnd` or `valueEnd` has passed. */
export function decodeReferences(written: string): string {
  if (!written.includes('&')) return written
  return written.replace(/&([^;]{1,10});/g, (whole, name: string) => referenced(name) ?? whole)
}

const PREDEFINED: ReadonlyMap<string, string> = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['apos', "'"],
  ['quot', '"'],
])

/** The character that a reference stands for; null where XML forbids it, or nobody else would know it. */
function referenced(name: string): string | null {
  if (name.charCodeAt(0) !== 0x23) return PREDEFINED.get(name) ?? null
  const hex = /^#x([0-9a-fA-F]{1,6})$/.exec(name)?.[1]
  const decimal = /^#([0-9]{1,7})$/.exec(name)?.[1]
  const code = hex !== undefined ? Number.parseInt(hex, 16) : Number.parseInt(decimal ?? '-1', 10)
  if (code < 1 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return null
  const character = String.fromCodePoint(code)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  return /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/.test(character) ? null : character // oxlint-disable-line no-control-regex
}
