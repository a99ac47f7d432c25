// Looks at the store from outside: everything that was ever committed, in the store's own order, and when each revision was
// first seen. It watches every member on its own, so that a member that stands still hides nothing.

import { setTimeout as sleep } from 'node:timers/promises'
import { asLeaseId, type LeaseId, type Revision } from '../../gateway/core/names.ts'
import type { KeyValue, StoreEvent } from '../../gateway/spi/store.ts'
import { EtcdJson, type WatchedEvents, watchAll } from './etcd-json.ts'
import { nowMs } from './log.ts'

/** Keys of ours, one on each lease that is seen: a key that goes while this one stays was not taken by the lease's end. */
const MARKERS = '/chaos/leases/'

export interface SeenRevision {
  readonly revision: Revision
  readonly seenAtMs: number
  readonly events: readonly StoreEvent[]
  readonly before: ReadonlyMap<string, KeyValue>
  readonly endedLease: LeaseId | null
}

export class Observer {
  readonly #etcd: EtcdJson
  readonly #prefix: string
  readonly #over = new AbortController()
  readonly #watches: Promise<void>[]
  readonly #revisions = new Map<
    number,
    { readonly seenAtMs: number; readonly events: WatchedEvents['events'] }
  >()
  readonly #marked = new Set<string>()
  #latest = 0

  constructor(endpoints: readonly string[], prefix: string) {
    this.#etcd = new EtcdJson(endpoints)
    this.#prefix = prefix
    this.#watches = endpoints.map((endpoint) => this.#watch(endpoint))
  }

  get latest(): number {
    return this.#latest
  }

  async #watch(endpoint: string): Promise<void> {
    let from = 1
    while (!this.#over.signal.aborted) {
      try {
        for await (const answer of watchAll(endpoint, from, this.#over.signal)) {
          if (answer.canceled === true) break
          const seenAtMs = nowMs()
          this.#take(answer.events, seenAtMs)
          for (const { kv } of answer.events) from = Math.max(from, kv.mod_revision + 1)
        }
      } catch {
        // The member is gone for now.
      }
      // What the others have shown meanwhile need not come from here, and may be forgotten there.
      from = Math.max(from, this.#latest + 1)
      if (!this.#over.signal.aborted) await sleep(100)
    }
  }

  #take(events: WatchedEvents['events'], seenAtMs: number): void {
    const fresh = new Map<number, WatchedEvents['events']>()
    for (const event of events) {
      const { mod_revision: revision } = event.kv
      if (this.#revisions.has(revision)) continue
      const known = fresh.get(revision) ?? []
      known.push(event)
      fresh.set(revision, known)
    }
    for (const [revision, all] of fresh) {
      this.#revisions.set(revision, { seenAtMs, events: all })
      this.#latest = Math.max(this.#latest, revision)
      for (const { type, kv } of all)
        if (type === undefined && kv.lease !== undefined && kv.key.startsWith(this.#prefix))
          this.#mark(BigInt(kv.lease).toString(16))
    }
  }

  #mark(lease: string): void {
    if (lease === '0' || this.#marked.has(lease)) return
    this.#marked.add(lease)
    this.#etcd.put(`${MARKERS}${lease}`, '', lease).catch(() => {
      // It has ended already, or the store is silent: then the gateways' canary has to do.
    })
  }

  /** Once it has seen all that the store holds now. */
  async caughtUp(waitMs: number): Promise<boolean> {
    const deadlineMs = nowMs() + waitMs
    let revision = Number.POSITIVE_INFINITY
    while (nowMs() < deadlineMs) {
      if (revision === Number.POSITIVE_INFINITY)
        revision = await this.#etcd.revision().catch(() => Number.POSITIVE_INFINITY)
      if (this.#latest >= revision) return true
      await sleep(50)
    }
    return false
  }

  async close(): Promise<void> {
    this.#over.abort()
    await Promise.all(this.#watches)
  }

  /** Keys that stand there now, with their values. */
  current(): Map<string, KeyValue> {
    const keys = new Map<string, KeyValue>()
    this.#replay(keys, () => undefined)
    return keys
  }

  history(): SeenRevision[] {
    const seen: SeenRevision[] = []
    this.#replay(new Map(), (revision) => seen.push(revision))
    return seen
  }

  #replay(keys: Map<string, KeyValue>, each: (seen: SeenRevision) => void): void {
    for (const [number, { seenAtMs, events: raw }] of [...this.#revisions].toSorted(([a], [b]) => a - b)) {
      const before = new Map<string, KeyValue>()
      const events: StoreEvent[] = []
      const ended = new Set<string>()
      for (const { type, kv } of raw) {
        const known = keys.get(kv.key)
        if (known !== undefined) before.set(kv.key, known)
        if (type === 'DELETE') {
          events.push({ type: 'delete', key: kv.key })
          keys.delete(kv.key)
          if (kv.key.startsWith(MARKERS)) ended.add(kv.key.slice(MARKERS.length))
          else if (kv.key.startsWith(`${this.#prefix}/canaries/`))
            ended.add(kv.key.slice(this.#prefix.length + 10))
        } else {
          const value: KeyValue = {
            key: kv.key,
            value: kv.value,
            createRevision: asRevision(kv.create_revision),
            modRevision: asRevision(kv.mod_revision),
            lease: kv.lease === undefined ? null : asLeaseId(BigInt(kv.lease).toString(16)),
          }
          events.push({ type: 'put', kv: value })
          keys.set(kv.key, value)
        }
      }
      const endedLease = asLeaseId([...ended][0] ?? '')
      each({ revision: asRevision(number), seenAtMs, events, before, endedLease })
    }
  }
}

function asRevision(number: number): Revision {
  return number as Revision
}
