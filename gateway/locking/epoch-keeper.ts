// This gateway's word on whether the store is still the one that it knows, and what a new epoch asks of it: that what the
// backup brought back ends, and that nothing is opened before what the backup has forgotten is over. Where the store went
// back, it writes nothing.

import { epochOf, REVISION_MAX, revisionIn } from '../core/epoch.ts'
import type { LeaseId, Revision } from '../core/names.ts'
import type { Clock, Timer } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { HighWaterMark, StoreMark, StoreMemory } from '../spi/high-water-mark.ts'
import { type Snapshot, type Store, StoreUnavailable, type TransactionResult } from '../spi/store.ts'
import { GONE_MARGIN_MS } from './barrier.ts'
import {
  EpochUnreadable,
  encodeEpoch,
  encodeSettled,
  encodeWitness,
  epochKeys,
  type FoundEpoch,
  findEpoch,
  witnessBeat,
} from './epoch-record.ts'
import { EPOCH_CHANGED, epochStore } from './epoch-store.ts'
import { Layout } from './layout.ts'
import { OldMarks } from './old-marks.ts'
import { gatewayRecords } from './records.ts'

const RETRY_MS = 1_000
const REVOKES_AT_ONCE = 16
const CREATE_ATTEMPTS_MAX = 3

export interface EpochOptions {
  readonly store: Store
  readonly prefix: string
  readonly mark: StoreMark
  readonly clock: Clock
  readonly events: EventSink
  readonly newId: () => string
  /** As of the room: what a gateway that the store has forgotten may have had open is over so long after its lease. */
  readonly quietMs: number | null
  readonly leaseMs: number
}

export interface EpochListener {
  /** The store must not be served any more; called once, in the tick in which it is known. */
  readonly onRefused: (reason: string) => void
  /** Grants may be opened from now on. */
  readonly onSettled: () => void
}

/** Looks at the store once, and makes its first epoch where it has none yet. Rejects with StoreUnavailable. */
export async function enterEpoch(options: EpochOptions): Promise<EpochKeeper> {
  const keys = epochKeys(new Layout(options.prefix).root)
  for (let attempt = 1; ; attempt++) {
    const { found, refusal } = await lookAt(options)
    if (refusal !== null || found.record !== null) {
      if (options.mark.memory === null && found.record !== null && attempt === 1)
        options.events({
          type: 'mark.missing',
          detail: `this gateway remembers nothing of this store, which others have served (epoch ${found.record.epoch}, revision ${found.revision}): if its state: directory was lost, it cannot tell whether the store went back`,
        })
      return new EpochKeeper(options, found, refusal)
    }
    const at = new Date(options.clock.wallMs()).toISOString()
    const first = { epoch: 0, id: options.newId(), by: null, reason: null, at, earlier: [] }
    // Whoever is first, the next look finds one.
    await options.store.transact({
      compare: [{ key: keys.record, createRevision: 0 }],
      writes: [{ put: keys.record, value: encodeEpoch(first) }],
    })
    if (attempt === CREATE_ATTEMPTS_MAX)
      throw new StoreUnavailable(`the store does not show the epoch record ${keys.record} that was written`)
  }
}

export interface EpochLook {
  readonly found: FoundEpoch
  /** Why the store must not be served, or null. */
  readonly refusal: string | null
}

export async function lookAt({
  store,
  prefix,
  mark,
}: Pick<EpochOptions, 'store' | 'prefix' | 'mark'>): Promise<EpochLook> {
  const keys = epochKeys(new Layout(prefix).root)
  const { memory } = mark
  const witness = memory?.witness ?? null
  // In this order: a witness is written later than the record that goes with it.
  const snapshot = await store.read(keys.record)
  const witnesses = witness === null ? [] : (await store.read(keys.witness(witness.id))).items
  try {
    const found = findEpoch(snapshot, keys)
    if (found.revision > REVISION_MAX) return { found, refusal: TOO_LARGE }
    const own = witness === null ? null : keys.witness(witness.id)
    const beat = own === null ? 0 : witnessBeat(witnesses.find(({ key }) => key === own))
    return { found, refusal: refusalOf(found, memory, beat) }
  } catch (error) {
    if (!(error instanceof EpochUnreadable)) throw error
    return { found: findEpoch({ ...snapshot, items: [] }, keys), refusal: error.message }
  }
}

const TOO_LARGE = `the store's revision does not fit into a token, which has room up to ${REVISION_MAX}: go on under another prefix in a new store`
const BUMP = 'begin a new epoch with `fencegate epoch bump`'
const AWAY =
  '; if the store is known never to have been restored and this gateway was away for 30 days, its mark was tidied: give it an empty state: directory'
const OLDER = 'it was restored from an older backup, and tokens could come again'

/** In positions, of one epoch. */
export function wentBack(position: number, seen: number): string {
  return `the store is at revision ${revisionIn(position)}, and this gateway has seen ${revisionIn(seen)}: ${OLDER}; ${BUMP}`
}

/** `beat`: of this gateway's own key in the store; -1 where it is not there. */
function refusalOf(found: FoundEpoch, memory: StoreMemory | null, beat: number): string | null {
  const { record, revision, epochs } = found
  if (memory === null) return null
  const knownEpoch = epochOf(memory.revision)
  if (record !== null && record.epoch > knownEpoch) return null
  if (epochs.epoch < knownEpoch)
    return `the store is in epoch ${epochs.epoch}, and this gateway has seen epoch ${knownEpoch}: ${OLDER}; ${BUMP}`
  if (memory.lineage !== null && record?.id !== memory.lineage)
    return `the store is another one than this gateway knows (epoch ${epochs.epoch} was begun elsewhere): ${BUMP}, or give this gateway a state: directory or a prefix of its own`
  const position = epochs.position(revision)
  if (position < memory.revision) return wentBack(position, memory.revision)
  if (memory.witness !== null && beat < memory.witness.beat)
    return `the store lacks what this gateway wrote to it (its mark is ${Math.max(0, beat)}, not ${memory.witness.beat}): ${OLDER}; ${BUMP}${beat < 0 ? AWAY : ''}`
  return null
}

export class EpochKeeper implements HighWaterMark {
  readonly #options: EpochOptions
  readonly #found: FoundEpoch
  readonly #layout: Layout
  readonly #seenAtMs: number
  /** The store with positions in place of revisions; for this room alone. */
  readonly store: Store
  #refusal: string | null
  /** Of this gateway's own witness, as it was last written here; null where that is not known. */
  #witnessRevision: Revision | null = null
  #isSettled: boolean
  #listener: EpochListener | null = null
  /** Of the restored gateways and of our own; null: nobody can tell when a call that is unknown is over. */
  #quietMs: number | null
  #timer: Timer | null = null
  #isStopped = false
  readonly #oldMarks: OldMarks

  constructor(options: EpochOptions, found: FoundEpoch, refusal: string | null) {
    this.#options = options
    this.#found = found
    this.#layout = new Layout(options.prefix)
    this.#seenAtMs = options.clock.monotonicMs()
    this.#refusal = refusal
    this.#isSettled = found.isSettled
    this.#quietMs = options.quietMs
    const keys = epochKeys(this.#layout.root)
    this.store = epochStore({
      store: options.store,
      keys,
      epochs: found.epochs,
      recordRevision: found.modRevision,
      onOutdated: (reason) => this.#refuse(reason),
      onSettled: () => this.#settled(),
    })
    const own = () => {
      const id = options.mark.memory?.witness?.id
      return id === undefined ? null : keys.witness(id)
    }
    this.#oldMarks = new OldMarks({ store: this.store, prefix: keys.witnesses, clock: options.clock, own })
  }

  get revision(): number {
    return this.#options.mark.memory?.revision ?? 0
  }

  listen(listener: EpochListener): void {
    this.#listener = listener
  }

  /** To be asked before each registration: why the store must not be served, or null. Rejects with StoreUnavailable. */
  async verify(): Promise<string | null> {
    const { found, refusal } = await lookAt(this.#options)
    if (refusal !== null) return refusal
    if (this.#refusal !== null) return this.#refusal
    return found.modRevision === this.#found.modRevision ? null : EPOCH_CHANGED
  }

  /**
   * Ends what the backup brought back: no lease from before the epoch goes on, so that each of its grants is sealed,
   * drained and fenced as expired. To be called before the snapshot that is served. Rejects with StoreUnavailable.
   */
  async endRestored(): Promise<void> {
    if (this.#isSettled) return
    const snapshot = await this.store.read(this.#layout.root)
    this.#learnQuietTimes(snapshot)
    const { begins } = this.#found.epochs
    const leases = new Set<LeaseId>()
    for (const { lease, createRevision } of snapshot.items)
      if (lease !== null && createRevision < begins) leases.add(lease)
    const waiting = [...leases]
    const revoke = async (): Promise<void> => {
      for (let lease = waiting.pop(); lease !== undefined; lease = waiting.pop())
        await this.store.revokeLease(lease)
    }
    await Promise.all(Array.from({ length: REVOKES_AT_ONCE }, revoke))
  }

  /** Why a waiter's grant is not opened yet, or never; null where nothing is against it. */
  held(createRevision: number): string | null {
    const { epochs, record } = this.#found
    if (createRevision < epochs.begins)
      return `its key is older than epoch ${epochs.epoch}; it has to be given up and taken anew`
    if (this.#isSettled) return null
    const remainingMs = this.#remainingMs()
    const until =
      remainingMs === null
        ? 'for ever, as there is no quiet time'
        : `before ${new Date(this.#options.clock.wallMs() + remainingMs).toISOString()}`
    return `epoch ${epochs.epoch} was begun by ${record?.by ?? 'nobody'}: nothing is opened ${until}, as calls that the store has forgotten may still run`
  }

  /** This gateway serves: in time it may say that what the store has forgotten is over. */
  serve(): void {
    this.#oldMarks.start()
    this.#timer?.cancel()
    const remainingMs = this.#remainingMs()
    if (this.#isSettled || this.#isStopped || remainingMs === null) return
    this.#timer = this.#options.clock.after(remainingMs, () => {
      void this.#settle()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
    this.#oldMarks.stop()
  }

  /** Writes to the store first: what the mark then holds was there. */
  async raise(to: number): Promise<void> {
    const { mark, newId } = this.#options
    if (to <= this.revision) return
    const { record } = this.#found
    if (record === null || this.#refusal !== null) return
    const id = mark.memory?.witness?.id ?? newId()
    const beat = (mark.memory?.witness?.beat ?? 0) + 1
    const written = await this.#testify(id, beat).catch((error: unknown) => {
      if (!(error instanceof StoreUnavailable)) throw error
      // Nothing is seen of a silent store that would have to be remembered.
      return null
    })
    this.#witnessRevision = written?.succeeded === true ? written.revision : null
    if (written === null || !written.succeeded) return
    const { revision } = written
    await mark.save({ revision: Math.max(to, revision), lineage: record.id, witness: { id, beat } })
  }

  /** Compared with what stands there: an earlier write that was never answered may arrive late, and must not undo this one. */
  async #testify(id: string, beat: number): Promise<TransactionResult> {
    const key = epochKeys(this.#layout.root).witness(id)
    const known =
      this.#witnessRevision ??
      (await this.store.read(key)).items.find((item) => item.key === key)?.modRevision ??
      0
    return await this.store.transact({
      compare: [{ key, modRevision: known }],
      writes: [
        { put: key, value: encodeWitness(beat, new Date(this.#options.clock.wallMs()).toISOString()) },
      ],
    })
  }

  #refuse(reason: string): void {
    if (this.#refusal !== null) return
    this.#refusal = reason
    this.#listener?.onRefused(reason)
  }

  #settled(): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#timer?.cancel()
    this.#listener?.onSettled()
  }

  async #settle(): Promise<void> {
    const { record } = this.#found
    if (record === null || this.#isSettled || this.#isStopped || this.#refusal !== null) return
    const key = epochKeys(this.#layout.root).settled
    const at = new Date(this.#options.clock.wallMs()).toISOString()
    try {
      const { succeeded } = await this.store.transact({
        compare: [],
        writes: [{ put: key, value: encodeSettled(record.id, at) }],
      })
      if (succeeded) this.#settled()
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      if (!this.#isStopped) this.#timer = this.#options.clock.after(RETRY_MS, () => void this.#settle())
    }
  }

  /** Counted from when this process saw the epoch: after a restart anew, so later and never earlier. */
  #remainingMs(): number | null {
    if (this.#quietMs === null) return null
    const untilMs = this.#seenAtMs + this.#options.leaseMs + GONE_MARGIN_MS + this.#quietMs
    return Math.max(0, untilMs - this.#options.clock.monotonicMs())
  }

  #learnQuietTimes({ items }: Snapshot): void {
    for (const { key, value } of items) {
      if (this.#layout.meaning(key).kind !== 'gateway') continue
      const quietMs = gatewayRecords.decode(value)?.quietMs ?? null
      if (quietMs !== null && this.#quietMs !== null) this.#quietMs = Math.max(this.#quietMs, quietMs)
    }
  }
}
