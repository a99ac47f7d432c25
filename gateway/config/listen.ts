// Addresses to listen on: how they are written, which reach beyond this machine, which collide.

import { isIP, isIPv6 } from 'node:net'

export interface ListenAddress {
  /** An IP address without brackets, or a host name. `0.0.0.0` where only a port was given. */
  readonly host: string
  /** 0: any free port. */
  readonly port: number
}

/** Reads `127.0.0.1:7070`, `[::1]:0`, `:8776`, `name:80`; null where the text is none of these. */
export function parseListen(text: string): ListenAddress | null {
  const match = /^(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<name>[A-Za-z0-9.-]*)):(?<port>\d{1,5})$/.exec(text)
  const port = Number(match?.groups?.['port'] ?? Number.NaN)
  if (match === null || !(port <= 65_535)) return null
  const six = match.groups?.['six']
  if (six !== undefined) return isIPv6(six) ? { host: six.toLowerCase(), port } : null
  const name = match.groups?.['name'] ?? ''
  if (name === '') return { host: '0.0.0.0', port }
  if (/^[\d.]+$/.test(name)) return isIP(name) === 4 ? { host: name, port } : null
  return /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(name) ? { host: name.toLowerCase(), port } : null
}

export function formatListen(address: ListenAddress): string {
  return `${isIPv6(address.host) ? `[${address.host}]` : address.host}:${address.port}`
}

/** True where nobody on another machine can connect to it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Whether the second of the two could not be bound beside the first. Port 0 never collides. */
export function collide(a: ListenAddress, b: ListenAddress): boolean {
  if (a.port !== b.port || a.port === 0) return false
  if (a.host === b.host || a.host === '::' || b.host === '::') return true
  if (a.host === '0.0.0.0') return !isIPv6(b.host)
  return b.host === '0.0.0.0' && !isIPv6(a.host)
}
