// Who asks, and what he may. Compares hashes in constant time; never keeps a credential in the clear.

import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import { GatewayError } from '../core/errors.ts'
import type { ClientCertificate } from './client-certificate.ts'

export type Role = 'holder' | 'operator' | 'viewer'

/** A token, or the name of a client's certificate as of `ClientCertificate`. */
export type Credential = ({ readonly token: string } | { readonly certificate: string }) & {
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
  /** Null where the client shows none. Asked only where it counts. */
  certificate(): ClientCertificate | null
}

export interface Authentication {
  /** Throws `unauthorized` or `forbidden`. */
  admit(head: RequestHead, right: Right): Caller
}

export function createAuthentication(credentials: readonly Credential[]): Authentication {
  const tokens = credentials.flatMap((credential) =>
    'token' in credential ? [{ digest: digestOf(credential.token), caller: callerOf(credential) }] : [],
  )
  const certificates = credentials.flatMap((credential) =>
    'certificate' in credential ? [{ name: credential.certificate, caller: callerOf(credential) }] : [],
  )

  const byToken = (presented: string): Caller => {
    const digest = digestOf(presented)
    let found: Caller | null = null
    // No early exit: how long it takes must not tell which credential came close.
    for (const { digest: known, caller } of tokens) if (timingSafeEqual(known, digest)) found = caller
    if (found === null) throw new GatewayError('unauthorized', 'this token is not one of control.credentials')
    return found
  }

  const byCertificate = (certificate: ClientCertificate): Caller => {
    if (!certificate.trusted)
      throw new GatewayError(
        'unauthorized',
        'the client certificate is not signed by control.tls.clientCa, or not valid now',
      )
    const found = certificates.find(({ name }) => certificate.isNamed(name))
    if (found === undefined)
      throw new GatewayError('unauthorized', 'the client certificate is none of control.credentials')
    return found.caller
  }

  const identify = (head: RequestHead): Caller => {
    if (credentials.length === 0) {
      refuseBrowsers(head)
      return { role: 'operator', holder: null }
    }
    const presented = /^Bearer +(\S+) *$/i.exec(head.authorization ?? '')?.[1]
    // Who says a token means it, whatever else he shows.
    if (presented !== undefined) return byToken(presented)
    const certificate =
      certificates.length === 0 || head.authorization !== undefined ? null : head.certificate()
    if (certificate !== null) return byCertificate(certificate)
    throw new GatewayError('unauthorized', `send ${waysIn(tokens.length > 0, certificates.length > 0)}`)
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

function callerOf({ role, holder }: Credential): Caller {
  return { role, holder }
}

function waysIn(byToken: boolean, byCertificate: boolean): string {
  const token = 'Authorization: Bearer with a token of control.credentials'
  const certificate = 'a client certificate that control.credentials names'
  if (byToken && byCertificate) return `${token}, or ${certificate}`
  return byToken ? token : certificate
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
      `without credentials the control API answers to localhost only, not to ${name}: ask 127.0.0.1, or configure control.credentials`,
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
