// Giving back: keys that leave the queue, by release, hang-up or deadline. What the store cannot hear now is said when it is
// back, and never takes what the session has been granted since.

import { sealGrants } from '../core/handover.ts'
import type { IncarnationId, LockName, Revision, SessionId } from '../core/names.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import { type Comparison, type Store, StoreUnavailable, type Write } from '../spi/store.ts'
import { Interest } from './interest.ts'
import type { Layout } from './layout.ts'
import type { LiveGrant, LockState, QueuedWaiter } from './lock-state.ts'
import { PendingReleases } from './pending-releases.ts'
import { lockRecords } from './records.ts'
import type { StepBatch } from './step-batch.ts'
import type { View } from './view.ts'
import { waiterWords } from './waiter-words.ts'

const RELEASE_RETRY_MS = 500
/** How long to wait for the change that made a swap fail, before looking all the same. */
const RELEASE_LOOK_MS = 50
/** A release that loses this many swaps in a row waits for its next turn instead of spinning. */
const RELEASE_SWAPS_MAX = 16
const NOBODY_GONE = new AbortController().signal

export interface ReleasesOptions {
  readonly store: Store
  readonly steps: StepBatch
  readonly layout: Layout
  readonly view: View
  readonly clock: Clock
  readonly events: EventSink
  readonly sealHere: (grant: LiveGrant) => void
  /** What a seal written now may say of this gateway. */
  readonly ownWord: (grant: LiveGrant | null) => readonly IncarnationId[]
  readonly caughtUp: (revision: Revision) => Promise<unknown>
}

/**
 * What is to be given back, by create revision: a release that is said again later must not take what the same session was
 * granted meanwhile. Null until it is known what there was.
 */
export interface Release {
  readonly lock: LockName
  readonly session: SessionId
  tokens: ReadonlySet<number> | null
  /** Read from the store after the release was asked for, not only seen in a view that may lag; or named. */
  certain: boolean
  /** By its holder, with a token: an upgrade of which he has not heard goes with what it replaces. */
  readonly isNamed?: boolean
  /**
   * Of a request that gives up, as it wrote its key: another request, here or at another gateway, that has joined the key
   * since has written it anew, and keeps it. Null where the session gives back whatever it has.
   */
  readonly writing: Writing | null
}

export interface Writing {
  /** Holds the id of the request: told from all others even where the store's answer was lost. */
  readonly value: string
  /** Null where the answer was lost. */
  modRevision: Revision | null
  /** Another request may have been told that the lock is his, so an open grant is not taken away. */
  readonly joined: boolean
}

const NOTHING: ReadonlySet<number> = new Set()

interface Key {
  readonly createRevision: number
  readonly replaces?: number | null
}

export class Releases {
  readonly #options: ReleasesOptions
  /** What the store has not heard yet, or is being told. */
  readonly #pending = new PendingReleases()
  #timer: Timer | null = null
  #stopped = false

  constructor(options: ReleasesOptions) {
    this.#options = options
  }

  /** Says once more what the store has not heard, and then nothing. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#sayAll()
  }

  /**
   * False where the store has not heard it yet: then it is said again until it has. Rejects with StoreUnavailable where
   * neither view nor store could tell what there is to give back.
   */
  async giveBack(release: Release): Promise<boolean> {
    // A request that gives up does not know yet whether another has joined it: then the grant goes on.
    if (release.writing === null) this.#sealHere(release)
    this.#pending.track(release)
    try {
      if (await this.#release(release)) {
        this.#pending.delete(release)
        return true
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      // Said later, it would take whatever the session has by then: nothing shows what it was about.
      if (release.writing === null && release.tokens === null) throw error
      // It may have happened: what the session takes from now on is not what this release is about.
      if (release.tokens !== null) release.certain = true
    } finally {
      this.#pending.forget(release)
    }
    this.sayLater(release)
    return false
  }

  #sealHere(release: Release): void {
    const lock = this.#options.view.locks.get(release.lock)
    for (const grant of lock?.live ?? []) {
      const { createRevision, session } = grant
      const recorded = lock?.record?.grants.find((other) => other.createRevision === createRevision)
      const replaces = recorded?.replaced ?? null
      if (session === release.session && concerns(release, { createRevision, replaces }))
        this.#options.sealHere(grant)
    }
  }

  /** A release that found nothing yet must not find what this session asks for from now on. */
  outdate({ lock, session }: { readonly lock: LockName; readonly session: SessionId }): void {
    for (const release of this.#pending.of({ lock, session })) {
      if (release.writing !== null) continue
      release.tokens ??= NOTHING
      release.certain = true
    }
  }

  /** False where others were faster again and again. */
  async #release(release: Release): Promise<boolean> {
    const lock = this.#options.view.lock(release.lock)
    const interest = new Interest(lock)
    try {
      for (let swaps = 0; swaps < RELEASE_SWAPS_MAX; swaps++) {
        if ((await this.#releaseOnce(release)) === 'done') return true
        await interest.changed(this.#options.clock, RELEASE_LOOK_MS, NOBODY_GONE)
      }
      return false
    } finally {
      interest.end()
      this.#options.view.tidy(lock)
    }
  }

  /** `again`: another was faster, and what it wrote is on its way here. */
  async #releaseOnce(release: Release): Promise<'done' | 'again'> {
    const { view } = this.#options
    const isUnknown = release.writing !== null && release.writing.modRevision === null
    let own = isUnknown ? [] : ownKeys(view.locks.get(release.lock), release)
    if (own.length === 0) {
      // The view may not have it yet: written a moment ago, here or through another gateway.
      if (!(await this.#lookUp(release))) return 'done'
      own = ownKeys(view.locks.get(release.lock), release)
      if (own.length === 0) return 'again'
    }
    release.tokens ??= tokensOf(own)
    if (await this.#deleteKeys(release, own)) return 'done'
    return (await this.#lookUp(release)) ? 'again' : 'done'
  }

  /** Asks the store what there is to give back, and waits until the view shows it; false where there is nothing. */
  async #lookUp(release: Release): Promise<boolean> {
    const { store, layout } = this.#options
    const { items } = await store.read(layout.queue(release.lock))
    const { writing } = release
    // The view may lag: what is to be given back can be a key that it did not show.
    const anything = release.tokens === null || !release.certain
    const stored = items.filter(
      (item) =>
        item.lease === release.session &&
        (anything || concerns(release, { ...item, ...waiterWords(item.value) })) &&
        (writing === null || writing.value === item.value),
    )
    if (writing !== null) writing.modRevision ??= stored[0]?.modRevision ?? null
    if (anything) release.tokens = tokensOf(stored)
    release.certain = true
    if (stored.length === 0) return false
    await this.#options.caughtUp(Math.max(...stored.map((item) => item.modRevision)) as Revision)
    return true
  }

  /** False where one of them was changed by another meanwhile. */
  async #deleteKeys(
    { lock: name, session, writing }: Release,
    own: readonly QueuedWaiter[],
  ): Promise<boolean> {
    const { steps, layout, view, clock, events } = this.#options
    const lock = view.locks.get(name)
    for (const waiter of own) {
      const grant = lock?.record?.grants.find((other) => other.createRevision === waiter.createRevision)
      const compare: Comparison[] = [{ key: waiter.key, createRevision: waiter.createRevision }]
      const writes: Write[] = [{ delete: waiter.key }]
      const key = layout.lockRecord(name)
      if (writing !== null) {
        if (writing.modRevision === null || (writing.joined && grant !== undefined)) continue
        compare.push({ key: waiter.key, modRevision: writing.modRevision })
        if (writing.joined) compare.push({ key, modRevision: lock?.recordRevision ?? 0 })
      }
      if (lock?.record && grant !== undefined && grant.state !== 'sealed') {
        const now = new Date(clock.wallMs()).toISOString()
        const drainedAt = this.#options.ownWord(lock.grantOf(grant.createRevision))
        const sealed = sealGrants(lock.record, [{ grant, cause: 'released', drainedAt }], now)
        const result = await steps.transact({
          compare: [...compare, { key, modRevision: lock.recordRevision }],
          writes: [...writes, { put: key, value: lockRecords.encode(sealed) }],
        })
        if (!result.succeeded) return false
        events({ type: 'lock.released', lock: name, session, token: String(waiter.createRevision) })
        events({
          type: 'grant.sealed',
          lock: name,
          session,
          token: String(waiter.createRevision),
          detail: 'released',
        })
        continue
      }
      // A waiter that may be opened in this very moment: then its missing key reads as released, as its lease lives.
      const result = await steps.transact({ compare, writes })
      if (!result.succeeded) return false
    }
    return true
  }

  sayLater(release: Release): void {
    this.#pending.add(release)
    if (this.#timer !== null || this.#stopped) return
    this.#timer = this.#options.clock.after(RELEASE_RETRY_MS, () => {
      this.#timer = null
      if (!this.#stopped) void this.#sayAll()
    })
  }

  async #sayAll(): Promise<void> {
    await Promise.all(this.#pending.all.map((release) => this.giveBack(release)))
  }
}

function concerns(release: Release, { createRevision, replaces = null }: Key): boolean {
  return release.tokens === null || release.tokens.has(createRevision) || isUpgradeOf(release, replaces)
}

function isUpgradeOf({ tokens, isNamed }: Release, replaced: number | null): boolean {
  return isNamed === true && replaced !== null && tokens?.has(replaced) === true
}

function tokensOf(keys: readonly { readonly createRevision: number }[]): ReadonlySet<number> {
  return new Set(keys.map((key) => key.createRevision))
}

function ownKeys(lock: LockState | undefined, release: Release): QueuedWaiter[] {
  return lock?.queue.filter((waiter) => waiter.session === release.session && concerns(release, waiter)) ?? []
}
