// What both stores ask of a transaction before they take it, so that a programmer's fault shows on either alike.

import { invariant } from '../core/invariant.ts'
import { type Transaction, TransactionTooLarge, type Write } from '../spi/store.ts'

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
export function checkTransaction({ compare, writes }: Transaction): void {
  invariant(
    compare.length <= TRANSACTION_OPERATIONS_MAX,
    `a transaction has at most ${TRANSACTION_OPERATIONS_MAX} comparisons, not ${compare.length}`,
  )
  invariant(
    writes.length <= TRANSACTION_OPERATIONS_MAX,
    `a transaction has at most ${TRANSACTION_OPERATIONS_MAX} writes, not ${writes.length}`,
  )
  let bytes = 0
  let largest = { key: '', bytes: 0 }
  for (const comparison of compare) {
    bytes += checkedBytes(comparison.key)
    const revision = 'createRevision' in comparison ? comparison.createRevision : comparison.modRevision
    invariant(Number.isSafeInteger(revision) && revision >= 0, `not a revision: ${revision}`)
  }
  const written = new Set<string>()
  for (const write of writes) {
    const key = writtenKey(write)
    bytes += checkedBytes(key)
    invariant(!written.has(key), `a transaction writes a key once, and ${JSON.stringify(key)} twice`)
    written.add(key)
    if ('put' in write) {
      invariant(write.value.isWellFormed(), `the value of ${JSON.stringify(key)} is no well-formed Unicode`)
      const valueBytes = Buffer.byteLength(write.value)
      if (valueBytes > largest.bytes) largest = { key, bytes: valueBytes }
      bytes += valueBytes
    }
  }
  if (bytes > TRANSACTION_BYTES_MAX)
    throw new TransactionTooLarge(
      `a transaction has at most ${TRANSACTION_BYTES_MAX} bytes, not ${bytes}; its largest value is that of ${largest.key}, with ${largest.bytes}`,
    )
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
