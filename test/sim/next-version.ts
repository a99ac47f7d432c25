// A gateway of the next version, as the others meet it in the store: its records say so, hold more than these know, and can be
// read by both. It reads what they write.

import type { Store, Transaction, Write } from '../../gateway/spi/store.ts'
import type { Marks } from './marks.ts'
import { PREFIX } from './profile.ts'
import type { Committed } from './store.ts'

const RECORDS = ['lock-records', 'fences', 'sessions', 'gateways', 'watermarks'].map(
  (kind) => `${PREFIX}/${kind}/`,
)
const ADDED = { colour: 'blue' }

export function nextVersionStore(store: Store): Store {
  return {
    kind: store.kind,
    shared: store.shared,
    read: (prefixes) => store.read(prefixes),
    transact: (transaction) => store.transact(inFormat2(transaction)),
    transactEach: (transactions) => store.transactEach(transactions.map(inFormat2)),
    watch: (prefixes, after, listener) => store.watch(prefixes, after, listener),
    grantLease: (ttlMs) => store.grantLease(ttlMs),
    keepAlive: (lease) => store.keepAlive(lease),
    revokeLease: (lease) => store.revokeLease(lease),
    currentRevision: () => store.currentRevision(),
    close: () => store.close(),
  }
}

function inFormat2({ compare, writes }: Transaction): Transaction {
  return { compare, writes: writes.map(written) }
}

function written(write: Write): Write {
  if (!('put' in write) || !RECORDS.some((prefix) => write.put.startsWith(prefix))) return write
  const record: unknown = JSON.parse(write.value)
  if (typeof record !== 'object' || record === null) return write
  const grants =
    'grants' in record && Array.isArray(record.grants)
      ? { grants: record.grants.map((grant: unknown) => Object.assign({}, grant, { next: ADDED })) }
      : {}
  const formats = 'formats' in record ? { formats: { reads: 2, writes: 2 } } : {}
  const next = { ...record, ...grants, ...formats, next: ADDED, version: 2, readableFrom: 1 }
  return { ...write, value: JSON.stringify(next) }
}

export function markVersions({ events, before }: Committed, marks: Marks): void {
  for (const event of events) {
    if (event.type !== 'put' || !RECORDS.some((prefix) => event.kv.key.startsWith(prefix))) continue
    if (event.kv.value.includes('"version":2')) marks.hit('record written by the next version')
    else if (before.get(event.kv.key)?.value.includes('"version":2') === true)
      marks.hit('record of the next version written anew by this one')
  }
}
