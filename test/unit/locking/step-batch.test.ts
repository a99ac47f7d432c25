import { describe, expect, it } from 'vitest'
import type { Revision } from '../../../gateway/core/names.ts'
import { StepBatch } from '../../../gateway/locking/step-batch.ts'
import { StoreUnavailable, type Transaction, type TransactionResult } from '../../../gateway/spi/store.ts'
import { checkTransaction } from '../../../gateway/store/check-transaction.ts'

/** A store of which `stale` says whose comparison fails. */
function storeOf(stale: ReadonlySet<string>) {
  const asked: Transaction[] = []
  return {
    asked,
    async transact(transaction: Transaction): Promise<TransactionResult> {
      checkTransaction(transaction)
      asked.push(transaction)
      const succeeded = transaction.compare.every(({ key }) => !stale.has(key))
      return { succeeded, revision: asked.length as Revision }
    },
  }
}

function step(key: string, value = ''): Transaction {
  return { compare: [{ key, modRevision: 1 }], writes: [{ put: key, value }] }
}

const keys = (count: number) => Array.from({ length: count }, (_, i) => `k${i}`)

describe('steps that are due in the same tick', () => {
  it('are one transaction', async () => {
    const store = storeOf(new Set())
    const batch = new StepBatch(store)
    const results = await Promise.all(keys(50).map((key) => batch.transact(step(key))))
    expect(results.every(({ succeeded }) => succeeded)).toBe(true)
    expect(store.asked.map(({ writes }) => writes.length)).toEqual([50])
  })

  it('succeed and fail each for itself', async () => {
    const store = storeOf(new Set(['k3', 'k7']))
    const batch = new StepBatch(store)
    const results = await Promise.all(keys(10).map((key) => batch.transact(step(key))))
    expect(results.flatMap(({ succeeded }, i) => (succeeded ? [] : [i]))).toEqual([3, 7])
  })

  it('are as many transactions as they need where they are too many, too large, or about the same key', async () => {
    const store = storeOf(new Set())
    const batch = new StepBatch(store)
    const steps = [
      ...keys(250).map((key) => step(key)),
      ...keys(9).map((key) => step(`large/${key}`, 'ä'.repeat(150_000))),
      step('twice'),
      step('twice'),
    ]
    // `checkTransaction` throws where the store would not take one.
    const results = await Promise.all(steps.map((each) => batch.transact(each)))
    expect(results.every(({ succeeded }) => succeeded)).toBe(true)
    expect(store.asked.flatMap(({ writes }) => writes)).toHaveLength(steps.length)
  })

  it('all fail where the store does not answer', async () => {
    const batch = new StepBatch({ transact: () => Promise.reject(new StoreUnavailable('no answer')) })
    const results = await Promise.allSettled(keys(3).map((key) => batch.transact(step(key))))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  })
})

describe('a step alone', () => {
  it('is asked for once, and its failure is its own', async () => {
    const store = storeOf(new Set(['k']))
    expect(await new StepBatch(store).transact(step('k'))).toMatchObject({ succeeded: false })
    expect(store.asked).toHaveLength(1)
  })
})
