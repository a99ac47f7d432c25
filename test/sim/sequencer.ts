// A sequencer in miniature, one in each gateway: claims fences that are due, and after a while closes them, with proofs or
// without, or gives up. It goes through the journal as the real one does.

import type { FenceProof, FenceRecord } from '../../gateway/core/fence-record.ts'
import type { FenceJournal, JournaledFence } from '../../gateway/spi/fence-journal.ts'
import type { FencePlanner } from '../../gateway/spi/fence-planner.ts'
import { StoreUnavailable } from '../../gateway/spi/store.ts'
import type { Profile } from './profile.ts'
import type { Random } from './random.ts'
import type { SimulatedProcess } from './scheduler.ts'

const LOOK_MS = 400
const PROOF_WAIT_MS = 8_000

export function simulatedPlanner(defaultPlan: string | null): FencePlanner {
  return {
    defaultPlan,
    levels: (plan) => (plan === 'kill' ? [['kill']] : null),
    checkFenceInfo: (_plan, fenceInfo) =>
      typeof fenceInfo['pid'] === 'number'
        ? { kind: 'complete', fenceInfo, targets: [`process:${fenceInfo['pid']}`] }
        : { kind: 'faulty', faults: ['pid: expected a number'] },
  }
}

export class SimulatedSequencer {
  readonly #journal: FenceJournal
  readonly #process: SimulatedProcess
  readonly #random: Random
  readonly #profile: Profile
  readonly #flush: (session: string) => void
  readonly #calm: () => boolean
  readonly #inHand = new Set<string>()

  constructor(options: {
    readonly journal: FenceJournal
    readonly process: SimulatedProcess
    readonly random: Random
    readonly profile: Profile
    readonly flush: (session: string) => void
    readonly calm: () => boolean
  }) {
    this.#journal = options.journal
    this.#process = options.process
    this.#random = options.random
    this.#profile = options.profile
    this.#flush = options.flush
    this.#calm = options.calm
    this.#look()
  }

  #look(): void {
    for (const fence of this.#journal.list())
      if (!this.#inHand.has(fence.record.id) && this.#isOurs(fence.record)) void this.#take(fence)
    this.#process.clock.after(LOOK_MS, () => this.#look())
  }

  #isOurs({ progress }: FenceRecord): boolean {
    if (progress.state === 'due') return true
    if (progress.state !== 'running') return false
    const { incarnation } = progress.claim
    return incarnation === this.#journal.incarnation || !this.#journal.isLive(incarnation)
  }

  async #take(fence: JournaledFence): Promise<void> {
    const { id } = fence.record
    this.#inHand.add(id)
    try {
      await this.#run(fence)
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
    } finally {
      this.#inHand.delete(id)
    }
  }

  async #run({ record, modRevision }: JournaledFence): Promise<void> {
    const journal = this.#journal
    const claim = { incarnation: journal.incarnation, lease: journal.lease }
    const claimed = await journal.replace(
      { ...record, progress: { state: 'running', level: 0, claim } },
      modRevision,
    )
    if (claimed === null) return
    await this.#sleep(this.#random.between(50, this.#calm() ? 500 : 4_000))
    if (!journal.mayStrike()) return
    if (!this.#calm() && this.#random.chance(this.#profile.blockedProbability)) {
      await journal.replace(
        { ...claimed.record, progress: { state: 'blocked', reason: 'nothing helped' } },
        claimed.modRevision,
      )
      return
    }
    const proofs: FenceProof[] = []
    if (this.#random.chance(this.#profile.proofProbability)) {
      const patience = new AbortController()
      const timer = this.#process.clock.after(PROOF_WAIT_MS, () =>
        patience.abort(new StoreUnavailable('no seal')),
      )
      const sealedThrough = await journal.sealedEverywhere(record.id, patience.signal)
      timer.cancel()
      // A sweep leaves alone what is still on its way: only a flush stands for unknown calls.
      const flushes = this.#random.chance(0.6)
      if (flushes) this.#flush(record.id)
      const observedAt = new Date(this.#process.clock.wallMs()).toISOString()
      proofs.push({
        fencer: 'kill',
        proves: flushes ? ['flushed'] : ['no-new-calls', 'swept'],
        sealedThrough,
        observedAt,
        observed: 'all gone',
        request: 'GET',
      })
    }
    await this.#sleep(this.#random.between(1, 500))
    const closedAt = new Date(this.#process.clock.wallMs()).toISOString()
    await journal.replace(
      {
        ...claimed.record,
        proofs,
        progress: { state: 'closed', outcome: 'fenced', closedAt, by: null, reason: null },
      },
      claimed.modRevision,
    )
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#process.clock.after(delayMs, resolve))
  }
}
