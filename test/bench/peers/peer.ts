// What a proxy must offer to be measured beside the others. One folder for each; the list is in peers/all.ts.

import type { BenchLock } from '../calls.ts'
import type { Ground } from '../ground.ts'
import type { StartedProcess } from '../processes.ts'

export interface Peer {
  readonly id: string
  /** One line for the table. */
  readonly title: string
  /** False for the way without any proxy, which shows what the harness itself can do. */
  readonly checks: boolean
  /** Only for the scenarios that name it. */
  readonly special?: boolean
  /** Builds or fetches what it needs, once; says why it cannot run here, or null. `install`: may use the network. */
  prepare(options: { readonly install: boolean }): Promise<string | null>
  start(ground: Ground): Promise<RunningPeer>
}

export interface RunningPeer {
  readonly port: number
  /** Where the streaming scenario goes; most use one port for everything. */
  readonly streamPort: number
  /** Of the control API, where there is one. */
  readonly controlPort?: number
  /** Whether it finds out from the body what a call changes. */
  readonly readsBodies: boolean
  /**
   * The proxy, and every checker that it calls: with their descendants all whose CPU time a request costs. Descendants
   * are looked up when something is read: nginx takes connections before it has its worker.
   */
  readonly roots: readonly number[]
  /** As in the ground, with the tokens that this peer knows. */
  readonly locks: readonly BenchLock[]
  readonly streamLock: BenchLock
  stop(): Promise<void>
}

/** A peer that is one process with one port, and goes by the locks of the ground. */
export function runningAlone(
  started: StartedProcess,
  port: number,
  { locks, streamLock }: Pick<Ground, 'locks' | 'streamLock'>,
): RunningPeer {
  return {
    port,
    streamPort: port,
    readsBodies: false,
    roots: [started.pid],
    locks,
    streamLock,
    stop: () => started.stop(),
  }
}
