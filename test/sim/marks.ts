// What has to come up in the runs before they prove anything: each of these is counted, and a test run in which one of them
// never came fails.

import type { HistoryEvent } from './history.ts'

export const MARKS = [
  'grant opened',
  'grant opened beside another (shared)',
  'grant sealed: released',
  'grant sealed: expired',
  'grant sealed: revoked',
  'grant sealed: upgraded',
  'mode asked for',
  'handover over',
  'session of a foreign client took a lock',
  'fence due',
  'fence claimed',
  'fence claimed by another gateway',
  'fence blocked',
  'fence closed',
  'fence ordered',
  'fence confirmed',
  'fence retried',
  'fence held in a storm',
  'most holders fell silent together',
  'word given in haste for a gateway that came back',
  'record written by the next version',
  'record of the next version written anew by this one',
  'unknown calls vouched for',
  'fencer struck',
  'call admitted',
  'call admitted after it was parked',
  'call with several locks admitted',
  'call refused: stale-token',
  'call refused: handover',
  'call refused: view-not-current',
  'call refused: fence-blocked',
  'login let through',
  'login answered and known',
  'login refused: fence-due',
  'login refused: view-not-current',
  'call took effect',
  'call took effect after its lock had gone on to be sealed',
  'call arrived late at the backend',
  'call answered twice',
  'call whose answer was lost',
  'call that started a job',
  'call cancelled by a fencer',
  'steps of several locks in one request',
  'request lost',
  'answer lost',
  'request carried out after its sender gave up',
  'request long on its way to the gateway',
  'release asked for twice',
  'release asked for',
  'release that names its token',
  'session closed',
  'lease ended by itself',
  'gateway died',
  'gateway closed cleanly',
  'gateway stopped',
  'gateway cut off',
  'gateway rejoined as somebody new',
  'gateway could not start',
  'watch cut',
  'watch compacted',
  'watch stood still',
  'wall clock set',
  'store without quorum',
  'store restored from a backup',
  'new epoch begun',
  'grant opened in a new epoch',
  'embedded store restarted',
  'lock blocked until a word',
] as const

export type Mark = (typeof MARKS)[number]

const GATEWAY_MARKS: Readonly<Partial<Record<string, Mark>>> = {
  died: 'gateway died',
  closed: 'gateway closed cleanly',
  stopped: 'gateway stopped',
  partitioned: 'gateway cut off',
  'start-failed': 'gateway could not start',
}

export class Marks {
  readonly #counts = new Map<Mark, number>(MARKS.map((mark) => [mark, 0]))

  hit(mark: Mark, times = 1): void {
    this.#counts.set(mark, (this.#counts.get(mark) ?? 0) + times)
  }

  add(other: Marks): void {
    for (const [mark, count] of other.#counts) this.hit(mark, count)
  }

  get unreached(): readonly Mark[] {
    return MARKS.filter((mark) => this.#counts.get(mark) === 0)
  }

  toString(): string {
    return [...this.#counts].map(([mark, count]) => `${String(count).padStart(9)}  ${mark}`).join('\n')
  }
}

/** Counts what the history itself shows. */
export function historyMarks(marks: Marks): (event: HistoryEvent) => void {
  const shared = new Map<string, Set<number>>()
  const registered = new Set<string>()
  const claims = new Map<string, string>()
  return (event) => {
    markEvent(marks, event)
    if (event.kind === 'opened' && event.mode === 'shared') {
      const open = shared.get(event.lock) ?? new Set()
      shared.set(event.lock, open.add(event.token))
      if (open.size > 1) marks.hit('grant opened beside another (shared)')
    } else if (event.kind === 'closed') shared.get(event.lock)?.delete(event.token)
    else if (event.kind === 'registered') {
      if (registered.has(event.gateway)) marks.hit('gateway rejoined as somebody new')
      registered.add(event.gateway)
    } else if (event.kind === 'fence' && event.claim !== null) {
      const before = claims.get(event.session)
      if (before !== undefined && before !== event.claim) marks.hit('fence claimed by another gateway')
      claims.set(event.session, event.claim)
    }
  }
}

function markEvent(marks: Marks, event: HistoryEvent): void {
  switch (event.kind) {
    case 'opened':
      marks.hit('grant opened')
      if (event.token >= 2 ** 44) marks.hit('grant opened in a new epoch')
      return
    case 'sealed':
      marks.hit(`grant sealed: ${event.cause}`)
      return
    case 'closed':
      marks.hit('handover over')
      return
    case 'fence':
      if (event.held === true) marks.hit('fence held in a storm')
      if (event.state === 'running') marks.hit('fence claimed')
      else if (event.state !== 'deleted') marks.hit(`fence ${event.state}`)
      return
    case 'ordered':
      marks.hit('fence ordered')
      return
    case 'mode-asked':
      marks.hit('mode asked for')
      return
    case 'confirmed':
      marks.hit('fence confirmed')
      return
    case 'struck':
      marks.hit('fencer struck')
      return
    case 'admitted':
      marks.hit('call admitted')
      return
    case 'executed':
      marks.hit('call took effect')
      return
    case 'refused':
      switch (event.code) {
        case 'stale-token':
        case 'handover':
        case 'view-not-current':
        case 'fence-blocked':
          marks.hit(`call refused: ${event.code}`)
      }
      return
    case 'login':
      if (event.code === null) marks.hit('login let through')
      else if (event.code === 'fence-due' || event.code === 'view-not-current')
        marks.hit(`login refused: ${event.code}`)
      return
    case 'login-answered':
      marks.hit('login answered and known')
      return
    case 'release-asked':
      marks.hit(event.lock === null ? 'session closed' : 'release asked for')
      return
    case 'lease-ended':
      if (event.by === null) marks.hit('lease ended by itself')
      return
    case 'restored':
      marks.hit('store restored from a backup')
      return
    case 'bumped':
      marks.hit('new epoch begun')
      return
    case 'blocked':
      marks.hit('lock blocked until a word')
      return
    case 'gateway': {
      const mark = GATEWAY_MARKS[event.what]
      if (mark !== undefined) marks.hit(mark)
      return
    }
    default:
  }
}
