// The bytes that may stand in a head, as tables, and comparisons of names that allocate nothing. Texts here are latin1:
// one character is one byte of the wire. What goes through all of a head goes by bytes, which are read faster than characters.

/** RFC 9110 tchar: what a field's name is made of. */
const TOKEN = new Uint8Array(256)
/** What may stand in a field's value: visible bytes, space, tab, and what is not ASCII. */
const VALUE = new Uint8Array(256)
/** What may stand in a target here: visible ASCII but the fragment's sign. */
const TARGET = new Uint8Array(256)

for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
  TOKEN[character.charCodeAt(0)] = 1
for (let byte = 0; byte < 256; byte++) {
  if (byte === 0x09 || (byte >= 0x20 && byte !== 0x7f)) VALUE[byte] = 1
  if (byte > 0x20 && byte < 0x7f && byte !== 0x23) TARGET[byte] = 1
}

/** The end of the name that begins at `at`: where the first byte stands that no name has, or `limit`. */
export function nameEnd(bytes: Uint8Array, at: number, limit: number): number {
  while (at < limit && TOKEN[bytes[at] ?? 0] === 1) at++
  return at
}

/** The end of the value that begins at `at`: where the first byte stands that no value has, or `limit`. */
export function valueEnd(bytes: Uint8Array, at: number, limit: number): number {
  while (at < limit && VALUE[bytes[at] ?? 0] === 1) at++
  return at
}

export function targetEnd(bytes: Uint8Array, at: number, limit: number): number {
  while (at < limit && TARGET[bytes[at] ?? 0] === 1) at++
  return at
}

/** The same of a text that is nothing else, of whatever characters. */
export function isNameText(text: string): boolean {
  return text !== '' && isOf(TOKEN, text)
}

export function isValueText(text: string): boolean {
  return isOf(VALUE, text)
}

export function isTargetText(text: string): boolean {
  return isOf(TARGET, text)
}

function isOf(table: Uint8Array, text: string): boolean {
  for (let at = 0; at < text.length; at++) if (table[text.charCodeAt(at)] !== 1) return false
  return true
}

/** Whether `text` has `lower` at `at`, in any case of ASCII letters. The lengths are the caller's to compare. */
export function isNameAt(text: string, at: number, lower: string): boolean {
  for (let i = 0; i < lower.length; i++) {
    const byte = text.charCodeAt(at + i)
    const folded = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
    if (folded !== lower.charCodeAt(i)) return false
  }
  return true
}

/** A decimal number of 1 to 15 digits and nothing else; -1 where it is none. */
export function decimalAt(text: string, start: number, end: number): number {
  if (end <= start || end - start > 15) return -1
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = text.charCodeAt(at) - 0x30
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}
