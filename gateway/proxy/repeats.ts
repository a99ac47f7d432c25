// Calls that their clients have named, for as long as they are under way: the same call sent again meanwhile is joined to
// its first copy, and shares its fate, instead of being sent to the backend a second time. Without a name nothing is
// joined: two equal calls may be meant.

import type { Refusal } from '../core/verdict.ts'
import { fieldValue } from './request-head.ts'

/** What a client may call one call by. Its promise: two calls of that name are one. */
export const CALL_ID_DEFAULT = 'idempotency-key'

const JOINERS_MAX = 16
/** Of one answer, and of all that are kept at a time. A larger one is given to the first copy's client alone. */
const ANSWER_BYTES_MAX = 256 * 1024
const COPIES_BYTES_MAX = 16 * 1024 * 1024

/** Who sends, and what the bytes of the body mean: in two copies of one call they are equal. */
const TELLING_FIELDS = [
  'authorization',
  'cookie',
  'x-auth-token',
  'x-service-token',
  'x-api-key',
  'vmware-api-session-id',
  'fencing-session',
  'content-type',
  'content-encoding',
]

export interface NamedCall {
  readonly id: string
  readonly method: string
  readonly target: string
  readonly token: string | null
  /** As received: names and values in turn. */
  readonly fields: readonly string[]
  readonly body: Buffer
}

export type FirstCopyOutcome =
  | {
      readonly kind: 'answered'
      readonly status: number
      readonly reason: string
      readonly fields: readonly string[]
      /** Null where it was too large to be kept. */
      readonly body: Buffer | null
    }
  /** Also where nobody knows what became of it. */
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  /** Its client left before a byte of it was sent: whoever sent it again begins anew. */
  | { readonly kind: 'unsent' }

export type Joiner = (outcome: FirstCopyOutcome) => void

export class FirstCopy {
  readonly call: NamedCall
  readonly #repeats: Repeats
  readonly #joiners = new Set<Joiner>()
  #head: { readonly status: number; readonly reason: string; readonly fields: readonly string[] } | null =
    null
  #body: Buffer[] | null = []
  #bytes = 0
  #sent = false
  #isOver = false

  constructor(repeats: Repeats, call: NamedCall) {
    this.#repeats = repeats
    this.call = call
  }

  /** False where too many have joined. */
  join(joiner: Joiner): boolean {
    if (this.#joiners.size >= JOINERS_MAX) return false
    this.#joiners.add(joiner)
    return true
  }

  leave(joiner: Joiner): void {
    this.#joiners.delete(joiner)
  }

  /** From now on a byte of it may have gone out. */
  sent(): void {
    this.#sent = true
  }

  head(status: number, reason: string, fields: readonly string[]): void {
    this.#head = { status, reason, fields: [...fields] }
  }

  piece(bytes: Buffer): void {
    if (this.#body === null) return
    this.#bytes += bytes.length
    if (this.#bytes <= ANSWER_BYTES_MAX && this.#repeats.keep(bytes.length)) {
      this.#body.push(Buffer.from(bytes))
      return
    }
    this.#repeats.drop(this.#bytes - bytes.length)
    this.#body = null
  }

  answered(): void {
    if (this.#head === null) return
    this.#over({
      kind: 'answered',
      ...this.#head,
      body: this.#body === null ? null : Buffer.concat(this.#body),
    })
  }

  refused(refusal: Refusal): void {
    this.#over({ kind: 'refused', refusal })
  }

  /** The call is over and nothing else was said of it. Only the first word counts. */
  left(): void {
    if (this.#sent) this.refused(LOST)
    else this.#over({ kind: 'unsent' })
  }

  #over(outcome: FirstCopyOutcome): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#body !== null) this.#repeats.drop(this.#bytes)
    this.#repeats.forget(this)
    const joiners = [...this.#joiners]
    this.#joiners.clear()
    for (const joiner of joiners) joiner(outcome)
  }
}

/** Must not be taken for "not sent", whatever went wrong here. */
const LOST: Refusal = {
  code: 'backend-down',
  detail: 'the answer to the first copy of this call was lost; the call may or may not have happened',
}

export class Repeats {
  readonly names: readonly string[]
  readonly #underWay = new Map<string, FirstCopy[]>()
  #keptBytes = 0

  constructor(names: readonly string[]) {
    this.names = names
  }

  get underWay(): number {
    return this.#underWay.size
  }

  /** The name that the client gave the call; null where it gave none. */
  idOf(header: (name: string) => string | undefined): string | null {
    for (const name of this.names) {
      const value = header(name)
      if (value !== undefined && value !== '') return `${name}: ${value}`
    }
    return null
  }

  /** The copy of this call that is under way, or null. */
  find(call: NamedCall): FirstCopy | null {
    for (const known of this.#underWay.get(keyOf(call)) ?? []) if (isSame(known.call, call)) return known
    return null
  }

  begin(call: NamedCall): FirstCopy {
    const first = new FirstCopy(this, call)
    const key = keyOf(call)
    const known = this.#underWay.get(key)
    if (known === undefined) this.#underWay.set(key, [first])
    else known.push(first)
    return first
  }

  forget(first: FirstCopy): void {
    const key = keyOf(first.call)
    const others = (this.#underWay.get(key) ?? []).filter((other) => other !== first)
    if (others.length === 0) this.#underWay.delete(key)
    else this.#underWay.set(key, others)
  }

  keep(bytes: number): boolean {
    if (this.#keptBytes + bytes > COPIES_BYTES_MAX) return false
    this.#keptBytes += bytes
    return true
  }

  drop(bytes: number): void {
    this.#keptBytes -= bytes
  }
}

function keyOf({ id, method, target, token }: NamedCall): string {
  return JSON.stringify([id, method, target, token])
}

function isSame(one: NamedCall, other: NamedCall): boolean {
  return (
    one.body.equals(other.body) &&
    TELLING_FIELDS.every((name) => fieldValue(one.fields, name) === fieldValue(other.fields, name))
  )
}
