// What `fencegate epoch` and `fencegate epoch bump` do to a store, without a gateway. One transaction begins the epoch: a
// crash leaves it begun or not; all that follows from it is done by the gateways, who look again and again.

import { EPOCH_MAX, epochOf, REVISION_MAX } from '../core/epoch.ts'
import type { Clock } from '../spi/clock.ts'
import type { StoreMark } from '../spi/high-water-mark.ts'
import { type KeyValue, type Store, StoreUnavailable } from '../spi/store.ts'
import { type EpochLook, lookAt } from './epoch-keeper.ts'
import { encodeEpoch, epochKeys } from './epoch-record.ts'
import { Layout } from './layout.ts'
import { gatewayRecords } from './records.ts'

/** A gateway that is alive writes its watermark four times in a lease, of 60 s at most; after it one that is not is gone. */
const WATCH_MS_MAX = 90_000
const LOOK_MS = 500

/** Why no epoch was begun; the message says what to do. */
export class EpochRefused extends Error {
  override readonly name = 'EpochRefused'
}

export interface BumpOptions {
  readonly store: Store
  readonly prefix: string
  readonly mark: StoreMark
  readonly clock: Clock
  readonly newId: () => string
  readonly by: string
  readonly reason: string
  /** Larger than any epoch that some gateway's mark knows, where that is more than this one's. */
  readonly above: number
  /** Another one also where one was begun and nothing has been served in it. */
  readonly again: boolean
}

export type Bumped =
  | { readonly kind: 'begun'; readonly epoch: number }
  /** By an earlier run, whose answer may have been lost; nothing has been opened in it yet. */
  | { readonly kind: 'begun-before'; readonly epoch: number; readonly by: string | null; readonly at: string }

/** Rejects with `EpochRefused`, or `StoreUnavailable`: then it may have been begun, and running it again tells. */
export async function bumpEpoch(options: BumpOptions): Promise<Bumped> {
  const { store, prefix, mark, clock, newId, by, reason, above, again } = options
  const { found } = await lookAt(options)
  const { record, epochs } = found
  const known = Math.max(epochOf(mark.memory?.revision ?? 0), above)
  if (record !== null && !again && record.epoch > known && !found.isSettled)
    return { kind: 'begun-before', epoch: record.epoch, by: record.by, at: record.at }
  const epoch = Math.max(epochs.epoch, known) + 1
  if (epoch > EPOCH_MAX)
    throw new EpochRefused(
      `epoch ${epoch} does not fit into a token, which has room up to ${EPOCH_MAX}: go on under another prefix in a new store`,
    )
  if (found.revision >= REVISION_MAX)
    throw new EpochRefused(
      `revision ${found.revision} does not fit into a token, which has room up to ${REVISION_MAX}: go on under another prefix in a new store`,
    )
  const keys = epochKeys(new Layout(prefix).root)
  if (store.shared) await nobodyServes(options)
  const earlier =
    record === null
      ? [{ epoch: 0, id: 'none', by: null, reason: null, at: '', begins: 0 }]
      : [
          ...record.earlier,
          {
            epoch: record.epoch,
            id: record.id,
            by: record.by,
            reason: record.reason,
            at: record.at,
            begins: record.epoch === 0 ? 0 : found.modRevision,
          },
        ]
  const id = newId()
  const at = new Date(clock.wallMs()).toISOString()
  try {
    const { succeeded } = await store.transact({
      compare: [{ key: keys.record, modRevision: found.modRevision }],
      writes: [
        { put: keys.record, value: encodeEpoch({ epoch, id, by, reason, at, earlier }) },
        { delete: keys.settled },
      ],
    })
    if (succeeded) return { kind: 'begun', epoch }
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    // Written or not: only the store can say.
    const { found: now } = await lookAt(options)
    if (now.record?.id === id) return { kind: 'begun', epoch }
    throw error
  }
  throw new EpochRefused('somebody else has begun an epoch in this moment: look at it with `fencegate epoch`')
}

/** The gateways that others may hear of: who is alive writes, and whose lease is over is gone. */
async function nobodyServes({ store, prefix, clock }: BumpOptions): Promise<void> {
  const layout = new Layout(prefix)
  const watermarks = async (): Promise<readonly KeyValue[]> =>
    (await store.read(layout.watermark(''))).items.filter(({ lease }) => lease !== null)
  const first = await watermarks()
  const seen = new Map(first.map(({ key, modRevision }) => [key, modRevision]))
  const untilMs = clock.monotonicMs() + WATCH_MS_MAX
  for (let items = first; items.length > 0; items = await watermarks()) {
    const alive = items.find(({ key, modRevision }) => seen.get(key) !== modRevision)
    if (alive !== undefined || clock.monotonicMs() > untilMs) {
      const incarnation = (alive ?? items[0])?.key.slice(layout.watermark('').length) ?? ''
      const key = layout.gateway(incarnation)
      const known = (await store.read(key)).items.find((item) => item.key === key)
      const name = known === undefined ? null : gatewayRecords.decode(known.value)?.name
      throw new EpochRefused(
        `gateway ${name ?? 'unknown'} (${incarnation}) serves this store: stop every gateway, and then begin the epoch`,
      )
    }
    await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve))
  }
}

export interface EpochStatus {
  readonly epoch: number
  readonly id: string | null
  readonly begunBy: string | null
  readonly reason: string | null
  readonly begunAt: string | null
  /** Grants may be opened: what the store had forgotten at the bump is over. */
  readonly settled: boolean
  readonly revision: number
  readonly earlier: readonly { readonly epoch: number; readonly by: string | null; readonly begins: number }[]
  /** What this gateway remembers; null where that is nothing. */
  readonly remembered: { readonly epoch: number; readonly position: number } | null
  /** Why a gateway with this memory would not serve, or null. */
  readonly refusal: string | null
}

export async function epochStatus(
  options: Pick<BumpOptions, 'store' | 'prefix' | 'mark'>,
): Promise<EpochStatus> {
  return statusOf(await lookAt(options), options.mark)
}

function statusOf({ found, refusal }: EpochLook, { memory }: StoreMark): EpochStatus {
  const { record, epochs } = found
  return {
    epoch: epochs.epoch,
    id: record?.id ?? null,
    begunBy: record?.by ?? null,
    reason: record?.reason ?? null,
    begunAt: record?.at ?? null,
    settled: found.isSettled,
    revision: found.revision,
    earlier: (record?.earlier ?? []).map(({ epoch, by, begins }) => ({ epoch, by, begins })),
    remembered: memory === null ? null : { epoch: epochOf(memory.revision), position: memory.revision },
    refusal,
  }
}
