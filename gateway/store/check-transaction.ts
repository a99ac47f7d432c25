// What both stores ask of a transaction before they take it, so that a programmer's fault shows on either alike.

import { invariant } from '../core/invariant.ts'
import { TRANSACTIONS_TOGETHER, type Transaction, TransactionTooLarge, type Write } from '../spi/store.ts'

/** etcd's default `--max-txn-ops`. It counts comparisons and writes apart. */
export const TRANSACTION_OPERATIONS_MAX = 128

/** Below etcd's default `--max-request-bytes` of 1.5 MiB, with room for the framing. */
export const TRANSACTION_BYTES_MAX = 1_048_576

export function writtenKey(write: Write): string {
  return 'put' in write ? write.put : write.delete
}

/**
 * Throws `InvariantViolation` where no store would carry the transaction out as it is meant, and `TransactionTooLarge` for what
 * a user has put in.
 */
export function checkTransaction(transaction: Transaction): void {
  const size = new Size()
  checkAlone(transaction, size, TRANSACTION_OPERATIONS_MAX)
  size.check()
}

/** Of those that go together; throws as `checkTransaction`. */
export function checkTransactions(transactions: readonly Transaction[]): void {
  const { transactionsMax, operationsMax } = TRANSACTIONS_TOGETHER
  invariant(
    transactions.length > 0 && transactions.length <= transactionsMax,
    `1 to ${transactionsMax} transactions go together, not ${transactions.length}`,
  )
  const size = new Size()
  const writers = new Map<string, Transaction>()
  for (const transaction of transactions) {
    checkAlone(transaction, size, operationsMax)
    invariant(transaction.writes.length > 0, 'a transaction among others writes something')
    for (const write of transaction.writes) {
      const key = writtenKey(write)
      invariant(!writers.has(key), `two transactions that go together write ${JSON.stringify(key)}`)
      invariant(
        !('lease' in write),
        `a transaction among others writes ${JSON.stringify(key)} under no lease`,
      )
      writers.set(key, transaction)
    }
  }
  for (const transaction of transactions)
    for (const { key } of transaction.compare)
      invariant(
        (writers.get(key) ?? transaction) === transaction,
        `of transactions that go together one writes ${JSON.stringify(key)}, and another compares it`,
      )
  size.check()
}

function checkAlone({ compare, writes }: Transaction, size: Size, operationsMax: number): void {
  invariant(
    compare.length <= operationsMax,
    `a transaction has at most ${operationsMax} comparisons, not ${compare.length}`,
  )
  invariant(
    writes.length <= operationsMax,
    `a transaction has at most ${operationsMax} writes, not ${writes.length}`,
  )
  for (const comparison of compare) {
    size.bytes += checkedBytes(comparison.key)
    const revision = 'createRevision' in comparison ? comparison.createRevision : comparison.modRevision
    invariant(Number.isSafeInteger(revision) && revision >= 0, `not a revision: ${revision}`)
  }
  const written = new Set<string>()
  for (const write of writes) {
    const key = writtenKey(write)
    size.bytes += checkedBytes(key)
    invariant(!written.has(key), `a transaction writes a key once, and ${JSON.stringify(key)} twice`)
    written.add(key)
    if ('put' in write) {
      invariant(write.value.isWellFormed(), `the value of ${JSON.stringify(key)} is no well-formed Unicode`)
      const valueBytes = Buffer.byteLength(write.value)
      if (valueBytes > size.largest.bytes) size.largest = { key, bytes: valueBytes }
      size.bytes += valueBytes
    }
  }
}

/** Of all that goes to the store in one request. */
class Size {
  bytes = 0
  largest = { key: '', bytes: 0 }

  check(): void {
    const { bytes, largest } = this
    if (bytes > TRANSACTION_BYTES_MAX)
      throw new TransactionTooLarge(
        `a transaction has at most ${TRANSACTION_BYTES_MAX} bytes, not ${bytes}; its largest value is that of ${largest.key}, with ${largest.bytes}`,
      )
  }
}

/** Throws `InvariantViolation` where `ttlMs` is no time to live. */
export function checkTtl(ttlMs: number): void {
  invariant(Number.isFinite(ttlMs) && ttlMs > 0 && ttlMs <= 1e12, `not a time to live: ${ttlMs} ms`)
}

function checkedBytes(key: string): number {
  invariant(key.length > 0, 'a key must not be empty')
  invariant(key.isWellFormed(), `a key must be well-formed Unicode: ${JSON.stringify(key)}`)
  return Buffer.byteLength(key)
}
