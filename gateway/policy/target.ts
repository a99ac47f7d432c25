// The one spelling of a request target: what is checked is what is forwarded. It never guesses: a target that two
// backends could read differently is refused.

/** Longer targets are refused. */
export const TARGET_BYTES_MAX = 16_384
/** Paths with more segments are refused: matching descends one level for each. */
export const TARGET_SEGMENTS_MAX = 64

export interface CanonicalTarget {
  readonly ok: true
  /** Path and query in their one spelling. */
  readonly target: string
  /** Canonical path, without the query. */
  readonly path: string
  /** Canonical query without the question mark; null where there is none. */
  readonly query: string | null
  /** The path's segments, decoded. None is empty or a dot segment; where one holds a slash, `encodedSlash` says so. */
  readonly segments: readonly string[]
  /** A segment holds `%2F`, which is data: only a capture that says that it takes slashes may match it. */
  readonly encodedSlash: boolean
  readonly trailingSlash: boolean
}

export type TargetReading = CanonicalTarget | { readonly ok: false; readonly reason: string }

export interface TargetRules {
  /**
   * Whether `%25` may be followed by two hex digits. A backend that decodes twice reads such a target differently;
   * one whose names really hold percent signs (vSphere's do) cannot do without.
   */
  readonly doubleEncoding: 'refuse' | 'allow'
  /** Whether two slashes in a row are one, which is then what is forwarded. */
  readonly emptySegments: 'refuse' | 'merge'
  /** Whether `%2F` in a path may be data, and no slash. */
  readonly encodedSlash: 'refuse' | 'data'
}

const STRICT: TargetRules = { doubleEncoding: 'refuse', emptySegments: 'refuse', encodedSlash: 'refuse' }

// Classes of ASCII characters: what may stand as it is, what is written as an escape, what is refused.
const REFUSED = 0
const PLAIN = 1
const SLASH = 2
const PERCENT = 3
const QUESTION = 4
/** Not allowed by RFC 3986, but read by all in the same way: written as an escape. */
const ESCAPED = 5
const PLUS = 6

const PATH = classes()
const QUERY = classes()
QUERY[0x2f] = PLAIN
QUERY[0x3f] = PLAIN
QUERY[0x2b] = PLUS

function classes(): Uint8Array {
  const table = new Uint8Array(128)
  const set = (characters: string, value: number): void => {
    for (let i = 0; i < characters.length; i++) table[characters.charCodeAt(i)] = value
  }
  set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~', PLAIN)
  set("!$&'()*+,=:@", PLAIN)
  set('"<>^`{|}[]', ESCAPED)
  set('/', SLASH)
  set('%', PERCENT)
  set('?', QUESTION)
  return table
}

const UNRESERVED = /^[A-Za-z0-9\-._~]$/
const UNRESERVED_BYTE = Array.from({ length: 128 }, (_, code) => UNRESERVED.test(String.fromCharCode(code)))

/** The canonical form of an origin-form target, or why there is doubt about it. Total; linear. */
export function canonicalTarget(raw: string, rules: TargetRules = STRICT): TargetReading {
  const { length } = raw
  if (length > TARGET_BYTES_MAX) return refused(`the target is longer than ${TARGET_BYTES_MAX} bytes`)
  if (length === 0 || raw.charCodeAt(0) !== 0x2f)
    return refused('the target must begin with a slash (no absolute, authority or asterisk form)')

  const plain = PLAIN_PATH.test(raw) ? plainPath(raw) : null
  return plain ?? anyTarget(raw, rules)
}

/** What nearly all targets are: a path that stays as it is written, without a query. */
const PLAIN_PATH = /^\/[A-Za-z0-9\-._~!$&'()*+,=:@/]+$/

/** Such a path in one look for each segment instead of one for each character; null for what needs a closer one. */
function plainPath(raw: string): CanonicalTarget | null {
  const segments: string[] = []
  for (let start = 1; ; ) {
    const slash = raw.indexOf('/', start)
    const segment = slash === -1 ? raw.slice(start) : raw.slice(start, slash)
    if (segment === '' || isDotSegment(segment) || segments.length === TARGET_SEGMENTS_MAX) return null
    segments.push(segment)
    if (slash === -1) break
    start = slash + 1
  }
  return {
    ok: true,
    target: raw,
    path: raw,
    query: null,
    segments,
    encodedSlash: false,
    trailingSlash: false,
  }
}

function anyTarget(raw: string, rules: TargetRules): TargetReading {
  const { length } = raw
  const segments: string[] = []
  let rebuilt: string[] | null = null
  let start = 1
  let needsWork = false
  let at = 1
  let trailingSlash = false
  let encodedSlash = false
  for (; ; at++) {
    const code = at < length ? raw.charCodeAt(at) : 0x3f
    const kind = code < 128 ? PATH[code] : REFUSED
    if (kind === PLAIN) continue
    if (kind === PERCENT || kind === ESCAPED) {
      needsWork = true
      continue
    }
    if (kind !== SLASH && kind !== QUESTION) return refused(`the path ${characterFault(code)}`)
    if (at === start) {
      if (kind === SLASH) {
        if (rules.emptySegments === 'refuse')
          return refused('the path holds an empty segment (two slashes in a row)')
        rebuilt ??= segmentsAsWritten(raw, start)
        start = at + 1
        continue
      }
      trailingSlash = segments.length > 0
      break
    }
    if (segments.length === TARGET_SEGMENTS_MAX)
      return refused(`the path has more than ${TARGET_SEGMENTS_MAX} segments`)
    const written = raw.slice(start, at)
    if (needsWork) {
      const reading = canonicalText(written, PATH, rules)
      if (!reading.ok) return refused(`the path ${reading.reason}`)
      if (isDotSegment(reading.decoded)) return refused('the path holds a dot segment')
      if (reading.decoded.includes('/')) {
        encodedSlash = true
        // A backend that takes it for a path of its own drops these parts, and comes to another name.
        if (reading.decoded.split('/').some((part) => part === '' || isDotSegment(part)))
          return refused('the path holds an encoded slash beside an empty or dot segment')
      }
      rebuilt ??= segmentsAsWritten(raw, start)
      rebuilt.push(reading.text)
      segments.push(reading.decoded)
      needsWork = false
    } else {
      if (isDotSegment(written)) return refused('the path holds a dot segment')
      rebuilt?.push(written)
      segments.push(written)
    }
    if (kind === QUESTION) break
    start = at + 1
  }

  const path = rebuilt === null ? raw.slice(0, at) : `/${rebuilt.join('/')}${trailingSlash ? '/' : ''}`
  if (at + 1 >= length)
    return { ok: true, target: path, path, query: null, segments, encodedSlash, trailingSlash }
  const query = canonicalText(raw.slice(at + 1), QUERY, rules)
  if (!query.ok) return refused(`the query ${query.reason}`)
  return {
    ok: true,
    target: `${path}?${query.text}`,
    path,
    query: query.text,
    segments,
    encodedSlash,
    trailingSlash,
  }
}

/** Name and value of each member of a canonical query, decoded, in order. */
export function queryMembers(query: string): readonly (readonly [name: string, value: string])[] {
  return query
    .split('&')
    .filter((member) => member.length > 0)
    .map((member) => {
      const equals = member.indexOf('=')
      return equals === -1
        ? [decodeURIComponent(member), '']
        : [decodeURIComponent(member.slice(0, equals)), decodeURIComponent(member.slice(equals + 1))]
    })
}

type TextReading =
  | { readonly ok: true; readonly text: string; readonly decoded: string }
  | { readonly ok: false; readonly reason: string }

function canonicalText(written: string, table: Uint8Array, rules: TargetRules): TextReading {
  const inPath = table === PATH
  let text = ''
  let plainFrom = 0
  let escapes = false
  for (let at = 0; at < written.length; at++) {
    const code = written.charCodeAt(at)
    const kind = code < 128 ? table[code] : REFUSED
    if (kind === PLAIN) continue
    text += written.slice(plainFrom, at)
    if (kind === PERCENT) {
      const byte = hexPair(written, at + 1)
      if (byte === -1) return { ok: false, reason: 'holds a percent sign without two hex digits' }
      if (byte < 0x20 || byte === 0x7f) return { ok: false, reason: 'holds an encoded control character' }
      if (inPath && (byte === 0x5c || (byte === 0x2f && rules.encodedSlash === 'refuse')))
        return { ok: false, reason: 'holds an encoded slash or backslash' }
      if (inPath && byte === 0x3b) return { ok: false, reason: 'holds an encoded semicolon' }
      if (byte === 0x25 && rules.doubleEncoding === 'refuse' && hexPair(written, at + 3) !== -1)
        return { ok: false, reason: 'is percent-encoded twice' }
      if (byte < 128 && UNRESERVED_BYTE[byte] === true) text += String.fromCharCode(byte)
      else {
        text += percent(byte)
        escapes = true
      }
      at += 2
    } else if (kind === ESCAPED) {
      text += percent(code)
      escapes = true
    } else if (kind === PLUS) {
      // Whoever decodes forms reads a space; written so that everyone does.
      text += '%20'
      escapes = true
    } else return { ok: false, reason: characterFault(code) }
    plainFrom = at + 1
  }
  text += written.slice(plainFrom)
  if (!escapes) return { ok: true, text, decoded: text }
  try {
    return { ok: true, text, decoded: decodeURIComponent(text) }
  } catch {
    // URIError is how the language says that the escaped bytes are not UTF-8.
    return { ok: false, reason: 'holds escapes that are not UTF-8' }
  }
}

function segmentsAsWritten(raw: string, end: number): string[] {
  return end === 1 ? [] : raw.slice(1, end - 1).split('/')
}

function isDotSegment(segment: string): boolean {
  return segment === '.' || segment === '..'
}

function percent(byte: number): string {
  return `%${byte < 16 ? '0' : ''}${byte.toString(16).toUpperCase()}`
}

function hexPair(text: string, at: number): number {
  const high = hexDigit(text.charCodeAt(at))
  const low = hexDigit(text.charCodeAt(at + 1))
  return high === -1 || low === -1 ? -1 : high * 16 + low
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1
}

function characterFault(code: number): string {
  const what =
    code === 0x3b
      ? 'a semicolon'
      : code === 0x23
        ? 'a fragment'
        : code === 0x5c
          ? 'a backslash'
          : code > 0x7e
            ? 'a byte outside ASCII'
            : code <= 0x20
              ? 'white space or a control character'
              : `the character ${String.fromCharCode(code)}`
  return `holds ${what}`
}

function refused(reason: string): TargetReading {
  return { ok: false, reason }
}
