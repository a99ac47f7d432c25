// Opens one raw connection to an upstream address. The only place of the data plane that knows how TLS towards a backend is
// spoken on raw connections.

import {
  connect as connectPlain,
  isIP,
  type LookupFunction,
  type Socket,
  type SocketConstructorOpts,
} from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { UpstreamAddress } from '../upstream-address.ts'

export class Dialler {
  readonly #address: UpstreamAddress
  readonly #lookup: LookupFunction | undefined
  #session: Buffer | null = null

  /** `lookup`: in place of the system's, for names. */
  constructor(address: UpstreamAddress, lookup?: LookupFunction) {
    this.#address = address
    this.#lookup = lookup
  }

  /** The event after which the connection may be used. */
  get openEvent(): 'connect' | 'secureConnect' {
    return this.#address.tls === null ? 'connect' : 'secureConnect'
  }

  dial(options: SocketConstructorOpts): Socket {
    const { host, port, servername, tls } = this.#address
    const target = { ...options, host, port, ...(this.#lookup === undefined ? {} : { lookup: this.#lookup }) }
    if (tls === null) return connectPlain(target)
    const socket = connectTls({
      ...target,
      // Only names can be said in the handshake; an address is compared with the certificate all the same.
      ...(isIP(servername) === 0 ? { servername } : {}),
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      ...(tls.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: tls.rejectUnauthorized }),
      ...(this.#session === null ? {} : { session: this.#session }),
      ALPNProtocols: ['http/1.1'],
    })
    socket.on('session', (session) => {
      this.#session = session
    })
    return socket
  }
}
