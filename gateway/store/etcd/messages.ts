// Between etcd's messages and the store's words. 64-bit integers come as decimal strings; nothing here rounds one.

import {
  CompareResult,
  CompareTarget,
  type ICompare,
  type IEvent,
  type IKeyValue,
  type IRequestOp,
  type IResponseHeader,
} from 'etcd3'
import { invariant } from '../../core/invariant.ts'
import { asLeaseId, type LeaseId, type Revision } from '../../core/names.ts'
import type { Comparison, KeyValue, StoreEvent, Transaction, Write } from '../../spi/store.ts'
import type { KeyRange } from '../key-range.ts'

/** etcd's word for "the first key" and for "no end". */
const ZERO_KEY = Buffer.from([0])

export interface EtcdRange {
  readonly key: Buffer
  readonly range_end: Buffer
}

export function etcdRange({ start, end }: KeyRange): EtcdRange {
  return { key: start.length === 0 ? ZERO_KEY : start, range_end: end ?? ZERO_KEY }
}

/** The range that is left after `key`. */
export function rangeAfter(key: Buffer, range: EtcdRange): EtcdRange {
  return { key: Buffer.concat([key, ZERO_KEY]), range_end: range.range_end }
}

export function revisionOf(decimal: string): Revision {
  const revision = Number(decimal)
  invariant(Number.isSafeInteger(revision) && revision >= 0, `etcd's revision ${decimal} is past 2^53`)
  return revision as Revision
}

export function headerRevision({ header }: { readonly header: IResponseHeader }): Revision {
  return revisionOf(header.revision)
}

/** A session's keys name its lease again and again: what was made of the latest ones is kept. */
const leaseIds = new Map<string, LeaseId | null>()
const LEASE_IDS_MAX = 4_096

export function leaseIdOf(decimal: string): LeaseId | null {
  const known = leaseIds.get(decimal)
  if (known !== undefined) return known
  const id = asLeaseId(BigInt.asUintN(64, BigInt(decimal)).toString(16))
  if (leaseIds.size >= LEASE_IDS_MAX) leaseIds.clear()
  leaseIds.set(decimal, id)
  return id
}

export function leaseDecimal(lease: LeaseId): string {
  return BigInt.asIntN(64, BigInt(`0x${lease}`)).toString()
}

export function ttlMsOf(decimalSeconds: string): number {
  return Number(decimalSeconds) * 1000
}

/** A key or value that another client wrote and that is not UTF-8 is read with U+FFFD in the places that are not. */
export function keyValueOf(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString('utf8'),
    value: kv.value.toString('utf8'),
    createRevision: revisionOf(kv.create_revision),
    modRevision: revisionOf(kv.mod_revision),
    lease: leaseIdOf(kv.lease),
  }
}

export function eventOf({ type, kv }: IEvent): StoreEvent {
  return type === 'Put'
    ? { type: 'put', kv: keyValueOf(kv) }
    : { type: 'delete', key: kv.key.toString('utf8') }
}

function comparisonMessage(comparison: Comparison): ICompare {
  const key = Buffer.from(comparison.key)
  const result = CompareResult.Equal
  // The revision of a key that is not there is 0 for etcd too.
  return 'createRevision' in comparison
    ? { key, result, target: CompareTarget.Create, create_revision: comparison.createRevision }
    : { key, result, target: CompareTarget.Mod, mod_revision: comparison.modRevision }
}

function writeMessage(write: Write): IRequestOp {
  if ('delete' in write) return { request_delete_range: { key: Buffer.from(write.delete) } }
  return {
    request_put: {
      key: Buffer.from(write.put),
      value: Buffer.from(write.value),
      lease: write.lease === undefined ? 0 : leaseDecimal(write.lease),
    },
  }
}

export function transactionMessage({ compare, writes }: Transaction): {
  readonly compare: ICompare[]
  readonly success: IRequestOp[]
} {
  return { compare: compare.map(comparisonMessage), success: writes.map(writeMessage) }
}
