// Steps of several locks that are due in the same tick go to the store in one transaction: a session that ends with very many locks
// would otherwise keep it, and everybody else, busy with as many. Each is a compare-and-swap of its own: where one fails the store
// has carried out none, and each is asked for alone.

import type { Comparison, Store, Transaction, TransactionResult, Write } from '../spi/store.ts'

/** Below what a transaction may have, with room for what is compared with every one. */
const OPERATIONS_MAX = 100
const BYTES_MAX = 600_000

interface Waiting {
  readonly transaction: Transaction
  readonly resolve: (result: TransactionResult | Promise<TransactionResult>) => void
  readonly reject: (error: unknown) => void
}

export class StepBatch {
  readonly #store: Pick<Store, 'transact'>
  #waiting: Waiting[] = []

  constructor(store: Pick<Store, 'transact'>) {
    this.#store = store
  }

  /** As `Store.transact`, of keys of one lock. It must create no waiter key: two with one token could not be told apart. */
  transact(transaction: Transaction): Promise<TransactionResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ transaction, resolve, reject })
      if (this.#waiting.length === 1) queueMicrotask(() => this.#send())
    })
  }

  #send(): void {
    const waiting = this.#waiting
    this.#waiting = []
    let batch = new Batch()
    for (const each of waiting) {
      if (!batch.takes(each)) {
        void this.#carryOut(batch)
        batch = new Batch()
      }
      batch.add(each)
    }
    void this.#carryOut(batch)
  }

  async #carryOut({ members, compare, writes }: Batch): Promise<void> {
    try {
      const result = await this.#store.transact({ compare, writes })
      for (const { transaction, resolve } of members)
        if (result.succeeded || members.length === 1) resolve(result)
        else resolve(this.#store.transact(transaction))
    } catch (error) {
      for (const { reject } of members) reject(error)
    }
  }
}

class Batch {
  readonly members: Waiting[] = []
  readonly compare: Comparison[] = []
  readonly writes: Write[] = []
  readonly #written = new Set<string>()
  #bytes = 0

  takes({ transaction }: Waiting): boolean {
    const { compare, writes } = transaction
    if (this.members.length === 0) return true
    return (
      this.compare.length + compare.length <= OPERATIONS_MAX &&
      this.writes.length + writes.length <= OPERATIONS_MAX &&
      this.#bytes + bytesOf(transaction) <= BYTES_MAX &&
      // A transaction writes a key once; what another writes must not be what this one compares.
      writes.every((write) => !this.#written.has(keyOf(write))) &&
      compare.every(({ key }) => !this.#written.has(key))
    )
  }

  add(each: Waiting): void {
    const { compare, writes } = each.transaction
    this.members.push(each)
    this.compare.push(...compare)
    this.writes.push(...writes)
    this.#bytes += bytesOf(each.transaction)
    for (const write of writes) this.#written.add(keyOf(write))
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
