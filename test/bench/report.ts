// Tables for people, and the targets held against the figures.

import type { CheckFigures } from './measure/check.ts'
import type { IdleFigures } from './measure/idle.ts'
import type { LoadFigures } from './measure/load.ts'
import type { StreamFigures } from './measure/stream.ts'

export const TARGETS = { ratioToNginx: 1.3, streamBytes: 64 * 1024 ** 2, checkNs: 1_000 }

export type Figures =
  | { readonly kind: 'load'; readonly scenario: string; readonly figures: readonly LoadFigures[] }
  | { readonly kind: 'stream'; readonly scenario: string; readonly figures: readonly StreamFigures[] }
  | { readonly kind: 'idle'; readonly scenario: string; readonly figures: readonly IdleFigures[] }
  | { readonly kind: 'check'; readonly scenario: string; readonly figures: readonly CheckFigures[] }

export function tableOf(result: Figures): string {
  switch (result.kind) {
    case 'load':
      return loadTable(result.figures)
    case 'stream':
      return layOut([
        ['peer', 'grown MiB', 'MiB/s', 'CPU ms'],
        ...result.figures.map(({ title, grownBytes, bytesPerSecond, cpuMs }) => [
          title,
          (grownBytes / 1024 ** 2).toFixed(1),
          (bytesPerSecond / 1024 ** 2).toFixed(0),
          cpuMs.toFixed(0),
        ]),
      ])
    case 'idle':
      return layOut([
        ['peer', 'KiB/connection', 'CPU ‰'],
        ...result.figures.map(({ title, bytesPerConnection, cpuPerMille }) => [
          title,
          (bytesPerConnection / 1024).toFixed(1),
          cpuPerMille.toFixed(2),
        ]),
      ])
    case 'check':
      return layOut([
        ['what', 'ns/call'],
        ...result.figures.map(({ title, nanoseconds }) => [title, nanoseconds.toFixed(0)]),
      ])
  }
}

function loadTable(figures: readonly LoadFigures[]): string {
  const nginx = figures.find(({ peer }) => peer === 'nginx')
  return layOut([
    ['peer', 'CPU µs/request', 'spread', 'requests/s', 'p50 ms', 'p99 ms', '× nginx'],
    ...figures.map((row) => [
      row.title,
      row.cpuUsPerRequest.toFixed(1),
      spread(row),
      row.requestsPerSecond.toFixed(0),
      (row.p50Us / 1000).toFixed(2),
      (row.p99Us / 1000).toFixed(2),
      nginx === undefined ? '' : (row.cpuUsPerRequest / nginx.cpuUsPerRequest).toFixed(2),
    ]),
  ])
}

/** The least and the most of the samples: two figures closer than that are the same. */
function spread({ samples }: LoadFigures): string {
  const each = samples.map(({ cpuUs, requests }) => cpuUs / requests)
  return `${Math.min(...each).toFixed(1)}–${Math.max(...each).toFixed(1)}`
}

/** One line for each target that these figures can say something about. */
export function verdictsOf(result: Figures): readonly string[] {
  switch (result.kind) {
    case 'load':
      return result.scenario === 'mutate' ? loadVerdict(result.figures) : []
    case 'stream':
      return result.figures
        .filter(({ peer }) => peer === 'fencegate')
        .map(({ grownBytes }) =>
          verdict(
            grownBytes < TARGETS.streamBytes,
            `1 GiB ${result.scenario}: resident memory grows by ${(grownBytes / 1024 ** 2).toFixed(1)} MiB, target below 64 MiB`,
          ),
        )
    case 'idle':
      return []
    case 'check':
      return result.figures
        .filter(({ judged }) => judged)
        .map(({ title, nanoseconds }) =>
          verdict(
            nanoseconds < TARGETS.checkNs,
            `${title}: ${nanoseconds.toFixed(0)} ns, target below 1,000 ns`,
          ),
        )
  }
}

function loadVerdict(figures: readonly LoadFigures[]): readonly string[] {
  const ours = figures.find(({ peer }) => peer === 'fencegate')
  const nginx = figures.find(({ peer }) => peer === 'nginx')
  if (ours === undefined || nginx === undefined)
    return ['not judged: checked call against nginx: fencegate and nginx were not both measured']
  const ratio = ours.cpuUsPerRequest / nginx.cpuUsPerRequest
  return [
    verdict(
      ratio <= TARGETS.ratioToNginx,
      `checked call: ${ratio.toFixed(2)} times the CPU of nginx + checker, target at most ${TARGETS.ratioToNginx}`,
    ),
  ]
}

function verdict(met: boolean, text: string): string {
  return `${met ? 'met:    ' : 'NOT MET:'} ${text}`
}

/** Columns of equal width; all but the first to the right. */
function layOut(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
