// The targets, held against the figures: one line for each that a run can say something about.

import type { Figures } from './figures.ts'
import type { LoadFigures } from './measure/load.ts'

const MIB = 1024 ** 2

export const TARGETS = {
  /** CPU of the checked call, as a share of theirs. */
  ratios: { nginx: 0.55, haproxy: 1.6, fastify: 0.2 },
  streamBytes: 64 * MIB,
  streamToNginx: 0.8,
  checkNs: 1_000,
  addedUs: 100,
}

export interface Verdict {
  readonly isMet: boolean
  readonly text: string
}

export function verdictsOf(result: Figures): readonly Verdict[] {
  const { scenario } = result
  switch (result.kind) {
    case 'load':
      return scenario === 'mutate' ? loadVerdicts(result.figures) : []
    case 'stream': {
      const ours = result.figures.find(({ peer }) => peer === 'fencegate')
      const nginx = result.figures.find(({ peer }) => peer === 'nginx')
      if (ours === undefined) return []
      const ratio = nginx === undefined ? null : ours.bytesPerSecond / nginx.bytesPerSecond
      return [
        {
          isMet: ours.grownBytes < TARGETS.streamBytes,
          text: `1 GiB ${scenario}: resident memory grows by ${(ours.grownBytes / MIB).toFixed(1)} MiB, target below 64 MiB`,
        },
        ...(ratio === null
          ? []
          : [
              {
                isMet: ratio >= TARGETS.streamToNginx,
                text: `1 GiB ${scenario}: ${ratio.toFixed(2)} times as fast as nginx, target at least ${TARGETS.streamToNginx}`,
              },
            ]),
      ]
    }
    case 'check':
      return result.figures
        .filter(({ judged }) => judged)
        .map(({ title, nanoseconds, targetNs = TARGETS.checkNs }) => ({
          isMet: nanoseconds < targetNs,
          text: `${title}: ${nanoseconds.toFixed(0)} ns, target below ${targetNs.toLocaleString('en')} ns`,
        }))
    case 'etcd':
      return result.figures.flatMap(({ title, value, unit, target }) =>
        target === null
          ? []
          : [
              {
                isMet: target.met,
                text: `${title.trim()}: ${value.toFixed(2)} ${unit}, target ${target.text}`,
              },
            ],
      )
    case 'latency':
      return result.figures
        .filter(({ peer, addedUs }) => peer === 'fencegate' && addedUs !== null)
        .map(({ addedUs }) => ({
          isMet: (addedUs ?? 0) < TARGETS.addedUs,
          text: `added latency, 50th percentile: ${((addedUs ?? 0) / 1000).toFixed(3)} ms, target below 0.1 ms`,
        }))
    case 'idle':
    case 'flood':
    case 'curve':
      return []
  }
}

function loadVerdicts(figures: readonly LoadFigures[]): readonly Verdict[] {
  const cpuOf = (peer: string): number | undefined =>
    figures.find((row) => row.peer === peer)?.cpuUsPerRequest
  const ours = cpuOf('fencegate')
  return Object.entries(TARGETS.ratios).flatMap(([peer, target]) => {
    const theirs = cpuOf(peer)
    if (ours === undefined || theirs === undefined) return []
    const ratio = ours / theirs
    const text = `checked call: ${ratio.toFixed(2)} times the CPU of ${peer}, target at most ${target}`
    return [{ isMet: ratio <= target, text }]
  })
}

export function verdictLine({ isMet, text }: Verdict): string {
  return `${isMet ? 'met:    ' : 'NOT MET:'} ${text}`
}
