// The peers of one scenario, started on one ground and proven to check before anything is measured.

import { rmSync } from 'node:fs'
import { exchange } from '../exchange.ts'
import { type Ground, layGround } from '../ground.ts'
import type { Peer, RunningPeer } from '../peers/peer.ts'
import type { StartedProcess } from '../processes.ts'
import { extend, type Scenario } from '../scenarios.ts'

export interface Contender {
  readonly peer: Peer
  readonly running: RunningPeer
}

export interface Field {
  readonly ground: Ground
  readonly contenders: readonly Contender[]
  readonly failures: readonly string[]
  clear(): Promise<void>
}

/** A peer that does not start, or admits a stale token, is left out and named in `failures`. */
export async function takeField(scenario: Scenario, peers: readonly Peer[]): Promise<Field> {
  const { ground, upstream } = await layGround({ delayMs: scenario.delayMs, secure: scenario.secure })
  const contenders: Contender[] = []
  const failures: string[] = []
  for (const peer of peers) {
    let running: RunningPeer | null = null
    try {
      running = await peer.start(ground)
      await prove(peer, running, ground)
      contenders.push({ peer, running })
    } catch (error) {
      failures.push(`${scenario.id}: ${peer.id}: ${error instanceof Error ? error.message : String(error)}`)
      await running?.stop()
    }
  }
  return { ground, contenders, failures, clear: () => clear(ground, upstream, contenders) }
}

async function clear(
  ground: Ground,
  upstream: StartedProcess,
  contenders: readonly Contender[],
): Promise<void> {
  await Promise.all(contenders.map(({ running }) => running.stop()))
  await upstream.stop()
  rmSync(ground.folder, { recursive: true, force: true })
}

async function prove(peer: Peer, running: RunningPeer, ground: Ground): Promise<void> {
  const [lock, other] = running.locks
  if (lock === undefined || other === undefined) throw new Error('it has no locks')
  const ask = async (token: string): Promise<number> => {
    const request = extend({ ...lock, token }, `127.0.0.1:${running.port}`)
    return (await exchange({ port: running.port, secure: ground.tls !== null, request })).status
  }
  const right = await ask(lock.token)
  if (right !== 200) throw new Error(`a call with the right token was answered with ${right}`)
  if (!peer.checks) return
  const stale = await ask(String(Number(lock.token) - 1))
  if (stale !== 412) throw new Error(`a call with a stale token was answered with ${stale}`)
}
