// What a session may be bound to at a backend, and in which spelling it is looked for. Pure.

import { type BindingWay, type CallerWay, callerValue } from '../core/caller.ts'
import { GatewayError } from '../core/errors.ts'

/** How a backend knows its callers. */
export interface KnownBy {
  readonly realm: string
  readonly ways: readonly CallerWay[]
  /** Names of its listeners. */
  readonly listeners: readonly string[]
}

export interface BindingAsked {
  readonly backend: string
  readonly by: BindingWay
  readonly value: string
}

/** Throws `GatewayError` for what no call to that backend could ever bear. */
export function bindable(
  known: KnownBy | null,
  { backend, by, value: written }: BindingAsked,
): { readonly realm: string; readonly by: BindingWay; readonly value: string } {
  if (known === null)
    throw new GatewayError('not-found', `the configuration has no backend ${JSON.stringify(backend)}`)
  if (!known.ways.includes(by))
    throw new GatewayError(
      'bad-request',
      `${backend} does not know its callers by ${by}: add it to backends.${backend}.identify`,
    )
  const value = callerValue(by, written)
  if (value === null) throw new GatewayError('bad-request', `this is no ${by}: ${FORMS[by]}`)
  if (by === 'listener' && !known.listeners.includes(value))
    throw new GatewayError('bad-request', `${backend} has no listener ${JSON.stringify(value)}`)
  return { realm: known.realm, by, value }
}

const FORMS: Readonly<Record<BindingWay, string>> = {
  listener: 'the name of a listener',
  login: 'a login name as the client writes it',
  session: 'the cookie or token, as the backend gave it',
  certificate: 'the SHA-256 fingerprint of a certificate, 64 hex digits',
  address: 'an IP address',
}
