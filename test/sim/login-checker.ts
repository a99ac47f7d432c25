// Holds what keeps a fenced holder out against a history: from the fence's record, or the end of his lease before it, until the
// fence is closed, no gateway that has seen so much lets him log in or open a session that would be struck; and then each does.

import type { HistoryEvent } from './history.ts'

interface KnownSession {
  readonly holder: string
  readonly targets: readonly string[]
  readonly openedAt: number
  /** Fences against one of its targets that were open when it was. */
  readonly against: readonly string[]
}

interface Trouble {
  /** The first revision that shows it. */
  readonly since: number
  /** Which shows that it is over. */
  until: number | null
}

interface KnownFence extends Trouble {
  readonly logins: readonly string[]
  readonly targets: readonly string[]
}

export type LoginFault = { readonly promise: 'I3' | 'I5' | 'I9'; readonly detail: string }

export class LoginChecker {
  readonly #sessions = new Map<string, KnownSession>()
  readonly #fences = new Map<string, KnownFence>()
  /** Grants that were open, by session, lock and token. */
  readonly #open = new Map<string, string>()
  /** Of those: whose key went with its lease, and which nobody has sealed yet. */
  readonly #unsealed = new Map<string, Trouble & { readonly session: string }>()
  readonly #ended = new Set<string>()
  /** Revision of each session's last seal. */
  readonly #sealedAt = new Map<string, number>()
  readonly #live = new Map<string, Set<string>>()
  readonly #ownerOf = new Map<string, string>()
  /** That were answered, by session. */
  readonly #logins = new Map<string, readonly string[]>()
  readonly #whole: boolean

  /** `whole`: from the beginning of the store; else there may be fences that it has not been told of. */
  constructor({ whole }: { readonly whole: boolean }) {
    this.#whole = whole
  }

  see(event: HistoryEvent): LoginFault | null {
    switch (event.kind) {
      case 'session-opened':
        this.#sessions.set(event.session, {
          holder: event.holder,
          targets: event.targets,
          openedAt: event.revision,
          against: [...this.#fences]
            .filter(([id, fence]) => id !== event.session && fence.until === null && isShared(fence, event))
            .map(([id]) => id),
        })
        return null
      case 'session-forgotten':
        // Of one that owes something, the fence stands for him.
        if (!this.#fences.has(event.session)) this.#sessions.delete(event.session)
        return null
      case 'session-granted':
        return this.#granted(event.session)
      case 'fence':
        return this.#fence(event)
      case 'login-answered':
        return this.#answered(event)
      case 'opened':
        this.#open.set(`${event.lock} ${event.token}`, event.session)
        return null
      case 'unqueued': {
        const id = `${event.lock} ${event.token}`
        const session = this.#open.get(id)
        if (session !== undefined && event.leaseEnded && event.revision !== undefined)
          this.#unsealed.set(id, { session, since: event.revision, until: null })
        return null
      }
      case 'sealed': {
        const unsealed = this.#unsealed.get(`${event.lock} ${event.token}`)
        if (unsealed !== undefined) unsealed.until = event.revision
        const session = this.#open.get(`${event.lock} ${event.token}`)
        if (session !== undefined) this.#sealedAt.set(session, event.revision)
        this.#open.delete(`${event.lock} ${event.token}`)
        return null
      }
      case 'lease-ended':
        this.#ended.add(event.lease)
        return null
      case 'registered': {
        const live = this.#live.get(event.gateway) ?? new Set()
        this.#live.set(event.gateway, live.add(event.incarnation))
        this.#ownerOf.set(event.incarnation, event.gateway)
        return null
      }
      case 'lost':
        this.#live.get(this.#ownerOf.get(event.incarnation) ?? '')?.delete(event.incarnation)
        return null
      case 'login':
        return this.#login(event)
      default:
        return null
    }
  }

  #fence(event: Extract<HistoryEvent, { kind: 'fence' }>): LoginFault | null {
    const { session, revision, targets = [], logins = [] } = event
    if (revision === undefined) return null
    const isOver = event.state === 'closed' || event.state === 'deleted'
    const known = this.#fences.get(session)
    if (known === undefined)
      this.#fences.set(session, { since: revision, until: isOver ? revision : null, targets, logins })
    else if (isOver) known.until ??= revision
    const missing = this.#answeredOf(session).find((login) => !logins.includes(login))
    if (known !== undefined || missing === undefined) return null
    return {
      promise: 'I3',
      detail: `the fence of ${session} knows nothing of ${missing}, which was answered`,
    }
  }

  /** Each login is either known to the fence or refused. */
  #answered({ session, login }: Extract<HistoryEvent, { kind: 'login-answered' }>): LoginFault | null {
    this.#logins.set(session, [...this.#answeredOf(session), login])
    const fence = this.#fences.get(session)
    if (fence === undefined || fence.logins.includes(login)) return null
    return {
      promise: 'I3',
      detail: `${login} was answered after the fence of ${session} was written without it`,
    }
  }

  /** Of a session whose record stands. */
  #answeredOf(session: string): readonly string[] {
    return this.#sessions.has(session) ? (this.#logins.get(session) ?? []) : []
  }

  #granted(session: string): LoginFault | null {
    for (const id of this.#sessions.get(session)?.against ?? [])
      if (this.#fences.get(id)?.until === null)
        return {
          promise: 'I3',
          detail: `session ${session} has a target of fence ${id}, which is not closed`,
        }
    return null
  }

  #login({ gateway, holder, seen, code }: Extract<HistoryEvent, { kind: 'login' }>): LoginFault | null {
    const known = [...this.#sessions].filter(
      ([, session]) => session.holder === holder && session.openedAt <= seen,
    )
    const about = `${gateway} (at revision ${seen})`
    let troubled = false
    for (const [id] of known)
      for (const trouble of this.#troublesOf(id)) {
        if (trouble.until === null || trouble.until > seen) troubled = true
        if (code !== null || trouble.until !== null) continue
        if (trouble.since <= seen)
          return { promise: 'I3', detail: `${about} let ${holder} log in while the fence of ${id} is due` }
        if ((this.#live.get(gateway)?.size ?? 0) === 0)
          return { promise: 'I5', detail: `${about} let ${holder} log in without a lease in the store` }
      }
    if (code === 'fence-due' && !troubled && this.#whole && !known.some(([id]) => this.#maySeemDue(id, seen)))
      return { promise: 'I9', detail: `${about} keeps ${holder} out, and no fence of his is due` }
    return null
  }

  /** Who gave back and then let his lease end is taken for expired until the seal says that he was not. */
  #maySeemDue(session: string, seen: number): boolean {
    if (!this.#ended.has(session)) return false
    return (this.#sealedAt.get(session) ?? 0) > seen || [...this.#open.values()].includes(session)
  }

  #troublesOf(session: string): readonly Trouble[] {
    const fence = this.#fences.get(session)
    const unsealed = [...this.#unsealed.values()].filter((trouble) => trouble.session === session)
    // Once it is closed it stands for all that the session held, sealed or not.
    return fence === undefined ? unsealed : [{ ...fence, since: Math.min(fence.since, ...sinceOf(unsealed)) }]
  }
}

function sinceOf(troubles: readonly Trouble[]): number[] {
  return troubles.map(({ since }) => since)
}

function isShared(fence: KnownFence, { targets }: { readonly targets: readonly string[] }): boolean {
  return fence.targets.some((target) => targets.includes(target))
}
