// Who sends a call, by what it and its connection bear. Only for backends that know their callers (`identify`).

import type { Duplex } from 'node:stream'
import { TLSSocket } from 'node:tls'
import { type CallerClaim, type CallerWay, callerValue } from '../core/caller.ts'
import type { CallerBook, CallerClaims } from '../spi/callers.ts'
import type { CallHead } from '../spi/policy.ts'
import type { Call } from './checked-call.ts'

export interface CallerTerms {
  readonly book: CallerBook
  /** The backend under whose name its callers are bound. */
  readonly realm: string
  readonly ways: ReadonlySet<CallerWay>
  readonly implicit: boolean
  /** Name of the listener. */
  readonly listener: string
}

const FENCING_SESSION = 'fencing-session'

/** What is known of a connection's other end. */
export interface Peer {
  readonly address?: string | undefined
  /** Fingerprint (SHA-256) of a certificate that an authority of ours has signed. */
  readonly certificate?: string | undefined
}

export function peerClaims({ ways, listener }: CallerTerms, peer: Peer): readonly CallerClaim[] {
  const claims: CallerClaim[] = []
  const add = (by: CallerWay, written: string | undefined): void => {
    const value = written === undefined || !ways.has(by) ? null : callerValue(by, written)
    if (value !== null) claims.push({ by, value })
  }
  add('listener', listener)
  add('address', peer.address)
  add('certificate', peer.certificate)
  return claims
}

/** What a connection says of whoever is behind it; the same for all its calls. */
export class Sender {
  readonly #socket: Duplex
  #claims: readonly CallerClaim[] | null = null

  constructor(socket: Duplex) {
    this.#socket = socket
  }

  claims(terms: CallerTerms): readonly CallerClaim[] {
    if (this.#claims !== null) return this.#claims
    const socket = this.#socket
    const address =
      'remoteAddress' in socket && typeof socket.remoteAddress === 'string' ? socket.remoteAddress : undefined
    // What no authority of ours has signed is nobody's word.
    const certificate =
      socket instanceof TLSSocket && socket.authorized && terms.ways.has('certificate')
        ? socket.getPeerCertificate().fingerprint256
        : undefined
    this.#claims = peerClaims(terms, { address, certificate })
    return this.#claims
  }
}

/** `login`: the call opens a session at the backend. */
export function callerOf(
  terms: CallerTerms,
  sender: Pick<Sender, 'claims'>,
  { claims, login }: Pick<Call, 'claims' | 'login'>,
  head: CallHead,
): CallerClaims {
  const { realm, ways, implicit } = terms
  const all: CallerClaim[] = []
  const named = ways.has('header') ? head.header(FENCING_SESSION)?.trim() : undefined
  if (named !== undefined) all.push({ by: 'header', value: named })
  if (claims !== undefined) all.push(...claims)
  const name = ways.has('login') ? (login?.name ?? null) : null
  if (name !== null) all.push({ by: 'login', value: name })
  all.push(...sender.claims(terms))
  return login === undefined
    ? { realm, claims: all, implicit }
    : { realm, claims: all, implicit, opening: true }
}
