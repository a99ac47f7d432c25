// Releases that are to be said, or are being said: found by what they are about, however many there are while the store is away.

import type { LockName, SessionId } from '../core/names.ts'
import type { Release } from './releases.ts'

export class PendingReleases {
  /** By what is to be said: the same release, asked for again, is said once. */
  readonly #byContent = new Map<string, Release>()
  readonly #contents = new Map<Release, string>()
  readonly #byLock = new Map<string, Set<Release>>()

  /** Those that are to be said, oldest first. */
  get all(): readonly Release[] {
    return [...this.#contents.keys()]
  }

  /** To be said, unless the same is already. What it is about may have become known since it was added before. */
  add(release: Release): void {
    this.delete(release)
    const content = contentOf(release)
    if (this.#byContent.has(content)) return
    this.#byContent.set(content, release)
    this.#contents.set(release, content)
    this.track(release)
  }

  delete(release: Release): void {
    const content = this.#contents.get(release)
    if (content === undefined) return
    this.#contents.delete(release)
    this.#byContent.delete(content)
    this.forget(release)
  }

  /** It is being said for the first time. */
  track(release: Release): void {
    const key = keyOf(release)
    const known = this.#byLock.get(key)
    if (known === undefined) this.#byLock.set(key, new Set([release]))
    else known.add(release)
  }

  /** It is not being said any more; one that is to be said again stays. */
  forget(release: Release): void {
    if (this.#contents.has(release)) return
    const key = keyOf(release)
    const known = this.#byLock.get(key)
    known?.delete(release)
    if (known?.size === 0) this.#byLock.delete(key)
  }

  of(about: { readonly lock: LockName; readonly session: SessionId }): Iterable<Release> {
    return this.#byLock.get(keyOf(about)) ?? []
  }
}

function keyOf({ lock, session }: { readonly lock: LockName; readonly session: SessionId }): string {
  return `${session} ${lock}`
}

function contentOf(release: Release): string {
  const { tokens, writing } = release
  return `${keyOf(release)} ${writing?.value ?? ''} ${tokens === null ? '' : [...tokens].join(' ')}`
}
