// Tables of figures: rows of text, laid out for a terminal or for a document.

import type { Figures } from './figures.ts'
import type { LoadFigures } from './measure/load.ts'
import type { Chart } from './scaling/curve.ts'

type Rows = readonly (readonly string[])[]

export interface Table {
  /** Null where the scenario's own title says it. */
  readonly title: string | null
  /** The first has the names of the columns. */
  readonly rows: Rows
}

export function tablesOf(result: Figures): readonly Table[] {
  switch (result.kind) {
    case 'load':
      return untitled(loadRows(result.figures))
    case 'stream':
      return untitled([
        ['peer', 'grown MiB', 'MiB/s', 'CPU ms'],
        ...result.figures.map(({ title, grownBytes, bytesPerSecond, cpuMs }) => [
          title,
          (grownBytes / 1024 ** 2).toFixed(1),
          (bytesPerSecond / 1024 ** 2).toFixed(0),
          cpuMs.toFixed(0),
        ]),
      ])
    case 'idle':
      return untitled([
        ['peer', 'KiB/connection', 'CPU ‰'],
        ...result.figures.map(({ title, bytesPerConnection, cpuPerMille }) => [
          title,
          (bytesPerConnection / 1024).toFixed(1),
          cpuPerMille.toFixed(2),
        ]),
      ])
    case 'check':
      return untitled([
        ['what', 'ns/call'],
        ...result.figures.map(({ title, nanoseconds }) => [title, nanoseconds.toFixed(0)]),
      ])
    case 'etcd':
      return untitled([
        ['what', 'figure', ''],
        ...result.figures.map(({ title, value, unit }) => [title, value.toFixed(value < 100 ? 2 : 0), unit]),
      ])
    case 'latency':
      return untitled([
        ['peer', 'p50 µs', 'p90 µs', 'added to p50, µs'],
        ...result.figures.map(({ title, p50Us, p90Us, addedUs }) => [
          title,
          p50Us.toFixed(0),
          p90Us.toFixed(0),
          addedUs === null ? '' : addedUs.toFixed(0),
        ]),
      ])
    case 'flood':
      return untitled([
        ['what, ms', 'quiet p50', 'p99', 'worst', 'flooded p50', 'p99', 'worst', 'count', 'flood, calls/s'],
        ...result.figures.map(({ title, quiet, flooded, requestsPerSecond }) => [
          title,
          ...[quiet.p50Ms, quiet.p99Ms, quiet.worstMs].map((value) => value.toFixed(1)),
          ...[flooded.p50Ms, flooded.p99Ms, flooded.worstMs].map((value) => value.toFixed(1)),
          String(flooded.count),
          requestsPerSecond.toFixed(0),
        ]),
      ])
    case 'curve':
      return result.figures.map(chartTable)
  }
}

export function layOutAll(tables: readonly Table[]): string {
  return tables.map(({ title, rows }) => `${title === null ? '' : `${title}\n`}${layOut(rows)}`).join('\n\n')
}

/** As Markdown; a table without figures is none. */
export function markdownOf({ rows }: Table): string {
  const [names = [], ...rest] = rows
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [
    line(names),
    line(names.map((_, column) => (column === 0 ? '---' : '---:'))),
    ...rest.map(line),
  ].join('\n')
}

function untitled(rows: Rows): readonly Table[] {
  return [{ title: null, rows }]
}

/** One row for each size. */
export function chartTable({ title, x, y, series }: Chart): Table {
  const sizes = [...new Set(series.flatMap(({ points }) => points.map((point) => point.x)))]
  const cell = (points: Chart['series'][number]['points'], size: number): string => {
    const point = points.find((each) => each.x === size)
    return point === undefined ? '–' : digits(point.y)
  }
  return {
    title: `${title} (${y})`,
    rows: [
      [x, ...series.map((each) => each.title)],
      ...sizes.map((size) => [size.toLocaleString('en'), ...series.map(({ points }) => cell(points, size))]),
    ],
  }
}

function digits(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString('en')
  return value.toFixed(value >= 10 ? 1 : 2)
}

function loadRows(figures: readonly LoadFigures[]): Rows {
  const nginx = figures.find(({ peer }) => peer === 'nginx')
  return [
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
  ]
}

/** The least and the most of the samples: two figures closer than that are the same. */
function spread({ samples }: LoadFigures): string {
  const each = samples.map(({ cpuUs, requests }) => cpuUs / requests)
  return `${Math.min(...each).toFixed(1)}–${Math.max(...each).toFixed(1)}`
}

/** Columns of equal width; all but the first to the right. */
function layOut(rows: Rows): string {
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
