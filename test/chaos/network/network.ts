// The network of a run. Either each party has a network namespace of its own, and what is cut is cut by the kernel; or all are
// on loopback, and relays of ours stand between them.

import { spawnSync } from 'node:child_process'

export interface Place {
  /** Where the party listens. */
  readonly address: string
  /** What its command line begins with. */
  readonly prefix: readonly string[]
}

export interface Network {
  readonly kind: 'namespaces' | 'relays'
  /** Faults that cannot be had here, each with the reason. */
  readonly missing: ReadonlyMap<string, string>
  place(party: string): Promise<Place>
  /** `host:port` by which one party reaches another's port. */
  route(from: string, to: string, port: number): Promise<string>
  /** Nothing passes from one to the other any more; the other direction is not touched. */
  cut(from: string, to: string): void
  heal(from: string, to: string): void
  /** What passes from one to the other comes late, and unevenly so; 0: at once again. */
  slow(from: string, to: string, delayMsMax: number): void
  close(): Promise<void>
}

/** Runs a program in a network, process and mount namespace of its own; what it starts dies with it. */
export const UNSHARE = ['unshare', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'] as const

/** Null where namespaces can be had; else why not. */
export function namespacesMissing(): string | null {
  if (process.env['FENCEGATE_CHAOS_NETWORK'] === 'relays') return 'FENCEGATE_CHAOS_NETWORK=relays'
  const [program, ...args] = UNSHARE
  const tried = spawnSync(program, [
    ...args,
    'sh',
    '-c',
    'ip link add fence0 type bridge && ip link add fence1 type veth peer name fence2',
  ])
  if (tried.error !== undefined) return `unshare does not run: ${tried.error.message}`
  if (tried.status === 0) return null
  return `namespaces are not allowed here: ${tried.stderr.toString().trim().split('\n')[0] ?? ''}`
}
