// What the curves say of a large cloud: sums of measured figures, each row with the way it was reckoned. Where the sum needs
// a size that no run measured, the row says so.

import type { Run } from '../figures.ts'
import { markdownOf } from '../report.ts'
import type { Chart } from '../scaling/curve.ts'

const HYPERVISORS = 10_000
const MACHINES_EACH = 20
/** A third of a time to live of 30 s. */
const RENEWED_EVERY_SECONDS = 10
/** Of one lock: a machine is moved or resized, or changes hands when its hypervisor dies. */
const PAIRS_PER_SECOND = 20
const CALLS_PER_SECOND = 1_000

/** Null where the run has not all that is needed. */
export function cloudTable(run: Run): string | null {
  const charts = new Map(
    run.results.flatMap((result) =>
      result.kind === 'curve' ? result.figures.map((chart) => [chart.id, chart]) : [],
    ),
  )
  const at = (id: string, series: number, x: number): number | null => {
    const chart: Chart | undefined = charts.get(id)
    return chart?.series[series]?.points.find((point) => point.x === x)?.y ?? null
  }
  const renewUs = at('sessions-renew', 0, HYPERVISORS)
  const renewEtcdUs = at('sessions-renew', 1, HYPERVISORS)
  const lockBytes = at('locks-memory', 0, 100_000)
  const loadMs = at('locks-load', 0, 100_000)
  const callUs = at('in-flight-cpu', 0, 1_000)
  const pairMs = [1, 4].map((gateways) => at('gateways-pair', 1, gateways))
  const pairEtcdMs = at('gateways-pair', 2, 4)
  if (
    renewUs === null ||
    renewEtcdUs === null ||
    lockBytes === null ||
    loadMs === null ||
    callUs === null ||
    pairMs[1] === null ||
    pairMs[1] === undefined ||
    pairEtcdMs === null
  )
    return null
  const locks = HYPERVISORS * MACHINES_EACH
  const renewals = HYPERVISORS / RENEWED_EVERY_SECONDS
  const said = (value: number): string => value.toLocaleString('en')
  const cores = (microsecondsPerSecond: number): string =>
    `${(microsecondsPerSecond / 1e6).toFixed(2)} processors`
  return markdownOf({
    title: null,
    rows: [
      ['what', 'how it is reckoned', 'comes to'],
      [
        'renewals, all gateways together',
        `${said(HYPERVISORS)} sessions every ${RENEWED_EVERY_SECONDS} s × ${renewUs.toFixed(0)} µs`,
        cores(renewals * renewUs),
      ],
      ['renewals, etcd', `the same × ${renewEtcdUs.toFixed(0)} µs`, cores(renewals * renewEtcdUs)],
      [
        'locks in memory, each gateway',
        `${said(locks)} × ${lockBytes.toFixed(0)} bytes (measured with 100,000)`,
        `${((locks * lockBytes) / 1024 ** 2).toFixed(0)} MiB`,
      ],
      [
        'taking all locks in when a gateway starts',
        `${(loadMs / 1000).toFixed(1)} s for 100,000, twice`,
        `${((loadMs * locks) / 1e8).toFixed(1)} s of CPU, etcd's part not counted`,
      ],
      [
        'locks that change hands, each of four gateways',
        `${PAIRS_PER_SECOND} a second × ${pairMs[1].toFixed(1)} ms`,
        cores(PAIRS_PER_SECOND * pairMs[1] * 1000),
      ],
      [
        'the same, etcd',
        `${PAIRS_PER_SECOND} a second × ${pairEtcdMs.toFixed(1)} ms`,
        cores(PAIRS_PER_SECOND * pairEtcdMs * 1000),
      ],
      [
        'checked calls, all gateways together',
        `${said(CALLS_PER_SECOND)} a second × ${callUs.toFixed(0)} µs`,
        cores(CALLS_PER_SECOND * callUs),
      ],
    ],
  })
}
