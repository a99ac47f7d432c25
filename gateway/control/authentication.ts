// Who asks, and what he may. Compares hashes in constant time; never keeps a credential in the clear.

import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import { GatewayError } from '../core/errors.ts'

export type Role = 'holder' | 'operator' | 'viewer'

export interface Credential {
  readonly token: string
  readonly role: Role
  /** The only holder id that a `holder` may speak for; null: any. */
  readonly holder: string | null
}

export interface Caller {
  readonly role: Role
  readonly holder: string | null
}

/** What a route asks of its caller. `read`: everybody who is known. `events`: no holder. */
export type Right = 'open' | 'read' | 'hold' | 'observe' | 'operate'

const ALLOWED: Readonly<Record<Role, readonly Right[]>> = {
  holder: ['open', 'read', 'hold'],
  viewer: ['open', 'read', 'observe'],
  operator: ['open', 'read', 'hold', 'observe', 'operate'],
}

export interface RequestHead {
  readonly authorization: string | undefined
  readonly host: string | undefined
  readonly origin: string | undefined
}

export interface Authentication {
  /** Throws `unauthorized` or `forbidden`. */
  admit(head: RequestHead, right: Right): Caller
}

export function createAuthentication(credentials: readonly Credential[]): Authentication {
  const known = credentials.map(({ token, role, holder }) => ({ digest: digestOf(token), role, holder }))

  const find = (presented: string): Caller | null => {
    const digest = digestOf(presented)
    let found: Caller | null = null
    // No early exit: how long it takes must not tell which credential came close.
    for (const candidate of known)
      if (timingSafeEqual(candidate.digest, digest))
        found = { role: candidate.role, holder: candidate.holder }
    return found
  }

  const identify = (head: RequestHead): Caller => {
    if (known.length === 0) {
      refuseBrowsers(head)
      return { role: 'operator', holder: null }
    }
    const presented = /^Bearer +(\S+) *$/i.exec(head.authorization ?? '')?.[1]
    if (presented === undefined)
      throw new GatewayError('unauthorized', 'send Authorization: Bearer with a token of control.credentials')
    const caller = find(presented)
    if (caller === null)
      throw new GatewayError('unauthorized', 'this token is not one of control.credentials')
    return caller
  }

  return {
    admit(head, right) {
      if (right === 'open') return { role: 'viewer', holder: null }
      const caller = identify(head)
      if (!ALLOWED[caller.role].includes(right))
        throw new GatewayError('forbidden', `the role ${caller.role} does not allow this`, {
          role: caller.role,
          needed: Object.entries(ALLOWED).flatMap(([role, rights]) => (rights.includes(right) ? [role] : [])),
        })
      return caller
    },
  }
}

/** Where a credential is tied to one holder, refuses all others. */
export function mustSpeakFor(caller: Caller, holder: string | null): void {
  if (caller.role === 'holder' && caller.holder !== null && caller.holder !== holder)
    throw new GatewayError('forbidden', `these credentials speak for the holder ${caller.holder} alone`)
}

/**
 * An open control API on loopback can be reached by every page in a browser of this machine: by a form that needs no
 * preflight, or by a name that is made to resolve to 127.0.0.1.
 */
function refuseBrowsers(head: RequestHead): void {
  const name = (head.host ?? '').replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  if (head.host !== undefined && name !== 'localhost' && isIP(name) === 0)
    throw new GatewayError(
      'forbidden',
      `without credentials the control API answers to localhost only, not to ${name}`,
    )
  if (
    head.origin !== undefined &&
    head.origin !== `http://${head.host}` &&
    head.origin !== `https://${head.host}`
  )
    throw new GatewayError(
      'forbidden',
      'without credentials the control API takes nothing from other web pages',
    )
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
