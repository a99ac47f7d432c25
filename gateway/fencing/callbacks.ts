// Takes what a fencer's service says by itself, at whichever gateway it arrives, and writes it down for the one that runs the
// fence. Whether it is that service at all the driver alone can tell. It must never believe a word without that.

import { GatewayError } from '../core/errors.ts'
import { callbackStep } from '../core/fence-callback.ts'
import type { FenceCallback } from '../core/fence-record.ts'
import type { Clock } from '../spi/clock.ts'
import type { EventSink } from '../spi/events.ts'
import type { FenceJournal } from '../spi/fence-journal.ts'
import type { CallbackDelivery } from '../spi/fencer.ts'
import { wallTime } from './attempt.ts'
import type { Fencing } from './plans.ts'

export interface CallbacksOptions {
  readonly journal: FenceJournal
  readonly fencing: Fencing
  readonly clock: Clock
  readonly events: EventSink
}

/** `known`: it had been said before, or nobody needs it any more. */
export type CallbackTaken = 'taken' | 'known'

export interface Callbacks {
  /** Rejects with `GatewayError`: `unauthorized` where it is not the word of that fencer's service, whatever else is wrong. */
  take(delivery: Omit<CallbackDelivery, 'wallMs'>): Promise<CallbackTaken>
}

const SWAPS_MAX = 16
const EVIDENCE_LENGTH_MAX = 500

export function createCallbacks({ journal, fencing, clock, events }: CallbacksOptions): Callbacks {
  return {
    async take(delivery) {
      const { fencer: name, fenceId } = delivery
      const configured = fencing.fencer(name)
      const word = configured?.fencer.callback?.({ ...delivery, wallMs: clock.wallMs() }) ?? null
      // One answer for all: whoever has no key learns neither fencers nor fences here.
      if (configured === null || word === null)
        throw new GatewayError(
          'unauthorized',
          'this is not signed by the service of that fencer, for an order about that fence, within the last minutes',
        )
      for (let swaps = 0; swaps < SWAPS_MAX; swaps++) {
        const fence = journal.get(fenceId)
        if (fence === null)
          throw new GatewayError('fence-unknown', `there is no fence ${JSON.stringify(fenceId)} here (yet)`)
        const hide = fencing.secrets.redactor(fence.record.fenceInfo)
        const evidence = configured.redact(hide(word.evidence)).slice(0, EVIDENCE_LENGTH_MAX)
        const { attempt, state } = word
        const callback: FenceCallback = { fencer: name, attempt, state, at: wallTime(clock), evidence }
        const step = callbackStep(fence.record, callback)
        const about = { fence: fenceId, session: fenceId, fencer: name, verdict: state }
        const detail = `attempt ${attempt}: ${evidence}`
        if (step.step === 'known') return 'known'
        if (step.step === 'too-late') {
          events({ type: 'callback.contradicted', ...about, detail })
          throw new GatewayError(
            'fence-state',
            `fence ${fenceId} cannot take this back: ${step.reason}; see whether the holder is dead`,
          )
        }
        if ((await journal.replace(step.record, fence.modRevision)) === null) continue
        if (!step.contradicts) {
          events({ type: 'callback.taken', ...about, detail })
          return 'taken'
        }
        events({ type: 'callback.contradicted', ...about, detail })
        throw new GatewayError(
          'fence-state',
          `about attempt ${attempt} the opposite was said before: neither counts, and the fence goes on without it`,
        )
      }
      throw new GatewayError(
        'store-unavailable',
        `fence ${fenceId} is being changed by others all the time; send it again`,
      )
    },
  }
}
