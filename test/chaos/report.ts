// What a run was and what came of it, in counts: for a terminal, and as JSON and Markdown. It judges nothing by itself.

import { writeFileSync } from 'node:fs'
import { Layout } from '../../gateway/locking/layout.ts'
import type { HistoryEvent } from '../sim/history.ts'
import type { InjectedFault } from './faults.ts'
import { mergeHistory } from './merge.ts'
import type { ChaosRun } from './run-scenario.ts'
import { FAULT_KINDS, FAULT_MEANINGS, type FaultKind, QUIET_SECONDS } from './scenario.ts'
import { PREFIX } from './world.ts'

export interface Outage {
  readonly kind: FaultKind
  readonly injected: number
  /** Longest time without an admitted write on any lock that the fault touched, from its begin: over all of its kind. */
  readonly touchedMs: Spread | null
  /** The same, on any lock at all, while the fault lasted. */
  readonly anywhereMs: Spread | null
}

interface Spread {
  readonly median: number
  readonly worst: number
}

export interface Report {
  readonly seed: number
  readonly route: string
  readonly network: string
  readonly seconds: number
  readonly calls: {
    readonly made: number
    readonly admitted: number
    readonly refused: Readonly<Record<string, number>>
    /** No whole answer came. */
    readonly unanswered: number
    readonly executed: number
    /** Reached the backend without having been admitted. */
    readonly around: number
    /** Longest time between the last look at a gateway and the arrival at the backend. */
    readonly arrivalMsMax: number
    /**
     * Took effect later than the quiet time after their gateway had looked last, and it was not the gateway that stood still:
     * then this machine was too slow to keep what the backend promises, and nothing can be judged.
     */
    readonly late: number
  }
  readonly grants: number
  readonly handovers: Readonly<Record<'released' | 'expired' | 'revoked' | 'upgraded', number>>
  readonly fences: Readonly<Record<string, number>>
  readonly holdersKilledByFencers: number
  readonly faults: readonly Outage[]
  readonly left: Readonly<Record<string, string>>
  readonly hung: readonly string[]
  readonly events: number
  readonly violations: readonly { readonly promise: string; readonly detail: string }[]
}

export function makeReport(run: ChaosRun): Report {
  const { lines, scenario, injected, store } = run
  const history = mergeHistory({ lines, store, prefix: PREFIX, route: scenario.route })
  const refused: Record<string, number> = {}
  let made = 0
  let unanswered = 0
  const admitted = new Set<number>()
  const forwardedAt = new Map<number, Forwarded>()
  let late = 0
  let arrivalMsMax = 0
  let executed = 0
  let around = 0
  for (const line of lines) {
    if (line.what === 'admitted') admitted.add(line.call)
    if (line.what === 'forwarded') forwardedAt.set(line.call, line)
  }
  for (const line of lines) {
    if (line.what === 'answered') {
      made++
      if (line.status === null) unanswered++
      else if (line.code !== null) refused[line.code] = (refused[line.code] ?? 0) + 1
    } else if (line.what === 'executed') {
      executed++
      const forwarded = forwardedAt.get(line.call)
      if (forwarded !== undefined && isLate(forwarded, line.atMs, injected)) late++
    } else if (line.what === 'arrived') {
      if (!admitted.has(line.call)) around++
      arrivalMsMax = Math.max(arrivalMsMax, line.atMs - (forwardedAt.get(line.call)?.atMs ?? line.atMs))
    }
  }
  const handovers = { released: 0, expired: 0, revoked: 0, upgraded: 0 }
  let grants = 0
  for (const event of history) {
    if (event.kind === 'sealed') handovers[event.cause]++
    if (event.kind === 'opened') grants++
  }
  return {
    seed: scenario.seed,
    route: scenario.route,
    network: run.network,
    seconds: Math.round((run.endedAtMs - run.beganAtMs) / 1_000),
    calls: {
      made,
      admitted: admitted.size,
      refused,
      unanswered,
      executed,
      around,
      arrivalMsMax: Math.round(arrivalMsMax),
      late,
    },
    grants,
    handovers,
    fences: fencesOf(run),
    holdersKilledByFencers: run.holdersLost,
    faults: outages(run, injected, history),
    left: Object.fromEntries(run.left),
    hung: run.hung,
    events: run.events,
    violations: run.violations.map(({ promise, detail }) => ({ promise, detail })),
  }
}

interface Forwarded {
  readonly atMs: number
  readonly party: string
}

function isLate(forwarded: Forwarded, atMs: number, injected: readonly InjectedFault[]): boolean {
  if (atMs - forwarded.atMs <= QUIET_SECONDS * 1_000) return false
  return !injected.some(
    ({ kind, victim, beganAtMs, endedAtMs }) =>
      (kind === 'gateway-stop' || kind === 'store-compaction') &&
      forwarded.party.startsWith(`${victim}.`) &&
      beganAtMs <= atMs &&
      (endedAtMs ?? atMs) >= forwarded.atMs,
  )
}

/** By how they were closed. */
function fencesOf({ store }: ChaosRun): Record<string, number> {
  const layout = new Layout(PREFIX)
  const outcomes = new Map<string, string>()
  for (const { events } of store)
    for (const event of events) {
      if (event.type !== 'put') continue
      const meaning = layout.meaning(event.kv.key)
      if (meaning.kind !== 'fence') continue
      const outcome = /"outcome":"(fenced|confirmed|unfenced)"/.exec(event.kv.value)?.[1]
      outcomes.set(meaning.id, outcome ?? 'not closed')
    }
  const counts: Record<string, number> = {}
  for (const outcome of outcomes.values()) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

const TOUCHED_MS = 2_000

function outages(
  run: ChaosRun,
  injected: readonly InjectedFault[],
  history: readonly HistoryEvent[],
): Outage[] {
  const writes = history.flatMap((event) => (event.kind === 'admitted' ? [event] : []))
  const all = writes.map(({ atMs }) => atMs)
  const byLock = new Map<string, number[]>()
  for (const { lock, atMs } of writes) byLock.set(lock, [...(byLock.get(lock) ?? []), atMs])
  const locksOf = new Map<string, Set<string>>()
  for (const line of run.lines) {
    if (line.what !== 'granted') continue
    const locks = locksOf.get(line.session) ?? new Set()
    locksOf.set(line.session, locks.add(line.lock))
  }
  const sessionsOf = new Map<string, Set<string>>()
  for (const line of run.lines) {
    if (line.what !== 'arrived') continue
    const party = partyOfCall(line.call, run)
    sessionsOf.set(party, (sessionsOf.get(party) ?? new Set()).add(line.session))
  }
  return FAULT_KINDS.flatMap((kind): Outage[] => {
    const ofKind = injected.filter((fault) => fault.kind === kind)
    if (ofKind.length === 0) return []
    const touched: number[] = []
    const anywhere: number[] = []
    for (const { beganAtMs, endedAtMs, victim } of ofKind) {
      const before = writes.filter(({ atMs }) => atMs > beganAtMs - TOUCHED_MS && atMs <= beganAtMs)
      const locks = new Set(
        before
          .filter(({ gateway, call, lock }) => {
            if (victim.startsWith('gateway')) return gateway.startsWith(`${victim}.`)
            if (victim.startsWith('holder')) return partyOfCall(call, run).startsWith(`${victim}.`)
            if (victim.startsWith('etcd') || victim === 'backend') return true
            return locksOf.get(victim)?.has(lock) === true
          })
          .map(({ lock }) => lock),
      )
      const gaps = [...locks].map(
        (lock) => nextAfter(byLock.get(lock) ?? [], beganAtMs, run.endedAtMs) - beganAtMs,
      )
      if (gaps.length > 0) touched.push(Math.max(...gaps))
      anywhere.push(longestGap(all, beganAtMs, Math.min(endedAtMs ?? run.endedAtMs, run.endedAtMs)))
    }
    return [{ kind, injected: ofKind.length, touchedMs: spread(touched), anywhereMs: spread(anywhere) }]
  })
}

let partyOf: { readonly run: ChaosRun; readonly parties: ReadonlyMap<number, string> } | null = null

/** Whose call it was, by the number: each holder process has a million of its own. */
function partyOfCall(call: number, run: ChaosRun): string {
  if (partyOf?.run !== run) {
    const parties = new Map<number, string>()
    for (const line of run.lines)
      if (line.what === 'answered') parties.set(Math.floor(line.call / 1_000_000), line.party)
    partyOf = { run, parties }
  }
  return partyOf.parties.get(Math.floor(call / 1_000_000)) ?? ''
}

function nextAfter(times: readonly number[], atMs: number, endMs: number): number {
  return times.find((time) => time > atMs) ?? endMs
}

/** Longest time without any, of those that begin between the two. */
function longestGap(times: readonly number[], fromMs: number, toMs: number): number {
  let longest = 0
  let last = fromMs
  for (const time of times) {
    if (time <= fromMs) continue
    longest = Math.max(longest, time - last)
    last = time
    if (last > toMs) return longest
  }
  return Math.max(longest, toMs - last)
}

function spread(values: readonly number[]): Spread | null {
  const sorted = values.toSorted((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)]
  const worst = sorted.at(-1)
  return median === undefined || worst === undefined
    ? null
    : { median: Math.round(median), worst: Math.round(worst) }
}

function counts(record: Readonly<Record<string, number>>): string {
  const entries = Object.entries(record).filter(([, count]) => count > 0)
  return entries.length === 0 ? 'none' : entries.map(([what, count]) => `${count} ${what}`).join(', ')
}

function seconds(spreadMs: Spread | null): readonly [string, string] {
  if (spreadMs === null) return ['–', '–']
  return [`${(spreadMs.median / 1_000).toFixed(2)} s`, `${(spreadMs.worst / 1_000).toFixed(2)} s`]
}

const COLUMNS = ['fault', 'times', 'touched: median', 'worst', 'anywhere: median', 'worst'] as const

function rows(report: Report): string[][] {
  return report.faults.map(({ kind, injected, touchedMs, anywhereMs }) => [
    kind,
    String(injected),
    ...seconds(touchedMs),
    ...seconds(anywhereMs),
  ])
}

function sentences(report: Report): string[] {
  const { calls } = report
  return [
    `Seed ${report.seed}, route ${report.route}, network: ${report.network}, ${report.seconds} s, ${report.events} events judged.`,
    `Calls: ${calls.made} made, ${calls.admitted} admitted, ${calls.executed} took effect, ${calls.unanswered} without an answer; refused: ${counts(calls.refused)}; ${calls.around} reached the backend without having been admitted; longest way to the backend ${calls.arrivalMsMax} ms; ${calls.late} took effect too late.`,
    `Grants: ${report.grants}. Handovers: ${counts(report.handovers)}. Fences: ${counts(report.fences)}; ${report.holdersKilledByFencers} holders were killed by a fencer.`,
    ...Object.entries(report.left).map(([kind, reason]) => `Left out: ${kind}: ${reason}.`),
    ...report.hung.map((what) => `Hung: ${what}.`),
    `Violations: ${report.violations.length}.`,
    ...report.violations.map(({ promise, detail }) => `  ${promise}: ${detail}`),
  ]
}

export function reportText(report: Report): string {
  const table = [[...COLUMNS], ...rows(report)]
  const widths = COLUMNS.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  const lines = table.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  return [...lines, '', ...sentences(report)].join('\n')
}

function reportMarkdown(report: Report): string {
  const table = [[...COLUMNS], COLUMNS.map(() => '---'), ...rows(report)]
  return [
    '# Chaos',
    '',
    ...sentences(report).map((line) => (line.startsWith('  ') ? `- ${line.trim()}` : `${line}\n`)),
    '"Touched": until the next admitted write on every lock that the victim had in use. "Anywhere": the longest time without an admitted write on any lock while the fault lasted.',
    '',
    ...table.map((row) => `| ${row.join(' | ')} |`),
    '',
    ...FAULT_KINDS.map((kind) => `- **${kind}**: ${FAULT_MEANINGS[kind]}`),
    '',
  ].join('\n')
}

/** As JSON, or as Markdown where the name ends in `.md`. */
export function writeReport(file: string, report: Report): void {
  writeFileSync(file, file.endsWith('.md') ? reportMarkdown(report) : `${JSON.stringify(report, null, 2)}\n`)
}
