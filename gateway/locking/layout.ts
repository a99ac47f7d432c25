// Where everything stands in the store. Waiter keys follow etcd's own `concurrency` package, so that `etcdctl lock` and
// Go's concurrency.Mutex on `<prefix>/locks/<name>` exclude us and we them.

import { type ForeignLock, foreignLock, type LockSource } from '../core/lock-source.ts'
import { asLeaseId, asLockName, type LeaseId, type LockMode, type LockName } from '../core/names.ts'

export type KeyMeaning =
  /** `lease` null: the key's name does not tell it. */
  | {
      readonly kind: 'waiter'
      readonly lock: LockName
      readonly mode: LockMode
      readonly lease: LeaseId | null
    }
  | { readonly kind: 'lock-record'; readonly lock: LockName }
  | { readonly kind: 'session'; readonly session: LeaseId }
  | { readonly kind: 'canary'; readonly lease: LeaseId }
  | { readonly kind: 'fence'; readonly id: LeaseId }
  | { readonly kind: 'gateway'; readonly incarnation: string }
  | { readonly kind: 'watermark'; readonly incarnation: string }
  | { readonly kind: 'binding'; readonly digest: string }
  | { readonly kind: 'sources' }
  | { readonly kind: 'foreign' }

const SHARED = 'shared'
const UPGRADE = 'upgrade'

/** Keys of one prefix. The lock's name is percent-encoded, so that no lock's keys lie among another's. */
export class Layout {
  /** Ends in a slash: everything of ours, and nothing else, begins with it. */
  readonly root: string
  /** What must be read and watched: the root, and what the sources' keys begin with. */
  readonly prefixes: readonly string[]
  /** Which sources the gateways go by; it is there once there were any. */
  readonly sources: string
  readonly #foreign: readonly LockSource[]
  readonly #locks: string
  readonly #lockRecords: string
  readonly #sessions: string
  readonly #canaries: string
  readonly #fences: string
  readonly #gateways: string
  readonly #watermarks: string
  readonly #bindings: string

  /** `sources`: their prefixes lie neither under this one nor it under theirs. */
  constructor(prefix: string, sources: readonly LockSource[] = []) {
    this.root = prefix.endsWith('/') ? prefix : `${prefix}/`
    this.prefixes = [this.root, ...sources.map((source) => source.prefix)]
    this.sources = `${this.root}sources/agreed`
    this.#foreign = sources
    this.#locks = `${this.root}locks/`
    this.#lockRecords = `${this.root}lock-records/`
    this.#sessions = `${this.root}sessions/`
    this.#canaries = `${this.root}canaries/`
    this.#fences = `${this.root}fences/`
    this.#gateways = `${this.root}gateways/`
    this.#watermarks = `${this.root}watermarks/`
    this.#bindings = `${this.root}bindings/`
  }

  waiter(lock: LockName, mode: LockMode, lease: LeaseId): string {
    const queue = `${this.#locks}${encodeURIComponent(lock)}/`
    return mode === 'exclusive' ? queue + lease : `${queue}${SHARED}/${lease}`
  }

  /**
   * Key of an upgrade, exclusive as well. The session may hold its shared grant by a key of either other name: a grant that
   * was exclusive and was downgraded keeps its own.
   */
  upgrade(lock: LockName, lease: LeaseId): string {
    return `${this.#locks}${encodeURIComponent(lock)}/${UPGRADE}/${lease}`
  }

  /** Prefix of all waiter keys of one lock, shared ones too. */
  queue(lock: LockName): string {
    return `${this.#locks}${encodeURIComponent(lock)}/`
  }

  lockRecord(lock: LockName): string {
    return this.#lockRecords + encodeURIComponent(lock)
  }

  session(session: LeaseId): string {
    return this.#sessions + session
  }

  canary(lease: LeaseId): string {
    return this.#canaries + lease
  }

  fence(id: LeaseId): string {
    return this.#fences + id
  }

  gateway(incarnation: string): string {
    return this.#gateways + incarnation
  }

  watermark(incarnation: string): string {
    return this.#watermarks + incarnation
  }

  /** `digest`: of what is bound (caller-digest.ts); the thing itself may be a secret. */
  binding(digest: string): string {
    return this.#bindings + digest
  }

  /** What a source makes of the key; null where it is no source's. */
  foreign(key: string): ForeignLock | null {
    return key.startsWith(this.root) ? null : foreignLock(this.#foreign, key)
  }

  /** What a key stands for; `foreign` where it is none of ours, and no lock of a source. */
  meaning(key: string): KeyMeaning {
    if (key.startsWith(this.#locks)) return this.#waiterMeaning(key.slice(this.#locks.length))
    if (!key.startsWith(this.root)) {
      const found = this.foreign(key)
      if (found === null) return { kind: 'foreign' }
      return { kind: 'waiter', lock: found.lock, mode: 'exclusive', lease: null }
    }
    if (key === this.sources) return { kind: 'sources' }
    const slash = key.indexOf('/', this.root.length)
    const name = key.slice(slash + 1)
    switch (key.slice(0, slash + 1)) {
      case this.#lockRecords: {
        const lock = decodeLock(name)
        return lock === null ? { kind: 'foreign' } : { kind: 'lock-record', lock }
      }
      case this.#sessions:
        return withLease(name, (session) => ({ kind: 'session', session }))
      case this.#canaries:
        return withLease(name, (lease) => ({ kind: 'canary', lease }))
      case this.#fences:
        return withLease(name, (id) => ({ kind: 'fence', id }))
      case this.#gateways:
        return { kind: 'gateway', incarnation: name }
      case this.#watermarks:
        return { kind: 'watermark', incarnation: name }
      case this.#bindings:
        return { kind: 'binding', digest: name }
      default:
        return { kind: 'foreign' }
    }
  }

  #waiterMeaning(rest: string): KeyMeaning {
    const parts = rest.split('/')
    const queue = parts.length === 3 ? parts[1] : null
    if (
      (parts.length !== 2 && parts.length !== 3) ||
      (queue !== null && queue !== SHARED && queue !== UPGRADE)
    )
      return { kind: 'foreign' }
    const lock = decodeLock(parts[0] ?? '')
    const lease = asLeaseId(parts.at(-1) ?? '')
    if (lock === null || lease === null) return { kind: 'foreign' }
    return { kind: 'waiter', lock, mode: queue === SHARED ? 'shared' : 'exclusive', lease }
  }
}

function withLease(name: string, meaning: (lease: LeaseId) => KeyMeaning): KeyMeaning {
  const lease = asLeaseId(name)
  return lease === null ? { kind: 'foreign' } : meaning(lease)
}

function decodeLock(encoded: string): LockName | null {
  try {
    const name = asLockName(decodeURIComponent(encoded))
    // Two encodings of one name would be two queues for one lock: only ours counts.
    return name !== null && encodeURIComponent(name) === encoded ? name : null
  } catch {
    return null
  }
}
