// Where the calls of an API bear the backend's session, or a login name: compiled from a pack's `callers:`. What a call
// bears twice, and not alike, is a fault: nobody can say which of the two the backend goes by.

import type { CallerClaim, CallerWay } from '../core/caller.ts'
import { callerValue } from '../core/caller.ts'
import { basicName, credentialsOf } from './login.ts'
import type { CallReading } from './reading.ts'
import type { CallerPlaceSource } from './schema.ts'
import type { SoapPath, SoapPaths } from './soap-paths.ts'

type Place =
  | { readonly kind: 'cookie' | 'header'; readonly name: string }
  | { readonly kind: 'credentials'; readonly scheme: string }
  | { readonly kind: 'soap-header'; readonly path: SoapPath }

export interface CallerPlaces {
  /** A text says why the call cannot be read in exactly one way. `hasSoap`: its body was read as SOAP. */
  claims(call: CallReading, hasSoap: boolean): readonly CallerClaim[] | string
}

const NO_CLAIMS: readonly CallerClaim[] = []

/** Null where nothing in a call is asked for: then a call costs nothing. */
export function compileCallerPlaces(
  sources: readonly CallerPlaceSource[],
  ways: readonly CallerWay[],
  soapPaths: SoapPaths,
): CallerPlaces | null {
  const places = ways.includes('session') ? sources.map((source) => placeOf(source, soapPaths)) : []
  const asksLogin = ways.includes('login')
  if (places.length === 0 && !asksLogin) return null
  return {
    claims(call, hasSoap) {
      let claims: CallerClaim[] | null = null
      const add = (by: CallerWay, written: string | null): void => {
        const value = written === null ? null : callerValue(by, written)
        if (value === null) return
        claims ??= []
        claims.push({ by, value })
      }
      for (const place of places) {
        const value = valueAt(place, call, hasSoap)
        if (typeof value !== 'string' && value !== null) return value.fault
        add('session', value)
      }
      if (asksLogin) add('login', basicName(call.head.header('authorization')))
      return claims ?? NO_CLAIMS
    },
  }
}

function placeOf(source: CallerPlaceSource, soapPaths: SoapPaths): Place {
  if ('cookie' in source) return { kind: 'cookie', name: source.cookie }
  if ('header' in source) return { kind: 'header', name: source.header.toLowerCase() }
  if ('credentials' in source) return { kind: 'credentials', scheme: source.credentials }
  return { kind: 'soap-header', path: soapPaths.wantHeader(source.soap_header) }
}

function valueAt(
  place: Place,
  call: CallReading,
  hasSoap: boolean,
): string | null | { readonly fault: string } {
  switch (place.kind) {
    case 'header':
      return call.head.header(place.name)?.trim() ?? null
    case 'credentials':
      return credentialsOf(call.head.header('authorization'), place.scheme)
    case 'cookie': {
      const field = call.head.header('cookie')
      return field === undefined ? null : cookieIn(field, place.name)
    }
    case 'soap-header': {
      if (!hasSoap) return null
      const values = call.xmlValue('soap', place.path)
      if (typeof values === 'string') return { fault: values }
      if (values.length > 1)
        return { fault: `the SOAP header ${place.path.written} stands there more than once` }
      return values[0] ?? null
    }
  }
}

function cookieIn(field: string, name: string): string | null | { readonly fault: string } {
  if (!field.includes(name)) return null
  let found: string | null = null
  for (const pair of field.split(';')) {
    const equals = pair.indexOf('=')
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue
    const value = pair.slice(equals + 1).trim()
    if (found !== null && found !== value) return { fault: `the cookie ${name} has two values` }
    found = value
  }
  return found
}
