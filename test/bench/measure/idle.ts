// What a connection costs while nothing happens on it: memory for each, CPU time for all.

import type { Socket } from 'node:net'
import { checkedCall } from '../calls.ts'
import { openIdle } from '../exchange.ts'
import { cpuMicroseconds, family, residentBytes } from '../readings.ts'
import type { IdleScenario } from '../scenarios.ts'
import type { Contender, Field } from './field.ts'

const OPENED_AT_ONCE = 32

export interface IdleFigures {
  readonly peer: string
  readonly title: string
  readonly bytesPerConnection: number
  /** Thousandths of one processor while all of them are idle. */
  readonly cpuPerMille: number
}

export async function measureIdle(
  scenario: IdleScenario,
  field: Field,
  seconds: number,
): Promise<readonly IdleFigures[]> {
  const figures: IdleFigures[] = []
  for (const contender of field.contenders) figures.push(await idle(scenario, contender, seconds))
  return figures
}

async function idle(
  { api, connections }: IdleScenario,
  { peer, running }: Contender,
  seconds: number,
): Promise<IdleFigures> {
  const [lock] = running.locks
  if (lock === undefined) throw new Error(`${peer.id} has no locks`)
  const request = checkedCall(api, lock, running)
  const pids = family(running.roots)
  const before = residentBytes(pids)
  const sockets: Socket[] = []
  try {
    const line = async (): Promise<void> => {
      while (sockets.length + OPENED_AT_ONCE <= connections)
        sockets.push(await openIdle(running.port, request))
    }
    await Promise.all(Array.from({ length: OPENED_AT_ONCE }, line))
    while (sockets.length < connections) sockets.push(await openIdle(running.port, request))
    const grown = residentBytes(pids) - before
    const cpuBefore = cpuMicroseconds(pids)
    const startedMs = performance.now()
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    const cpuUs = cpuMicroseconds(pids) - cpuBefore
    return {
      peer: peer.id,
      title: peer.title,
      bytesPerConnection: grown / connections,
      cpuPerMille: cpuUs / (performance.now() - startedMs),
    }
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}
