// The address of a backend as the configuration says it, read once for all who connect to it.

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

export interface UpstreamAddress {
  /** As in the configuration, without a path: its name everywhere. */
  readonly origin: string
  /** `host[:port]`, for requests of the gateway's own. */
  readonly authority: string
  /** A name or an IP address without brackets. Names are looked up anew for each connection. */
  readonly host: string
  readonly port: number
  readonly servername: string
  /** Null for plain HTTP. */
  readonly tls: UpstreamTls | null
}

/** Throws a `TypeError` for an address that is not `http(s)://host[:port]`. */
export function readUpstreamAddress(address: string, tls: UpstreamTls): UpstreamAddress {
  const url = new URL(address)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new TypeError(`upstream ${address}: only http and https are spoken`)
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '')
    throw new TypeError(`upstream ${address}: only scheme, host and port can be given`)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const isTls = url.protocol === 'https:'
  return {
    origin: url.origin,
    authority: url.host,
    host,
    port: url.port === '' ? (isTls ? 443 : 80) : Number(url.port),
    servername: tls.serverName ?? host,
    tls: isTls ? tls : null,
  }
}
