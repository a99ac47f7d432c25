// Reads a request's body: JSON in UTF-8 and nothing else, and no deeper than what is kept of it can be gone through.

import { isUtf8 } from 'node:buffer'
import { GatewayError } from '../core/errors.ts'
import type { ControlApp } from './room.ts'

/** Objects and lists within each other. */
const DEPTH_MAX = 64

export function takeOnlyJson(app: ControlApp): void {
  app.removeAllContentTypeParsers()
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = Buffer.from(body)
    const fault = faultOf(bytes, request.headers['content-encoding'])
    if (fault !== null) return done(new GatewayError('bad-request', fault))
    // Many clients name a content type on every POST, also where they send nothing.
    const text = bytes.toString()
    if (request.routeOptions.config.signed === true) request.text = text
    if (text.length === 0) return done(null, undefined)
    return parse(request, text, (error, value: unknown) => {
      if (error !== null) done(error)
      // So deep takes so many brackets.
      else if (text.length >= 2 * DEPTH_MAX && isTooDeep(value))
        done(new GatewayError('bad-request', `the body is nested deeper than ${DEPTH_MAX} levels`))
      else done(null, value)
    })
  })
}

function faultOf(body: Buffer, encoding: string | undefined): string | null {
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    return `send the body as it is: the control API takes no Content-Encoding, such as ${encoding.slice(0, 32)}`
  // Else two names that differ could become one.
  return isUtf8(body) ? null : 'the body is not UTF-8'
}

/** Level by level: recursion is what must not be tried. */
function isTooDeep(value: unknown): boolean {
  let level = [value].filter(isContainer)
  for (let depth = 0; depth < DEPTH_MAX && level.length > 0; depth++)
    level = level.flatMap((container) => Object.values(container).filter(isContainer))
  return level.length > 0
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
