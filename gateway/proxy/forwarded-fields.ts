// What the backend is told of the client: X-Forwarded-* and Forwarded (RFC 7239), where the configuration wants it. What a
// client says of itself is passed on only where it comes from a proxy that is trusted; without this all of it passes as it is.

import { BlockList, isIPv6 } from 'node:net'

export type ForwardedKind = 'x-forwarded' | 'forwarded'

export interface ForwardedTerms {
  readonly send: readonly ForwardedKind[]
  /** Addresses (`10.0.0.7`, `10.0.0.0/8`) whose own such fields are kept and added to. */
  readonly trust: readonly string[]
}

/** Who has sent a call, and how. */
export interface Peer {
  readonly address: string
  readonly isTls: boolean
}

const NAMES: Readonly<Record<ForwardedKind, readonly string[]>> = {
  'x-forwarded': [
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
    'x-forwarded-port',
    'x-real-ip',
  ],
  forwarded: ['forwarded'],
}

export class ForwardedFields {
  /** Fields of the client, in lower case, in whose place ours go. */
  readonly replaced: readonly string[]
  readonly #send: ReadonlySet<ForwardedKind>
  readonly #trusted = new BlockList()

  /** Throws where what is trusted is no address. */
  constructor(terms: ForwardedTerms) {
    this.#send = new Set(terms.send)
    this.replaced = [...this.#send].flatMap((kind) => NAMES[kind])
    for (const range of terms.trust) {
      const [address = '', bits] = range.split('/')
      const family = isIPv6(address) ? 'ipv6' : 'ipv4'
      if (bits === undefined) this.#trusted.addAddress(address, family)
      else this.#trusted.addSubnet(address, Number(bits), family)
    }
  }

  /** Names and values in turn. `header`: of the call as it came. */
  fields(peer: Peer, header: (name: string) => string | undefined): string[] {
    const address = peer.address.replace(/^::ffff:(?=\d+\.)/i, '')
    const scheme = peer.isTls ? 'https' : 'http'
    const host = header('host') ?? ''
    const isTrusted = this.#trusted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
    const came = (name: string): string | null => {
      const value = isTrusted ? header(name) : undefined
      return value === undefined || value === '' ? null : value
    }
    const added: string[] = []
    if (this.#send.has('x-forwarded')) {
      added.push('X-Forwarded-For', behind(came('x-forwarded-for'), address))
      added.push('X-Forwarded-Proto', came('x-forwarded-proto') ?? scheme)
      const forwardedHost = came('x-forwarded-host') ?? host
      if (forwardedHost !== '') added.push('X-Forwarded-Host', forwardedHost)
      const port = came('x-forwarded-port')
      if (port !== null) added.push('X-Forwarded-Port', port)
    }
    if (this.#send.has('forwarded')) {
      const node = isIPv6(address) ? `"[${address}]"` : address
      const said = host === '' ? '' : `;host="${host.replace(/["\\]/g, '\\$&')}"`
      added.push('Forwarded', behind(came('forwarded'), `for=${node};proto=${scheme}${said}`))
    }
    return added
  }

  /** The same as lines of a head. */
  lines(peer: Peer, header: (name: string) => string | undefined): string {
    const fields = this.fields(peer, header)
    let lines = ''
    for (let i = 0; i + 1 < fields.length; i += 2) lines += `${fields[i]}: ${fields[i + 1]}\r\n`
    return lines
  }
}

function behind(earlier: string | null, own: string): string {
  return earlier === null ? own : `${earlier}, ${own}`
}
