// Starts one of the scripts in etcd/ in a process of its own, and puts what it found into rows, with the targets that are set.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { run } from '../processes.ts'
import type { EtcdScenario } from '../scenarios.ts'

export interface EtcdFigures {
  readonly title: string
  readonly value: number
  readonly unit: string
  /** Null where no target is set. */
  readonly target: { readonly met: boolean; readonly text: string } | null
}

interface Row {
  readonly title: string
  /** Where the figure stands in the script's result. */
  readonly at: readonly [part: string, figure: string]
  readonly unit: string
  readonly most?: number
  readonly least?: number
}

const ROWS: Readonly<Record<EtcdScenario['script'], readonly Row[]>> = {
  locks: [
    { title: 'a transaction of etcd', at: ['handover', 'roundTripMs'], unit: 'ms' },
    { title: 'three of them, each after the one before was seen', at: ['handover', 'relayMs'], unit: 'ms' },
    { title: 'a handover between three gateways', at: ['handover', 'handoverMs'], unit: 'ms' },
    { title: '  a handover in transactions of etcd', at: ['handover', 'roundTrips'], unit: '×', most: 3 },
    { title: '  a handover in such relays', at: ['handover', 'relays'], unit: '×' },
    { title: 'expiry until the first refused call', at: ['expiry', 'medianMs'], unit: 'ms' },
    {
      title: '  expiry until the first refused call, at worst',
      at: ['expiry', 'worstMs'],
      unit: 'ms',
      most: 50,
    },
    { title: '  of which the refused call itself', at: ['expiry', 'callMs'], unit: 'ms' },
    { title: '  at worst', at: ['expiry', 'callWorstMs'], unit: 'ms' },
    { title: 'acquire and release, 64 clients', at: ['pairs', 'pairs'], unit: '/s' },
    { title: '  as many bare transactions as it needs', at: ['pairs', 'bare'], unit: '/s' },
    { title: '  acquire and release over bare transactions', at: ['pairs', 'ratio'], unit: '×', least: 0.5 },
    { title: '  revisions of the store for each, one at a time', at: ['pairs', 'revisions'], unit: '' },
    { title: '  CPU of all gateways for each', at: ['pairs', 'cpuUs'], unit: 'µs' },
  ],
  held: [
    {
      title: 'memory of a held lock beside its name',
      at: ['held', 'bytesPerLock'],
      unit: 'bytes',
      most: 300,
    },
    { title: 'start-up of a gateway', at: ['held', 'startMs'], unit: 'ms', most: 3_000 },
    { title: '  its CPU time', at: ['held', 'startCpuMs'], unit: 'ms' },
    { title: 'start-up without locks', at: ['held', 'emptyStartMs'], unit: 'ms' },
  ],
}

/** Nothing where there is no etcd on this machine. */
export async function measureEtcd(
  { script, args }: EtcdScenario,
  samples: number,
): Promise<readonly EtcdFigures[]> {
  if (spawnSync('etcd', ['--version']).status !== 0) return []
  const output = await run({
    name: script,
    command: process.execPath,
    args: [fileURLToPath(new URL(`../etcd/${script}.ts`, import.meta.url)), ...args(samples)],
    timeoutMs: 600_000,
  })
  const found = /^RESULT (.*)$/m.exec(output)
  if (found === null) throw new Error(`${script} gave no result: ${output}`)
  const parsed: unknown = JSON.parse(found[1] ?? '')
  const result = script === 'held' ? { held: parsed } : parsed
  return ROWS[script].map((row) => figureOf(row, result))
}

function figureOf({ title, at, unit, most, least }: Row, result: unknown): EtcdFigures {
  let value = result
  for (const step of at) value = new Map<string, unknown>(Object.entries(value ?? {})).get(step)
  if (typeof value !== 'number') throw new Error(`there is no ${at.join('.')} in the result`)
  if (most !== undefined) {
    const target = { met: value <= most, text: `at most ${most.toLocaleString('en')} ${unit}` }
    return { title, value, unit, target }
  }
  if (least !== undefined)
    return { title, value, unit, target: { met: value >= least, text: `at least ${least} ${unit}` } }
  return { title, value, unit, target: null }
}
