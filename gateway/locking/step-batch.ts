// Steps of several locks go to the store together, those of one tick and those that come while others are under way: each is a
// transaction of its own, and all of them are one request. What a request costs is a multiple of what a step costs.

import type { Clock, Timer } from '../spi/clock.ts'
import {
  type Store,
  TRANSACTIONS_TOGETHER,
  type Transaction,
  type TransactionResult,
  type Write,
} from '../spi/store.ts'

/** How long steps are collected while a request is under way; nobody waits for longer, however far away the store is. */
const COLLECT_MS = 5
const REQUESTS_AT_ONCE_MAX = 16
/** With room for what is compared with every step. */
const OPERATIONS_MAX = TRANSACTIONS_TOGETHER.operationsMax - 4
const BYTES_MAX = 600_000

interface Waiting {
  readonly transaction: Transaction
  readonly resolve: (result: TransactionResult) => void
  readonly reject: (error: unknown) => void
}

export interface StepBatchOptions {
  readonly store: Pick<Store, 'transact' | 'transactEach'>
  readonly clock: Clock
}

export class StepBatch {
  readonly #store: StepBatchOptions['store']
  readonly #clock: Clock
  #waiting: Waiting[] = []
  #underWay = 0
  #lookDue = false
  #timer: Timer | null = null

  constructor({ store, clock }: StepBatchOptions) {
    this.#store = store
    this.#clock = clock
  }

  /**
   * As `Store.transact`, of keys of one lock or session and under no lease. It must create no waiter key: two with one token
   * could not be told apart.
   */
  transact(transaction: Transaction): Promise<TransactionResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ transaction, resolve, reject })
      if (this.#lookDue) return
      this.#lookDue = true
      queueMicrotask(() => {
        this.#lookDue = false
        this.#look()
      })
    })
  }

  #look(): void {
    if (this.#waiting.length === 0) return
    if (this.#underWay === 0 || this.#waiting.length >= TRANSACTIONS_TOGETHER.transactionsMax) this.#send()
    else
      this.#timer ??= this.#clock.after(COLLECT_MS, () => {
        this.#timer = null
        this.#send()
      })
  }

  #send(): void {
    this.#timer?.cancel()
    this.#timer = null
    while (this.#waiting.length > 0 && this.#underWay < REQUESTS_AT_ONCE_MAX) {
      const group = new Group()
      this.#waiting = this.#waiting.filter((each) => !group.take(each))
      this.#underWay++
      void this.#carryOut(group.members).finally(() => {
        this.#underWay--
        this.#look()
      })
    }
  }

  async #carryOut(members: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#ask(members.map(({ transaction }) => transaction))
      for (const [i, result] of results.entries()) members[i]?.resolve(result)
    } catch (error) {
      for (const { reject } of members) reject(error)
    }
  }

  async #ask(transactions: readonly Transaction[]): Promise<readonly TransactionResult[]> {
    const [first, ...others] = transactions
    // One that is alone may be larger than one among others.
    if (first !== undefined && others.length === 0) return [await this.#store.transact(first)]
    return await this.#store.transactEach(transactions)
  }
}

class Group {
  readonly members: Waiting[] = []
  readonly #written = new Set<string>()
  readonly #compared = new Set<string>()
  #bytes = 0
  #isFull = false

  /** False where it has to wait for another request. */
  take(each: Waiting): boolean {
    const { compare, writes } = each.transaction
    const isFirst = this.members.length === 0
    if (!isFirst && (this.#isFull || this.members.length === TRANSACTIONS_TOGETHER.transactionsMax))
      return false
    const bytes = bytesOf(each.transaction)
    const isLarge = bytes > BYTES_MAX || Math.max(compare.length, writes.length) > OPERATIONS_MAX
    if (!isFirst && (isLarge || this.#bytes + bytes > BYTES_MAX || this.#meets(each.transaction)))
      return false
    this.members.push(each)
    this.#bytes += bytes
    this.#isFull = isLarge
    for (const { key } of compare) this.#compared.add(key)
    for (const write of writes) this.#written.add(keyOf(write))
    return true
  }

  #meets({ compare, writes }: Transaction): boolean {
    return (
      compare.some(({ key }) => this.#written.has(key)) ||
      writes.some((write) => this.#written.has(keyOf(write)) || this.#compared.has(keyOf(write)))
    )
  }
}

function keyOf(write: Write): string {
  return 'put' in write ? write.put : write.delete
}

/** At most: a character has three bytes or less. */
function bytesOf({ compare, writes }: Transaction): number {
  let bytes = 0
  for (const { key } of compare) bytes += 3 * key.length
  for (const write of writes) bytes += 3 * (keyOf(write).length + ('put' in write ? write.value.length : 0))
  return bytes
}
