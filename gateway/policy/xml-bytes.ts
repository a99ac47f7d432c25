// The byte level of XML in UTF-8: what a byte may be part of, and how far bytes of one kind go. Only the scan of data is told
// where the document ends: its last byte is a ">", which ends all the others.
// Loops here do nothing but look at bytes: then what is looked up for the buffer is looked up once, and not for each byte.

/** Why a message cannot be read. Thrown by whoever finds out, and caught in `readSoap` alone. */
export class Malformed extends Error {}

const GREATER = 0x3e

const NAME_START = 1
const NAME = 2
const SPACE = 4
const DATA = 8
const ALLOWED = 16

/** Names are ASCII here. Data is what a text or an attribute's value may go on with, whatever stands around it. */
const KINDS = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte)
  const isSpace = /[\t\n\r ]/.test(character)
  const isAllowed = byte >= 0x20 || isSpace
  return (
    (/[A-Za-z_]/.test(character) ? NAME_START : 0) |
    (/[A-Za-z0-9._-]/.test(character) ? NAME : 0) |
    (isSpace ? SPACE : 0) |
    (isAllowed && !/[<&\]"']/.test(character) ? DATA : 0) |
    (isAllowed ? ALLOWED : 0)
  )
})

/** Where the name that begins there ends, or its prefix. */
export function nameEnd(bytes: Uint8Array, from: number): number {
  if (((KINDS[bytes[from] ?? 0] ?? 0) & NAME_START) === 0) throw new Malformed('a name is malformed')
  let at = from + 1
  while (((KINDS[bytes[at] ?? 0] ?? 0) & NAME) !== 0) at++
  return at
}

export function spaceEnd(bytes: Uint8Array, from: number): number {
  let at = from
  while (((KINDS[bytes[at] ?? 0] ?? 0) & SPACE) !== 0) at++
  return at
}

/** Where the white space at the end of all begins. */
export function trimmedEnd(bytes: Uint8Array): number {
  let end = bytes.length
  while (end > 0 && ((KINDS[bytes[end - 1] ?? 0] ?? 0) & SPACE) !== 0) end--
  return end
}

/** Goes on to what ends a text or an attribute's value, or may end it, or is a fault in it; to `end` at most. */
export function dataEnd(bytes: Uint8Array, from: number, end: number): number {
  let at = from
  while (at < end && ((KINDS[bytes[at] ?? 0] ?? 0) & DATA) !== 0) at++
  return at
}

/** Where the closing tag ends that has to repeat the name between two places. */
export function closingTagEnd(bytes: Uint8Array, open: number, nameFrom: number, nameTo: number): number {
  const length = nameTo - nameFrom
  const close = spaceEnd(bytes, open + 2 + length)
  if (!isSame(bytes, nameFrom, open + 2, length) || bytes[close] !== GREATER)
    throw new Malformed('a closing tag does not fit')
  return close + 1
}

export function checkCharacters(bytes: Uint8Array, from: number, to: number): void {
  let at = from
  while (at < to && ((KINDS[bytes[at] ?? 0] ?? 0) & ALLOWED) !== 0) at++
  if (at < to) throw new Malformed('the body holds a character that XML forbids')
}

/** Whether the same bytes stand at both places. */
export function isSame(bytes: Uint8Array, one: number, other: number, length: number): boolean {
  let i = 0
  while (i < length && bytes[one + i] === bytes[other + i]) i++
  return i === length
}

/** Whether this word stands between two places. */
export function spells(bytes: Uint8Array, from: number, to: number, word: Uint8Array): boolean {
  if (to - from !== word.length) return false
  let i = 0
  while (i < word.length && bytes[from + i] === word[i]) i++
  return i === word.length
}
