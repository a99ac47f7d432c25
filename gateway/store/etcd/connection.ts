// The channel to one member: TLS, the options of the transport, and nothing that decides.

import { isIP } from 'node:net'
import { checkServerIdentity } from 'node:tls'
import { Channel, type ChannelCredentials, Client, credentials } from '@grpc/grpc-js'
import { Etcd3 } from 'etcd3'
import { passThroughPolicy } from './grpc-call.ts'

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

/**
 * A dead connection is seen within ping and time-out while a stream is open. etcd breaks off a connection on which nothing is
 * open and pings come (https://github.com/grpc/grpc/blob/master/doc/keepalive.md): there the next call finds out, within its
 * own time. The package shares one connection a target over all clients of the process by default, and a reset would then give
 * back the dead one.
 */
const CHANNEL_OPTIONS = {
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.keepalive_permit_without_calls': 0,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.max_receive_message_length': 256 * 1024 * 1024,
  // A snapshot is tens of megabytes, and the default of 64 KiB would cost it a round trip each.
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
} as const

/** Sent as the server's name where the member has none but its address; etcd makes nothing of it. */
const NO_NAME = 'etcd'

export interface ConnectionOptions {
  readonly tls?: EtcdTls
  /** How often a connection with an open call is asked whether it lives. */
  readonly pingMs?: number
}

/** The client package, for what is seldom asked. */
export function connect(url: string, options: ConnectionOptions): Etcd3 {
  const { channelCredentials, channelOptions } = transportTo(url, options)
  return new Etcd3({
    hosts: url,
    grpcOptions: {
      ...channelOptions,
      // Only so can the certificate be checked against an address: Node refuses one as the server's name, which
      // grpc-js always sends, and the package lets no check of one's own through.
      channelFactoryOverride: (target: string) => new Channel(target, channelCredentials, channelOptions),
    },
    faultHandling: { global: passThroughPolicy(), host: passThroughPolicy },
  })
}

/** A connection of its own, for calls in bytes. */
export function dial(url: string, options: ConnectionOptions): Client {
  const { channelCredentials, channelOptions } = transportTo(url, options)
  return new Client(url.replace(/^https?:\/\//, ''), channelCredentials, channelOptions)
}

function transportTo(url: string, { tls, pingMs = PING_MS }: ConnectionOptions) {
  const { protocol, hostname } = new URL(url)
  // The address of an IPv6 host stands in brackets.
  const address = hostname.replace(/^\[|\]$/g, '')
  const byAddress = protocol === 'https:' && isIP(address) !== 0 && tls?.serverName === undefined
  const name = protocol === 'https:' ? (tls?.serverName ?? (byAddress ? NO_NAME : undefined)) : undefined
  return {
    channelOptions: {
      ...CHANNEL_OPTIONS,
      'grpc.keepalive_time_ms': pingMs,
      ...(name === undefined ? {} : { 'grpc.ssl_target_name_override': name }),
    },
    channelCredentials:
      protocol === 'https:' ? tlsCredentials(tls, byAddress ? address : null) : credentials.createInsecure(),
  }
}

function tlsCredentials(tls: EtcdTls = {}, address: string | null): ChannelCredentials {
  const verify =
    address === null
      ? {}
      : {
          checkServerIdentity: (_name: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
            checkServerIdentity(address, certificate),
        }
  return credentials.createSsl(tls.ca ?? null, tls.key ?? null, tls.cert ?? null, {
    ...verify,
    rejectUnauthorized: tls.verify !== false,
  })
}
