// Cost as locks grow: the check of one call, the memory of one lock, and the time to take a snapshot of all in.

import { type CheckResult, checkAlone } from '../measure/check.ts'
import { type Chart, only } from './curve.ts'

const SIZES = [1_000, 10_000, 100_000, 1_000_000]
/** Fewer where each takes longer: the system's clock of a thread has a coarse tick. */
const CALLS = { few: 200_000, million: 150_000 }

export async function measureLocks({ samples }: { readonly samples: number }): Promise<readonly Chart[]> {
  const runs: ({ readonly locks: number } & CheckResult)[] = []
  for (const locks of SIZES)
    runs.push({
      locks,
      ...(await checkAlone(locks, Math.min(3, samples), locks < 1_000_000 ? CALLS.few : CALLS.million)),
    })
  const titles = [
    'all locks in turn',
    '1,000 of them',
    'refusal of a stale token',
    'for scale: one look into a Map',
  ]
  return [
    {
      id: 'locks-check',
      title: 'The check of one call',
      x: 'locks',
      y: 'ns per call',
      isLogarithmic: false,
      series: titles.map((title, at) => ({
        title,
        points: runs.map(({ locks, figures }) => only(locks, figures[at]?.nanoseconds ?? Number.NaN)),
      })),
    },
    {
      id: 'locks-memory',
      title: 'Memory of one held lock, its name included',
      x: 'locks',
      y: 'bytes per lock',
      isLogarithmic: false,
      series: [
        { title: 'held lock', points: runs.map(({ locks, bytesPerLock }) => only(locks, bytesPerLock)) },
      ],
    },
    {
      id: 'locks-load',
      title: 'Taking a snapshot of all locks in',
      x: 'locks',
      y: 'ms of CPU',
      isLogarithmic: true,
      series: [{ title: 'snapshot', points: runs.map(({ locks, loadMs }) => only(locks, loadMs)) }],
    },
  ]
}
