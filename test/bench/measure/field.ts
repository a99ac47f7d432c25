// The peers of one scenario, started on one ground and proven to check before anything is measured.

import { checkedCall } from '../calls.ts'
import { exchange } from '../exchange.ts'
import { type Ground, layGround } from '../ground.ts'
import type { Peer, RunningPeer } from '../peers/peer.ts'
import type { StartedProcess } from '../processes.ts'
import type { Scenario } from '../scenarios.ts'

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
  const { ground, upstream } = await layGround(scenario)
  const contenders: Contender[] = []
  const failures: string[] = []
  for (const peer of peers) {
    let running: RunningPeer | null = null
    try {
      // Again, once: somebody may have taken one of its ports between the probe and the start.
      running = await peer.start(ground).catch(() => peer.start(ground))
      await prove(peer, running, ground)
      contenders.push({ peer, running })
    } catch (error) {
      failures.push(`${scenario.id}: ${peer.id}: ${error instanceof Error ? error.message : String(error)}`)
      await running?.stop()
    }
  }
  return { ground, contenders, failures, clear: () => clear(upstream, contenders) }
}

async function clear(upstream: StartedProcess, contenders: readonly Contender[]): Promise<void> {
  await Promise.all(contenders.map(({ running }) => running.stop()))
  await upstream.stop()
}

async function prove(peer: Peer, running: RunningPeer, ground: Ground): Promise<void> {
  const [lock, other] = running.locks
  if (lock === undefined || other === undefined) throw new Error('it has no locks')
  const expect = async (status: number, what: string, token: string): Promise<void> => {
    const request = checkedCall(ground.api, { ...lock, token }, running)
    const answer = await exchange({ port: running.port, secure: ground.tls !== null, request })
    if (answer.status !== status) throw new Error(`a call with ${what} token was answered:\n${answer.start}`)
  }
  await expect(200, 'the right', lock.token)
  // In SOAP a refusal is a fault.
  const refused = running.readsBodies && ground.api === 'vsphere' ? 500 : 412
  if (peer.checks) await expect(refused, 'a stale', String(Number(lock.token) - 1))
}
