import { beforeEach, describe, expect, it } from 'vitest'
import type { Revision } from '../../../gateway/core/names.ts'
import { StepBatch } from '../../../gateway/locking/step-batch.ts'
import { StoreUnavailable, type Transaction, type TransactionResult } from '../../../gateway/spi/store.ts'
import { checkTransaction, checkTransactions } from '../../../gateway/store/check-transaction.ts'
import { ManualClock } from '../../support/manual-clock.ts'

/** A store of which a test says whose comparison fails, and when a request is answered. */
class Asked {
  readonly requests: (readonly Transaction[])[] = []
  readonly stale = new Set<string>()
  /** Where not null, requests wait until they are let go. */
  held: (() => void)[] | null = null

  async transact(transaction: Transaction): Promise<TransactionResult> {
    checkTransaction(transaction)
    const [result] = await this.#answer([transaction])
    if (result === undefined) throw new Error('no result')
    return result
  }

  transactEach(transactions: readonly Transaction[]): Promise<readonly TransactionResult[]> {
    checkTransactions(transactions)
    return this.#answer(transactions)
  }

  get sizes(): readonly number[] {
    return this.requests.map((request) => request.length)
  }

  /** Answers what has been asked so far, and from now on at once. */
  letGo(): void {
    const held = this.held ?? []
    this.held = null
    for (const go of held) go()
  }

  async #answer(transactions: readonly Transaction[]): Promise<readonly TransactionResult[]> {
    this.requests.push(transactions)
    const revision = this.requests.length as Revision
    if (this.held !== null) await new Promise<void>((resolve) => this.held?.push(resolve))
    return transactions.map(({ compare }) => ({
      succeeded: compare.every(({ key }) => !this.stale.has(key)),
      revision,
    }))
  }
}

function step(key: string, value = ''): Transaction {
  return { compare: [{ key, modRevision: 1 }], writes: [{ put: key, value }] }
}

const keys = (count: number, prefix = 'k') => Array.from({ length: count }, (_, i) => `${prefix}${i}`)
/** Whatever goes out in this turn has gone out. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

let store: Asked
let clock: ManualClock
let batch: StepBatch
const all = (steps: readonly Transaction[]) => Promise.all(steps.map((each) => batch.transact(each)))

beforeEach(() => {
  store = new Asked()
  clock = new ManualClock()
  batch = new StepBatch({ store, clock })
})

describe('steps that are due in the same tick', () => {
  it('are one request', async () => {
    const results = await all(keys(50).map((key) => step(key)))
    expect(results.every(({ succeeded }) => succeeded)).toBe(true)
    expect(store.sizes).toEqual([50])
  })

  it('succeed and fail each for itself, and are asked for once', async () => {
    store.stale.add('k3').add('k7')
    const results = await all(keys(10).map((key) => step(key)))
    expect(results.flatMap(({ succeeded }, i) => (succeeded ? [] : [i]))).toEqual([3, 7])
    expect(store.sizes).toEqual([10])
  })

  it('are as many requests as they need where they are too many, too large, or about the same key', async () => {
    const wide = {
      compare: [],
      writes: keys(101, 'wide').map((key) => ({ put: key, value: '' })),
    }
    const steps = [
      ...keys(250).map((key) => step(key)),
      ...keys(9, 'large').map((key) => step(key, 'ä'.repeat(150_000))),
      step('written twice'),
      step('written twice'),
      step('written, and compared'),
      { compare: [{ key: 'written, and compared', modRevision: 1 }], writes: [{ delete: 'another' }] },
      { compare: [{ key: 'compared, and written', modRevision: 1 }], writes: [{ delete: 'a third' }] },
      step('compared, and written'),
      wide,
    ]
    // `checkTransactions` throws where the store would not take them.
    const results = await all(steps)
    expect(results.every(({ succeeded }) => succeeded)).toBe(true)
    expect(store.requests.flat()).toHaveLength(steps.length)
  })

  it('all fail where the store does not answer', async () => {
    const noAnswer = () => Promise.reject(new StoreUnavailable('no answer'))
    batch = new StepBatch({ store: { transact: noAnswer, transactEach: noAnswer }, clock })
    const results = await Promise.allSettled(keys(3).map((key) => batch.transact(step(key))))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  })
})

describe('steps that come while a request is under way', () => {
  it('go together as soon as it is answered', async () => {
    store.held = []
    const first = batch.transact(step('first'))
    await turn()
    const later: Promise<unknown>[] = []
    for (const key of keys(5)) {
      later.push(batch.transact(step(key)))
      await turn()
    }
    expect(store.sizes).toEqual([1])
    store.letGo()
    await Promise.all([first, ...later])
    expect(store.sizes).toEqual([1, 5])
  })

  it('wait for it no longer than a few milliseconds', async () => {
    store.held = []
    const first = batch.transact(step('first'))
    await turn()
    const others = all(keys(2).map((key) => step(key)))
    await clock.advance(5)
    expect(store.sizes).toEqual([1, 2])
    store.letGo()
    await Promise.all([first, others])
  })

  it('do not wait where there are as many as one request takes', async () => {
    store.held = []
    const first = batch.transact(step('first'))
    await turn()
    const others = all(keys(64).map((key) => step(key)))
    await turn()
    expect(store.sizes).toEqual([1, 64])
    store.letGo()
    await Promise.all([first, others])
  })

  it('wait where very many requests are, however long, and are then all asked for', async () => {
    store.held = []
    const steps = all(keys(64 * 20).map((key) => step(key)))
    await clock.advance(1_000)
    expect(store.sizes).toHaveLength(16)
    store.letGo()
    await steps
    expect(store.sizes).toHaveLength(20)
  })

  it('go on after one that was not answered', async () => {
    let isDown = true
    const inner = store
    const answer = <Answer>(ask: () => Promise<Answer>) =>
      isDown ? Promise.reject(new StoreUnavailable('no answer')) : ask()
    batch = new StepBatch({
      store: {
        transact: (transaction) => answer(() => inner.transact(transaction)),
        transactEach: (transactions) => answer(() => inner.transactEach(transactions)),
      },
      clock,
    })
    await expect(batch.transact(step('k'))).rejects.toThrow(StoreUnavailable)
    isDown = false
    expect(await batch.transact(step('k'))).toMatchObject({ succeeded: true })
  })
})

describe('a step alone', () => {
  it('is asked for once and at once, and its failure is its own', async () => {
    store.stale.add('k')
    expect(await batch.transact(step('k'))).toMatchObject({ succeeded: false })
    expect(store.sizes).toEqual([1])
  })

  it('may be larger than one among others', async () => {
    const writes = keys(128).map((key) => ({ put: key, value: '' }))
    expect(await batch.transact({ compare: [], writes })).toMatchObject({ succeeded: true })
  })
})
