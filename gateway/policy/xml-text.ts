// The text level of XML: the declaration, allowed characters, and references. No entity but the five predefined ones.

/** XML forbids these even as references. Surrogates need no check: the text was valid UTF-8. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
export const INVALID_CHARACTER = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/ // oxlint-disable-line no-control-regex

const DECLARATION =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(["'])1\.0\1(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(["'])([A-Za-z][\w.-]*)\2)?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(["'])(?:yes|no)\4)?[ \t\r\n]*\?>$/

/** Where the text behind the XML declaration begins (0 without one), or what is wrong with it. */
export function readDeclaration(text: string): number | string {
  if (text.charCodeAt(0) === 0xfeff) return 'the body begins with a byte order mark'
  if (!text.startsWith('<?xml')) return 0
  const end = text.indexOf('?>')
  if (end === -1 || end > 256) return 'the XML declaration is malformed'
  const match = DECLARATION.exec(text.slice(0, end + 2))
  if (match === null) return 'the XML declaration is malformed'
  const encoding = match[3]?.toLowerCase()
  if (encoding !== undefined && encoding !== 'utf-8' && encoding !== 'utf8')
    return 'the XML declaration names an encoding that is not UTF-8'
  return end + 2
}

const PREDEFINED: ReadonlyMap<string, string> = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['apos', "'"],
  ['quot', '"'],
])

/** What is wrong with the references in a text or attribute value, or null. */
export function checkReferences(written: string): string | null {
  for (let at = written.indexOf('&'); at !== -1; at = written.indexOf('&', at + 1)) {
    // The longest allowed reference is `&#x10FFFF;`; bounding the search keeps a text of ampersands linear.
    const end = written.slice(at + 1, at + 12).indexOf(';')
    if (end === -1 || referenced(written.slice(at + 1, at + 1 + end)) === null)
      return 'a reference is neither predefined nor a character that XML allows'
  }
  return null
}

/** The text with its references replaced. Only for what `checkReferences` found nothing wrong with. */
export function decodeReferences(written: string): string {
  if (!written.includes('&')) return written
  return written.replace(/&([^;]{1,10});/g, (whole, name: string) => referenced(name) ?? whole)
}

function referenced(name: string): string | null {
  if (name.charCodeAt(0) !== 0x23) return PREDEFINED.get(name) ?? null
  const hex = /^#x([0-9a-fA-F]{1,6})$/.exec(name)?.[1]
  const decimal = /^#([0-9]{1,7})$/.exec(name)?.[1]
  const code = hex !== undefined ? Number.parseInt(hex, 16) : Number.parseInt(decimal ?? '-1', 10)
  if (code < 1 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return null
  const character = String.fromCodePoint(code)
  return INVALID_CHARACTER.test(character) ? null : character
}
