// Between etcd's messages and the store's words (https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto): of the
// key-value service and of watches, straight from and to bytes, as very many of them come and go. Nothing here rounds a number.

import { invariant } from '../../core/invariant.ts'
import { asLeaseId, type LeaseId, type Revision } from '../../core/names.ts'
import type { Comparison, KeyValue, StoreEvent, Transaction, Write } from '../../spi/store.ts'
import type { KeyRange } from '../key-range.ts'
import { MalformedMessage, ProtobufReader, ProtobufWriter } from './protobuf.ts'

/** etcd's word for "the first key" and for "no end". */
const ZERO_KEY = Buffer.from([0])
const NO_BYTES = Buffer.alloc(0)
const TARGET_CREATE = 1
const TARGET_MOD = 2
const EVENT_DELETE = 1

export interface EtcdRange {
  readonly key: Buffer
  readonly end: Buffer
}

export function etcdRange({ start, end }: KeyRange): EtcdRange {
  return { key: start.length === 0 ? ZERO_KEY : start, end: end ?? ZERO_KEY }
}

/** The range that is left after `key`. */
export function rangeAfter(key: Buffer, range: EtcdRange): EtcdRange {
  return { key: Buffer.concat([key, ZERO_KEY]), end: range.end }
}

export function rangeRequest(
  range: EtcdRange,
  { limit, revision }: { readonly limit: number; readonly revision: Revision | null },
): Buffer {
  const message = new ProtobufWriter().bytes(1, range.key).bytes(2, range.end).number(3, limit)
  return (revision === null ? message : message.number(4, revision)).finish()
}

/** A linearizable read of one key, without its value. */
export function probeRequest(key: Buffer): Buffer {
  return probe(key).finish()
}

function probe(key: Buffer): ProtobufWriter {
  return new ProtobufWriter().bytes(1, key).number(3, 1).number(8, 1)
}

export interface RangeAnswer {
  readonly revision: Revision
  /** In bytes, as it may be no UTF-8; null where there is none. */
  readonly lastKey: Buffer | null
  readonly more: boolean
  /** Unpacks them: what comes behind this answer can be asked for before. */
  items(): KeyValue[]
}

export function rangeAnswer(bytes: Buffer): RangeAnswer {
  const reader = new ProtobufReader(bytes)
  let revision = 0
  let more = false
  let last: ProtobufReader | null = null
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) revision = headerRevision(reader.message())
    else if (field === 2) last = reader.message()
    else if (field === 3) more = reader.flag()
    else reader.passOver()
  }
  // A copy: the rest of the answer is not to live as long.
  const lastKey = last === null ? null : Buffer.from(keyBytes(last))
  return { revision: revisionOfStore(revision), lastKey, more, items: () => itemsIn(bytes) }
}

function itemsIn(bytes: Buffer): KeyValue[] {
  const reader = new ProtobufReader(bytes)
  const items: KeyValue[] = []
  for (let field = reader.field(); field !== 0; field = reader.field())
    if (field === 2) items.push(keyValue(reader.message()))
    else reader.passOver()
  return items
}

/** `probed`: a key that is read where nothing is written, as etcd answers such a transaction from the member's own state. */
export function transactionRequest(transaction: Transaction, probed: Buffer): Buffer {
  const message = transactionMessage(transaction)
  if (transaction.writes.length === 0) message.message(2, new ProtobufWriter().message(1, probe(probed)))
  return message.finish()
}

/** A transaction of transactions. */
export function transactionsRequest(transactions: readonly Transaction[]): Buffer {
  const message = new ProtobufWriter()
  for (const each of transactions)
    message.message(2, new ProtobufWriter().message(4, transactionMessage(each)))
  return message.finish()
}

function transactionMessage({ compare, writes }: Transaction): ProtobufWriter {
  const message = new ProtobufWriter()
  for (const comparison of compare) message.message(1, comparisonMessage(comparison))
  for (const write of writes) message.message(2, writeMessage(write))
  return message
}

function comparisonMessage(comparison: Comparison): ProtobufWriter {
  const message = new ProtobufWriter()
  // `EQUAL` is 0, and so is the revision of a key that is not there.
  return 'createRevision' in comparison
    ? message.number(2, TARGET_CREATE).text(3, comparison.key).number(5, comparison.createRevision)
    : message.number(2, TARGET_MOD).text(3, comparison.key).number(6, comparison.modRevision)
}

function writeMessage(write: Write): ProtobufWriter {
  const message = new ProtobufWriter()
  if ('delete' in write) return message.message(3, new ProtobufWriter().text(1, write.delete))
  const put = new ProtobufWriter().text(1, write.put).text(2, write.value)
  return message.message(2, write.lease === undefined ? put : put.hexadecimal(3, write.lease))
}

export interface TransactionAnswer {
  readonly revision: Revision
  readonly succeeded: boolean
  /** Of the transactions in it, in order. */
  readonly each: readonly boolean[]
}

export function transactionAnswer(bytes: Buffer): TransactionAnswer {
  const { revision, ...rest } = readTransaction(new ProtobufReader(bytes))
  return { ...rest, revision: revisionOfStore(revision) }
}

function readTransaction(reader: ProtobufReader): Omit<TransactionAnswer, 'revision'> & { revision: number } {
  const each: boolean[] = []
  let revision = 0
  let succeeded = false
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) revision = headerRevision(reader.message())
    else if (field === 2) succeeded = reader.flag()
    else if (field === 3) {
      const answer = reader.message()
      for (let inner = answer.field(); inner !== 0; inner = answer.field())
        if (inner === 4) each.push(readTransaction(answer.message()).succeeded)
        else answer.passOver()
    } else reader.passOver()
  }
  return { revision, succeeded, each }
}

export function watchRequest({ key, end }: EtcdRange, startRevision: number): Buffer {
  const create = new ProtobufWriter().bytes(1, key).bytes(2, end).number(3, startRevision).number(4, 1)
  return new ProtobufWriter().message(1, create).finish()
}

export function progressRequest(): Buffer {
  return new ProtobufWriter().message(3, new ProtobufWriter()).finish()
}

export interface WatchEvent {
  readonly revision: Revision
  /** In bytes, as it may be no UTF-8. */
  readonly key: Buffer
  readonly event: StoreEvent
}

export interface WatchAnswer {
  readonly revision: Revision
  /** Of the stream, not of one watch on it: an answer to a progress request. */
  readonly isOfStream: boolean
  readonly created: boolean
  /** Why, where it is over; else null. */
  readonly cancelled: string | null
  /** Where the history begins that is left; 0 where nothing that was asked for is gone. */
  readonly compactedTo: number
  /** More of the same revision comes in the next answer. */
  readonly fragment: boolean
  readonly events: readonly WatchEvent[]
}

export function watchAnswer(bytes: Buffer): WatchAnswer {
  const reader = new ProtobufReader(bytes)
  const events: WatchEvent[] = []
  const answer = { isOfStream: false, created: false, compactedTo: 0, fragment: false }
  let revision = 0
  let isCancelled = false
  let reason = ''
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) revision = headerRevision(reader.message())
    else if (field === 2) {
      reader.number()
      // -1.
      answer.isOfStream = (reader.low & reader.high) >>> 0 === 0xffff_ffff
    } else if (field === 3) answer.created = reader.flag()
    else if (field === 4) isCancelled = reader.flag()
    else if (field === 5) answer.compactedTo = reader.number()
    else if (field === 6) reason = reader.text()
    else if (field === 7) answer.fragment = reader.flag()
    else if (field === 11) events.push(watchEvent(reader.message()))
    else reader.passOver()
  }
  return { ...answer, revision: asRevision(revision), cancelled: isCancelled ? reason : null, events }
}

function watchEvent(reader: ProtobufReader): WatchEvent {
  let type = 0
  let pair: Buffer = NO_BYTES
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) type = reader.number()
    else if (field === 2) pair = reader.bytes()
    else reader.passOver()
  }
  const kv = keyValue(new ProtobufReader(pair))
  return {
    revision: kv.modRevision,
    key: keyBytes(new ProtobufReader(pair)),
    event: type === EVENT_DELETE ? { type: 'delete', key: kv.key } : { type: 'put', kv },
  }
}

function keyValue(reader: ProtobufReader): KeyValue {
  let key = ''
  let value = ''
  let createRevision = 0
  let modRevision = 0
  let lease: LeaseId | null = null
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) key = reader.text()
    else if (field === 2) createRevision = reader.number()
    else if (field === 3) modRevision = reader.number()
    else if (field === 5) value = reader.text()
    else if (field === 6) {
      reader.number()
      lease = leaseOf(reader)
    } else reader.passOver()
  }
  return {
    key,
    value,
    createRevision: asRevision(createRevision),
    modRevision: asRevision(modRevision),
    lease,
  }
}

function keyBytes(reader: ProtobufReader): Buffer {
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 1) return reader.bytes()
    reader.passOver()
  }
  return NO_BYTES
}

function headerRevision(reader: ProtobufReader): number {
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 3) return reader.number()
    reader.passOver()
  }
  return 0
}

/** By their two halves: a session's keys name its lease again and again, and one copy of the latest is kept. */
const leaseIds = new Map<number, { readonly high: number; readonly id: LeaseId | null }>()
const LEASE_IDS_MAX = 4_096

function leaseOf({ low, high }: ProtobufReader): LeaseId | null {
  const known = leaseIds.get(low)
  if (known?.high === high) return known.id
  // No lease is 0, which is none of the digits of an id.
  const digits = high === 0 ? low.toString(16) : high.toString(16) + low.toString(16).padStart(8, '0')
  const id = asLeaseId(digits)
  if (leaseIds.size >= LEASE_IDS_MAX) leaseIds.clear()
  leaseIds.set(low, { high, id })
  return id
}

/** etcd begins at 1, so an answer without one is none of its: an empty message would read as an empty store, or a failed comparison. */
function revisionOfStore(value: number): Revision {
  if (value === 0) throw new MalformedMessage('it names no revision')
  return asRevision(value)
}

function asRevision(value: number): Revision {
  invariant(Number.isSafeInteger(value), `etcd's revision ${value} is past 2^53`)
  return value as Revision
}
