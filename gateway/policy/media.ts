// May a body be read at all: its content coding and media type, before the first byte is looked at. Where they leave
// doubt about how the backend will read the body, the call is refused.

import type { CallHead } from '../spi/policy.ts'

export type BodyFormat = 'json' | 'soap' | 'zapi' | 'jsonrpc' | 'form'

const XML_TYPES: readonly string[] = ['text/xml', 'application/xml']
/** Which media types a format is sent as; JSON is what ends in `+json`, too. */
const TYPES: Readonly<Record<BodyFormat, readonly string[]>> = {
  json: ['application/json'],
  soap: XML_TYPES,
  zapi: XML_TYPES,
  jsonrpc: ['application/json', 'application/json-rpc', 'application/jsonrequest'],
  form: ['application/x-www-form-urlencoded'],
}

/** Why a body of this head cannot be read as `format`, or null. `further` are media types a pack also takes. */
export function mediaFault(head: CallHead, format: BodyFormat, further: ReadonlySet<string>): string | null {
  const coding = head.header('content-encoding')
  if (coding !== undefined && coding.trim() !== '' && coding.trim().toLowerCase() !== 'identity')
    return 'the body is compressed, and this policy has to read it: send it without Content-Encoding'
  const written = head.header('content-type')
  if (written === undefined) return null
  if (written !== lastWritten || format !== lastFormat || further !== lastFurther) {
    lastFault = contentTypeFault(written, format, further)
    lastWritten = written
    lastFormat = format
    lastFurther = further
  }
  return lastFault
}

// A backend's clients send the same field on every call: one remembered answer saves the parsing.
let lastWritten: string | null = null
let lastFormat: BodyFormat | null = null
let lastFurther: ReadonlySet<string> | null = null
let lastFault: string | null = null

function contentTypeFault(written: string, format: BodyFormat, further: ReadonlySet<string>): string | null {
  const [typePart = '', ...parameters] = written.split(';')
  const type = typePart.trim().toLowerCase()
  const known =
    further.has(type) ||
    TYPES[format].includes(type) ||
    (format === 'json' && /^application\/[a-z0-9.-]+\+json$/.test(type))
  if (!known) return `the Content-Type ${JSON.stringify(type.slice(0, 80))} does not fit a ${format} body`
  let charsets = 0
  for (const parameter of parameters) {
    const equals = parameter.indexOf('=')
    const name = (equals === -1 ? parameter : parameter.slice(0, equals)).trim().toLowerCase()
    if (name === '') continue
    if (name !== 'charset') continue
    const value = equals === -1 ? '' : parameter.slice(equals + 1).trim()
    const charset = (/^"[^"\\]*"$/.test(value) ? value.slice(1, -1) : value).toLowerCase()
    if (++charsets > 1) return 'the Content-Type names a charset twice'
    if (charset !== 'utf-8' && charset !== 'utf8')
      return `this policy reads bodies in UTF-8 only, not in ${JSON.stringify(charset.slice(0, 40))}`
  }
  return null
}
