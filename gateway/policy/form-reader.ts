// A strict reader of bodies written as application/x-www-form-urlencoded.

import { isUtf8 } from 'node:buffer'

/** A form with more members is a fault. */
export const FORM_MEMBERS_MAX = 1024

export type FormReading =
  | { readonly ok: true; readonly members: ReadonlyMap<string, readonly string[]> }
  | { readonly ok: false; readonly reason: string }

/** Reads the whole of `body`; an empty one is a form without members. Never throws. */
export function readForm(body: Buffer): FormReading {
  if (!isUtf8(body)) return { ok: false, reason: 'the form is not UTF-8' }
  const text = body.toString('utf8')
  const members = new Map<string, string[]>()
  if (text === '') return { ok: true, members }
  const written = text.split('&', FORM_MEMBERS_MAX + 1)
  if (written.length > FORM_MEMBERS_MAX)
    return { ok: false, reason: `the form has more than ${FORM_MEMBERS_MAX} members` }
  for (const member of written) {
    // Some readers end a member at a semicolon, some drop white space around it.
    if (!/^[!-:<-~]+$/.test(member))
      return { ok: false, reason: 'the form holds an empty member, or a character that must be escaped' }
    const equals = member.indexOf('=')
    const name = decoded(equals === -1 ? member : member.slice(0, equals))
    const value = equals === -1 ? '' : decoded(member.slice(equals + 1))
    if (name === null || value === null || name === '')
      return { ok: false, reason: 'a member of the form has no name, or holds an escape that is none' }
    const list = members.get(name)
    if (list === undefined) members.set(name, [value])
    else list.push(value)
  }
  return { ok: true, members }
}

function decoded(written: string): string | null {
  let text: string
  try {
    text = decodeURIComponent(written.replaceAll('+', ' '))
  } catch {
    // URIError is how the language says that an escape is malformed, or that the bytes are not UTF-8.
    return null
  }
  return text.includes('\0') ? null : text
}
