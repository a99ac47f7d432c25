// How a member is reached: TLS, the times of the transport, and nothing that decides.

import { isIP } from 'node:net'
import { checkServerIdentity, type ConnectionOptions as TlsOptions } from 'node:tls'
import type { Clock } from '../../spi/clock.ts'
import { GrpcConnection } from './grpc-connection.ts'

export interface EtcdTls {
  /** The authorities to trust, PEM; the system's where not given. */
  readonly ca?: Buffer
  /** The gateway's own certificate, PEM, and its key. */
  readonly cert?: Buffer
  readonly key?: Buffer
  /** In the members' certificates, where it is not the host of their URLs. */
  readonly serverName?: string
  /** `false` trusts whoever answers. */
  readonly verify?: boolean
}

/** etcd takes pings that come more often than every 5 s (`--grpc-keepalive-min-time`) for an attack. */
const PING_MS = 10_000

export interface ConnectionOptions {
  /** Asked whenever a connection is made: certificates are renewed meanwhile. */
  readonly tls: () => EtcdTls
  /** How often a connection with an open call is asked whether it lives. */
  readonly pingMs?: number
  readonly clock: Clock
}

/** Connects to nothing yet: the first call does. */
export function dial(url: string, { tls, pingMs = PING_MS, clock }: ConnectionOptions): GrpcConnection {
  return new GrpcConnection({ url, tls: () => tlsOptions(tls()), pingMs, clock })
}

function tlsOptions({ ca, cert, key, serverName, verify = true }: EtcdTls): TlsOptions {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    ...(serverName === undefined ? {} : naming(serverName)),
    rejectUnauthorized: verify,
  }
}

/** TLS knows no address as a server's name; a certificate may be for one all the same. */
function naming(serverName: string): TlsOptions {
  return isIP(serverName) === 0
    ? { servername: serverName }
    : { checkServerIdentity: (_name, certificate) => checkServerIdentity(serverName, certificate) }
}
