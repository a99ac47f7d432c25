// The head of a request: refuses what two parsers could read in two ways, and makes the header list that the backend
// gets. Pure; the parser of node:http has refused most malformed framings before this sees them.

export interface RequestHead {
  /** Names and values in turn, as received, without hop-by-hop fields, our own, and those that frame the body. */
  readonly forwarded: string[]
  readonly token: string | null
  /** -1 where there is none. */
  readonly contentLength: number
  readonly chunked: boolean
  readonly expectsContinue: boolean
  /** Names in lower case that Connection takes from the message: who decides about it must not go by them. */
  readonly dropped: readonly string[]
}

export type HeadReading =
  | { readonly kind: 'head'; readonly head: RequestHead }
  | { readonly kind: 'fault'; readonly verdict: 'bad-request' | 'bad-token'; readonly reason: string }

const NOTHING: readonly string[] = []

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'transfer-encoding',
  'trailer',
  'te',
  'upgrade',
  'http2-settings',
  'expect',
  'content-length',
  'fencing-token',
  'fencing-session',
])

const KEPT: ReadonlySet<string> = new Set(['host', 'fencing-token', 'fencing-session'])

/** Lengths of the names above and of `host`: most fields are passed on after one look at their length. */
const SPECIAL_LENGTHS = new Uint8Array(32)
for (const name of [...HOP_BY_HOP, 'host']) SPECIAL_LENGTHS[name.length] = 1

export function readRequestHead(raw: readonly string[], target: string, version: string): HeadReading {
  if (version !== '1.1' && version !== '1.0' && version !== '2')
    return malformedHead('only HTTP/1.1, HTTP/1.0 and, with TLS, HTTP/2 are spoken here')
  if (target.charCodeAt(0) !== 0x2f) return malformedHead('the target must begin with a slash')
  if (target.includes('#')) return malformedHead('the target must not have a fragment')
  const forwarded: string[] = []
  let token: string | null = null
  let contentLength = -1
  let chunked = false
  let expectsContinue = false
  let hosts = 0
  let connection = ''
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    if (SPECIAL_LENGTHS[name.length] !== 1) {
      forwarded.push(name, value)
      continue
    }
    const lower = name.toLowerCase()
    switch (lower) {
      case 'host':
        if (++hosts > 1) return malformedHead('there is more than one Host')
        forwarded.push(name, value)
        break
      case 'content-length':
        if (contentLength !== -1) return malformedHead('there is more than one Content-Length')
        if (!/^\d{1,16}$/.test(value))
          return malformedHead('Content-Length is not a number that can be meant')
        contentLength = Number(value)
        if (!Number.isSafeInteger(contentLength))
          return malformedHead('Content-Length is not a number that can be meant')
        break
      case 'transfer-encoding':
        if (chunked) return malformedHead('there is more than one Transfer-Encoding')
        if (value.toLowerCase() !== 'chunked')
          return malformedHead('the only transfer coding taken here is chunked')
        if (version === '1.0') return malformedHead('HTTP/1.0 has no transfer codings')
        chunked = true
        break
      case 'expect':
        if (expectsContinue || value.toLowerCase() !== '100-continue')
          return malformedHead('the only expectation met here is 100-continue')
        expectsContinue = true
        break
      case 'fencing-token':
        if (token !== null)
          return {
            kind: 'fault',
            verdict: 'bad-token',
            reason: 'there is more than one Fencing-Token field; send one list',
          }
        token = value
        break
      case 'connection':
        connection += connection === '' ? value : `,${value}`
        break
      case 'te':
        // Tells the backend that trailers arrive; what else TE can ask for ends at this hop.
        if (value.toLowerCase() === 'trailers') forwarded.push(name, value)
        break
      default:
        if (!HOP_BY_HOP.has(lower)) forwarded.push(name, value)
    }
  }
  // RFC 9112 §3.2. Passed on without one it would get the name of whatever stands behind this hop.
  if (hosts === 0 && version === '1.1') return malformedHead('there is no Host, which HTTP/1.1 asks for')
  if (chunked && contentLength !== -1)
    return malformedHead('there are both Content-Length and Transfer-Encoding')
  const dropped = connection === '' ? NOTHING : stripNamed(forwarded, connection)
  // Only now: what the client lists in Connection must not be able to remove a field of ours.
  forwarded.push('Via', version === '2' ? '2 fencegate' : '1.1 fencegate')
  return { kind: 'head', head: { forwarded, token, contentLength, chunked, expectsContinue, dropped } }
}

export function malformedHead(reason: string): HeadReading {
  return { kind: 'fault', verdict: 'bad-request', reason }
}

/** Removes from a list of names and values in turn every field that a Connection value names, and says which. */
export function stripNamed(list: string[], connection: string): readonly string[] {
  const lower = connection.toLowerCase()
  if (lower === 'keep-alive' || lower === 'close') return NOTHING
  const names: string[] = []
  for (const part of lower.split(',')) {
    const name = part.trim()
    // Host frames the message as Content-Length does, and what is ours was meant for this hop: neither can be taken away.
    if (name === '' || name === 'keep-alive' || name === 'close' || KEPT.has(name)) continue
    removeField(list, name)
    names.push(name)
  }
  return names
}

/** Removes all fields of a name, given in lower case. */
export function removeField(list: string[], name: string): void {
  for (let i = list.length - 2; i >= 0; i -= 2) {
    const candidate = list[i] ?? ''
    if (candidate.length === name.length && candidate.toLowerCase() === name) list.splice(i, 2)
  }
}

/** The value of the first field of a name, given in lower case. */
export function fieldValue(list: readonly string[], name: string): string | null {
  for (let i = 0; i + 1 < list.length; i += 2) {
    const candidate = list[i] ?? ''
    if (candidate.length === name.length && candidate.toLowerCase() === name) return list[i + 1] ?? ''
  }
  return null
}

/**
 * The fields of the call without those in `dropped`. The server joins repeated ones; only Set-Cookie, which no request has
 * any use for, comes as a list.
 */
export function joinedFields(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  dropped: readonly string[],
): Readonly<Record<string, string | undefined>> {
  const list = headers['set-cookie']
  if (list === undefined && dropped.length === 0)
    return headers as Readonly<Record<string, string | undefined>>
  return Object.fromEntries(
    Object.entries(headers)
      .filter(([name]) => !dropped.includes(name))
      .map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  )
}
