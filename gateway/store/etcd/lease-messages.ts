// Between bytes and words: etcd's messages about leases, its own state, and logging in.

import { asLeaseId, type LeaseId } from '../../core/names.ts'
import { ProtobufReader, ProtobufWriter } from './protobuf.ts'

export const EMPTY = Buffer.alloc(0)

export function leaseGrantRequest(ttlSeconds: number): Buffer {
  return new ProtobufWriter().number(1, ttlSeconds).finish()
}

/** For `LeaseKeepAlive` and `LeaseRevoke`, which both take nothing else. */
export function leaseRequest(lease: LeaseId): Buffer {
  return new ProtobufWriter().hexadecimal(1, lease).finish()
}

export interface LeaseAnswer {
  /** Null where there is none. */
  readonly lease: LeaseId | null
  /** 0 or less where it is over. */
  readonly ttlMs: number
}

/** Of `LeaseGrant` and `LeaseKeepAlive`, whose fields are the same. */
export function leaseAnswer(bytes: Buffer): LeaseAnswer {
  const reader = new ProtobufReader(bytes)
  let lease: LeaseId | null = null
  let ttlMs = 0
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === 2) {
      reader.number()
      const { high, low } = reader
      lease = asLeaseId(((BigInt(high) << 32n) | BigInt(low)).toString(16))
    } else if (field === 3) {
      const seconds = reader.number()
      // A number below 0 has its highest bit set.
      ttlMs = reader.high >= 2 ** 31 ? 0 : seconds * 1000
    } else reader.passOver()
  }
  return { lease, ttlMs }
}

/** The member's version; '' where it says none. */
export function statusVersion(bytes: Buffer): string {
  return textField(bytes, 2)
}

export function logInRequest({ username, password }: { username: string; password: string }): Buffer {
  return new ProtobufWriter().text(1, username).text(2, password).finish()
}

export function logInToken(bytes: Buffer): string {
  return textField(bytes, 2)
}

function textField(bytes: Buffer, wanted: number): string {
  const reader = new ProtobufReader(bytes)
  for (let field = reader.field(); field !== 0; field = reader.field()) {
    if (field === wanted) return reader.text()
    reader.passOver()
  }
  return ''
}
