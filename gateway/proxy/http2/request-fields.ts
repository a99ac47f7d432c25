// The head of a request of HTTP/2 as it stands for HTTP/1.1, or why it has none there (RFC 9113 §8). Pure. node's parser
// (nghttp2) has refused most malformed heads before this sees them, and has left out fields with bytes that no field may
// have: neither the check nor the backend gets those. All of it is looked at again here all the same, since it becomes the
// lines of another protocol, in which any such byte would mean something else.

import { METHODS } from 'node:http'
import { isNameText, isTargetText, isValueText } from '../wire/field-bytes.ts'

export interface RequestFields {
  readonly method: string
  readonly target: string
  /** Names and values in turn, with `Host` first. */
  readonly fields: readonly string[]
  /** Null where the head can be passed on. */
  readonly fault: string | null
}

const METHODS_KNOWN: ReadonlySet<string> = new Set(METHODS.filter((method) => method !== 'CONNECT'))
const PSEUDO: ReadonlySet<string> = new Set([':method', ':scheme', ':path', ':authority'])
/** What ends at a hop of HTTP/1.1 has no place here. */
const CONNECTION_SPECIFIC: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])
/** A name or an address, and a port: without a name of a user, and nothing of what a target has. */
const AUTHORITY = /^(?:[A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/

/** `raw`: names and values in turn, as received. `hasBody`: whether the head did not end the stream. */
export function readRequestFields(raw: readonly string[], hasBody: boolean): RequestFields {
  const pseudo = new Map<string, string>()
  const fields: string[] = []
  const cookies: string[] = []
  let host: string | null = null
  let hasLength = false
  let isPastPseudo = false
  let fault: string | null = null
  const found = (reason: string) => {
    fault ??= reason
  }
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    const isPseudo = name.charCodeAt(0) === 0x3a
    isPastPseudo ||= !isPseudo
    if (!isValue(value)) found('a field has bytes, or blanks at its ends, that no field may have')
    else if (isPseudo) {
      if (!PSEUDO.has(name) || pseudo.has(name) || isPastPseudo)
        found('its pseudo-fields are not the four of a request, once each, before all fields')
      pseudo.set(name, value)
    } else if (!isName(name))
      found('a name of a field is not in lower case, or has bytes that no name may have')
    else if (CONNECTION_SPECIFIC.has(name) || (name === 'te' && value !== 'trailers'))
      found(`${name} has no meaning in HTTP/2`)
    else if (name === 'cookie') cookies.push(value)
    else if (name === 'host') {
      if (host !== null) found('there is more than one Host')
      host = value
    } else {
      if (name === 'content-length') hasLength = true
      fields.push(name, value)
    }
  }
  const method = pseudo.get(':method') ?? ''
  const target = pseudo.get(':path') ?? ''
  const authority = pseudo.get(':authority') ?? host ?? ''
  if (method === 'CONNECT') found('CONNECT is not spoken here')
  if (!METHODS_KNOWN.has(method)) found('the method is not known here')
  if (pseudo.get(':scheme') !== 'https') found('the scheme is not that of the connection')
  if (target.charCodeAt(0) !== 0x2f || !isTargetText(target))
    found('the target must begin with a slash, and have no fragment and nothing but visible ASCII')
  if (!AUTHORITY.test(authority)) found('the authority is not the name of a host')
  if (host !== null && host !== authority) found('Host and :authority are not the same')
  if (cookies.length > 0) fields.push('cookie', cookies.filter((part) => part !== '').join('; '))
  // As a body of unknown length is announced in HTTP/1.1.
  if (hasBody && !hasLength) fields.push('Transfer-Encoding', 'chunked')
  return { method, target, fields: ['Host', authority, ...fields], fault }
}

/** By names in lower case; the values of repeated fields are joined. */
export function joinFields(fields: readonly string[]): Readonly<Record<string, string>> {
  const joined: Record<string, string> = Object.create(null)
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = (fields[i] ?? '').toLowerCase()
    const value = fields[i + 1] ?? ''
    joined[name] = joined[name] === undefined ? value : `${joined[name]}, ${value}`
  }
  return joined
}

function isName(name: string): boolean {
  return isNameText(name) && name === name.toLowerCase()
}

function isValue(value: string): boolean {
  return isValueText(value) && !/^[\t ]|[\t ]$/.test(value)
}
