// Under which name a mark on a call stands in the store: what is bound may be a cookie that opens a backend, so only its
// digest is kept.

import { hash } from 'node:crypto'
import type { CallerWay } from '../core/caller.ts'

/** The digests of what is asked for again and again. */
const REMEMBERED_MAX = 8_192

export function callerDigest(realm: string, by: CallerWay, value: string): string {
  return hash('sha256', `${realm}\0${by}\0${value}`, 'base64url')
}

export class CallerDigests {
  readonly #known = new Map<string, string>()

  of(realm: string, by: CallerWay, value: string): string {
    const key = `${realm}\0${by}\0${value}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const digest = callerDigest(realm, by, value)
    if (this.#known.size >= REMEMBERED_MAX) this.#known.clear()
    this.#known.set(key, digest)
    return digest
  }
}
