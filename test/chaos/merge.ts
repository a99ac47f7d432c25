// Makes one history of what all parties wrote down and what the store committed, in the words of the simulation, so that the
// same checker judges both. A revision stands where anybody saw it first: never earlier than it was committed.

import { Layout } from '../../gateway/locking/layout.ts'
import type { HistoryEvent } from '../sim/history.ts'
import { observe } from '../sim/observer.ts'
import type { PartyLine } from './log.ts'
import type { SeenRevision } from './observer.ts'
import type { Route } from './scenario.ts'

/** Whoever wrote what cannot be told apart from outside. */
const SOMEBODY = 'somebody'
/** Who admits what reaches the backend without having been admitted, where nothing is enforced. */
const NOBODY = 'nobody'

export function mergeHistory(options: {
  readonly lines: readonly PartyLine[]
  readonly store: readonly SeenRevision[]
  readonly prefix: string
  readonly route: Route
}): HistoryEvent[] {
  const { lines, store, route } = options
  const history: HistoryEvent[] = []
  const layout = new Layout(options.prefix)
  const gatewayOf = new Map<string, string>()
  for (const line of lines) if (line.what === 'incarnation') gatewayOf.set(line.id, line.party)
  const seenAtMs = firstSightings(lines, store)
  for (const [index, seen] of store.entries()) {
    const by = seen.events.map((event) => {
      const meaning = layout.meaning(event.type === 'put' ? event.kv.key : event.key)
      return meaning.kind === 'watermark' ? gatewayOf.get(meaning.incarnation) : undefined
    })
    const { revision, events, before, endedLease } = seen
    // What a gateway reports it says itself, in the tick in which it does.
    const record = (event: HistoryEvent) => event.kind !== 'reported' && history.push(event)
    const atMs = seenAtMs[index] ?? seen.seenAtMs
    observe(
      { revision, events, before, endedLease, by: by.find((name) => name !== undefined) ?? SOMEBODY },
      layout,
      record,
      atMs,
    )
  }
  const admitted = new Set<number>()
  if (route !== 'gateway') history.push({ kind: 'registered', atMs: 0, gateway: NOBODY, incarnation: NOBODY })
  for (const line of lines) if (line.what === 'admitted') admitted.add(line.call)
  for (const line of lines) history.push(...eventsOf(line, route, admitted))
  const answered = new Set(lines.flatMap((line) => (line.what === 'release-answered' ? [line.id] : [])))
  for (const line of lines)
    if (line.what === 'release-asked' && !answered.has(line.id))
      // Its holder was killed before he was told.
      history.push({ kind: 'release-answered', atMs: line.atMs, id: line.id, how: 'gateway-died' })
  // Stable: the store comes first where two fall together.
  return history.toSorted((a, b) => a.atMs - b.atMs)
}

/** For each revision, the earliest time at which anybody had seen it or a later one. */
export function firstSightings(lines: readonly PartyLine[], store: readonly SeenRevision[]): number[] {
  const sightings = lines
    .flatMap((line) => (line.what === 'applied' ? [{ revision: line.revision, atMs: line.atMs }] : []))
    .toSorted((a, b) => b.revision - a.revision)
  const result: number[] = []
  let earliestMs = Number.POSITIVE_INFINITY
  let next = 0
  for (const { revision, seenAtMs } of store.toReversed()) {
    for (; (sightings[next]?.revision ?? 0) >= revision; next++)
      earliestMs = Math.min(earliestMs, sightings[next]?.atMs ?? earliestMs)
    earliestMs = Math.min(earliestMs, seenAtMs)
    result.push(earliestMs)
  }
  return result.reverse()
}

function eventsOf(line: PartyLine, route: Route, admitted: ReadonlySet<number>): HistoryEvent[] {
  const { atMs, party } = line
  switch (line.what) {
    case 'applied':
      // Any gateway may be the one that writes next.
      return line.snapshot ? [{ kind: 'snapshot', atMs, gateway: SOMEBODY }] : []
    case 'reported':
      return [{ kind: 'reported', atMs, gateway: party, sealed: line.sealed }]
    case 'admitted':
      return line.grants.map((grant) => ({
        kind: 'admitted',
        atMs,
        gateway: party,
        call: line.call,
        ...grant,
      }))
    case 'forwarded':
      return [{ kind: 'forwarded', atMs, call: line.call }]
    case 'arrived': {
      if (route === 'gateway' || admitted.has(line.call)) return []
      const { call, lock, token, mode } = line
      return [{ kind: 'admitted', atMs, gateway: NOBODY, call, lock, token, mode }]
    }
    case 'executed': {
      const { call, lock, token, mode } = line
      return [{ kind: 'executed', atMs, call, lock, token, mode }]
    }
    case 'granted': {
      const { lock, token, session, gateway } = line
      return [{ kind: 'granted', atMs, lock, token, session, gateway }]
    }
    case 'release-asked': {
      const { id, lock, session, gateway } = line
      return [{ kind: 'release-asked', atMs, id, lock, session, gateway }]
    }
    case 'release-answered':
      return [{ kind: 'release-answered', atMs, id: line.id, how: line.how }]
    case 'ordered':
    case 'confirmed':
      return [{ kind: line.what, atMs, session: line.session }]
    case 'crashed':
      return [{ kind: 'crashed', atMs, gateway: line.gateway, error: line.error }]
    case 'settled':
      return [{ kind: 'settled', atMs }]
    case 'probed':
      return [{ kind: 'probed', atMs, lock: line.lock, granted: line.granted, detail: line.detail }]
    case 'incarnation':
    case 'answered':
    case 'dropped':
      return []
  }
}
