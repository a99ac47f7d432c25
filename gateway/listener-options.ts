// What a backend's section of the configuration means to its listener. Part of the composition root.

import type { BackendConfig } from './config/index.ts'
import type { CheckedBackend } from './control/index.ts'
import { GatewayError } from './core/errors.ts'
import { callerOf, peerClaims } from './proxy/callers.ts'
import type { BackendListenerOptions } from './proxy/listener.ts'
import type { CallerBook } from './spi/callers.ts'

export function listenerOptions(
  name: string,
  backend: BackendConfig,
  closeMs: number,
  parts: Pick<BackendListenerOptions, 'policy' | 'gate' | 'logins' | 'clock' | 'events'>,
): BackendListenerOptions {
  const { limits, observer, upstreamTls } = backend
  return {
    ...parts,
    name,
    listen: backend.listen,
    ...(backend.tls === null ? {} : { tls: { ...revealed(backend.tls), clientCa: backend.tls.clientCa } }),
    http2: backend.http2,
    upstream: backend.upstreams,
    ...(upstreamTls === null
      ? {}
      : {
          upstreamTls: {
            rejectUnauthorized: upstreamTls.verify,
            ...(upstreamTls.ca === undefined ? {} : { ca: upstreamTls.ca }),
            ...(upstreamTls.cert === undefined ? {} : { cert: upstreamTls.cert }),
            ...(upstreamTls.key === undefined ? {} : { key: upstreamTls.key.reveal() }),
            ...(upstreamTls.serverName === undefined ? {} : { serverName: upstreamTls.serverName }),
          },
        }),
    balance: backend.balance,
    ...(backend.health === null ? {} : { health: backend.health }),
    enforce: backend.enforce,
    callIds: backend.callIds,
    upgrades: backend.upgrade,
    forwarded: backend.forwarded,
    limits: {
      headerBytesMax: limits.headerBytes,
      headerFieldsMax: limits.headers,
      bodyBytesMax: limits.bodyBytes,
      connectionsMax: limits.connections,
      connectionsPerAddressMax: limits.connectionsPerAddress,
      inFlightMax: limits.calls,
      inFlightPerSessionMax: limits.callsPerSession,
      bodiesBytesMax: limits.bodiesBytes,
      streamsMax: limits.streams,
      upstreamConnectionsMax: limits.upstreamConnections,
      headMs: limits.headTimeoutMs,
      bodyIdleMs: limits.bodyTimeoutMs,
      clientIdleMs: limits.idleTimeoutMs,
      clientStallMs: limits.readTimeoutMs,
      answerHeadMs: limits.answerTimeoutMs,
      answerIdleMs: limits.answerTimeoutMs,
      connectMs: limits.connectTimeoutMs,
      tunnelIdleMs: limits.tunnelIdleMs,
      upstreamAgeMs: limits.upstreamAgeMs,
      closeMs,
    },
    ...(observer === null
      ? {}
      : { observer: { username: observer.username, password: observer.password.reveal() } }),
  }
}

/** How the backend's callers are known, where they are known by anything but their tokens. */
export function callerTerms({
  name,
  backend,
  label,
  book,
}: {
  readonly name: string
  readonly backend: BackendConfig
  /** As `waysIn` has it. */
  readonly label: string
  readonly book: CallerBook
}): Pick<BackendListenerOptions, 'callers'> {
  if (backend.identify.length === 0) return {}
  return {
    callers: {
      book,
      realm: backend.callersOf ?? name,
      ways: new Set(backend.identify),
      implicit: backend.implicit,
      listener: label.slice(label.indexOf('/') + 1),
    },
  }
}

/** Finds the marks of a call that nobody has sent, as the listener would. */
export function callerFinder(
  name: string,
  backend: BackendConfig,
  book: CallerBook,
): CheckedBackend['callerOf'] {
  return ({ head, ...call }, connection) => {
    const listener = connection.listener ?? name
    if (listener !== name && !Object.hasOwn(backend.listeners, listener))
      throw new GatewayError('not-found', `the backend ${name} has no listener ${JSON.stringify(listener)}`)
    const { callers } = callerTerms({ name, backend, label: listener, book })
    if (callers === undefined || callers === null) return null
    return callerOf(callers, { claims: (terms) => peerClaims(terms, connection) }, call, head)
  }
}

export function revealed(tls: { readonly cert: string; readonly key: { reveal(): string } }): {
  cert: string
  key: string
} {
  return { cert: tls.cert, key: tls.key.reveal() }
}
