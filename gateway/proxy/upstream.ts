// The connections to one backend. The only maker of undici pools here; nothing is pipelined, redirected or repeated.

import { isIP } from 'node:net'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { ProxyLimits } from './limits.ts'
import type { PoolTarget } from './wire/upstream-pool.ts'

export interface UpstreamTls {
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: string
  /** False takes any certificate. For laboratories. */
  readonly rejectUnauthorized?: boolean
  /** PEM, for servers that ask for a client's certificate. */
  readonly cert?: string
  readonly key?: string
  /** The name in the server's certificate, where it is not the host of the address. */
  readonly serverName?: string
}

export interface Upstream {
  readonly pool: Pool
  /** For probes: calls that wait for a connection must not be able to hold up the proof that they are over. */
  readonly probes: Pool
  /** What undici takes beyond its published types: the one name for TLS, whatever Host the client sends. */
  readonly servername: string
  /** `host[:port]`, for probes that have no Host of their own. */
  readonly authority: string
}

/** As `Dispatcher.DispatchOptions`; undici takes a server name as well, which its types do not say. */
export interface ForwardOptions extends Dispatcher.DispatchOptions {
  readonly servername: string
}

/** Throws a `TypeError` for an address that is not `http(s)://host[:port]`. */
export function openUpstream(address: string, tls: UpstreamTls, limits: ProxyLimits): Upstream {
  const url = new URL(address)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TypeError(`upstream ${address}: only http and https are spoken`)
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '')
    throw new TypeError(`upstream ${address}: only scheme, host and port can be given`)
  const servername = tls.serverName ?? url.hostname.replace(/^\[|\]$/g, '')
  const options = poolOptions(url, servername, tls, limits)
  return {
    pool: new Pool(url.origin, { ...options, connections: limits.upstreamConnectionsMax }),
    probes: new Pool(url.origin, { ...options, connections: limits.probesMax }),
    servername,
    authority: url.host,
  }
}

function poolOptions(url: URL, servername: string, tls: UpstreamTls, limits: ProxyLimits): Pool.Options {
  const connect = buildConnector({
    allowH2: false,
    timeout: limits.connectMs,
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
    ...(tls.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: tls.rejectUnauthorized }),
  })
  return {
    // The default would name the server after the client's Host.
    connect: ({ servername: _fromHost, ...target }, callback) =>
      connect(
        url.protocol === 'https:' && isIP(servername) === 0 ? { ...target, servername } : target,
        callback,
      ),
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: limits.headerBytesMax,
    keepAliveTimeout: limits.upstreamIdleMs,
    // A server's own hint is honoured up to this, less the threshold that is for the way.
    keepAliveMaxTimeout: 60_000,
    keepAliveTimeoutThreshold: 1_000,
    headersTimeout: limits.answerHeadMs,
    bodyTimeout: limits.answerIdleMs,
  }
}

/** For raw connections: where they lead. */
export function poolTarget(address: string, tls: UpstreamTls): PoolTarget {
  const url = new URL(address)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const isTls = url.protocol === 'https:'
  const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port)
  return { host, port, tls: isTls ? { ...tls, servername: tls.serverName ?? host } : null }
}

export async function closeUpstream(upstream: Upstream): Promise<void> {
  await Promise.all([upstream.pool.destroy(), upstream.probes.destroy()])
}
