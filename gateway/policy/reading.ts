// One call while it is being classified: each part is read at most once, and only when a rule asks for it.

import type { CallHead } from '../spi/policy.ts'
import { isJsonArray, isJsonObject, type JsonReading, type JsonValue, readJson } from './json-reader.ts'
import { type BodyFormat, mediaFault } from './media.ts'
import type { SoapPath, SoapPaths } from './soap-paths.ts'
import { readSoap, type SoapReading } from './soap-reader.ts'
import { type CanonicalTarget, queryMembers } from './target.ts'

/**
 * The values at one place: none where it is absent; null for one that is there but is no plain text. A string says
 * why it cannot be read in exactly one way.
 */
export type Values = readonly (string | null)[] | string

export interface BodyTerms {
  readonly soapPaths: SoapPaths
  readonly mediaTypes: ReadonlySet<string>
}

const NONE: Values = []

export class CallReading {
  readonly head: CallHead
  readonly target: CanonicalTarget
  /** Undefined while only the head is known. */
  readonly body: Buffer | null | undefined
  readonly #terms: BodyTerms
  #query: readonly (readonly [string, string])[] | null = null
  #json: JsonReading | null = null
  #soap: SoapReading | null = null

  constructor(head: CallHead, target: CanonicalTarget, body: Buffer | null | undefined, terms: BodyTerms) {
    this.head = head
    this.target = target
    this.body = body
    this.#terms = terms
  }

  header(name: string): Values {
    const value = this.head.header(name)
    return value === undefined ? NONE : [value.trim()]
  }

  query(name: string): Values {
    if (this.target.query === null) return NONE
    this.#query ??= queryMembers(this.target.query)
    return this.#query.filter((member) => member[0] === name).map((member) => member[1])
  }

  json(): JsonReading {
    if (this.#json === null) {
      const fault = mediaFault(this.head, 'json', this.#terms.mediaTypes)
      this.#json = fault === null ? readJson(this.body ?? EMPTY) : { ok: false, reason: fault }
    }
    return this.#json
  }

  soap(): SoapReading {
    if (this.#soap === null) {
      const fault = mediaFault(this.head, 'soap', this.#terms.mediaTypes)
      this.#soap =
        fault === null ? readSoap(this.body ?? EMPTY, this.#terms.soapPaths) : { ok: false, reason: fault }
    }
    return this.#soap
  }

  /** Why the body cannot be read as `format`, or null. */
  bodyFault(format: BodyFormat): string | null {
    const reading = format === 'json' ? this.json() : this.soap()
    return reading.ok ? null : reading.reason
  }

  /** The values at a JSON pointer, split; `*` stands for every item of an array. */
  pointer(steps: readonly string[]): Values {
    const reading = this.json()
    if (!reading.ok) return reading.reason
    return valuesAt(reading.value, steps)
  }

  soapValue(path: SoapPath): Values {
    const reading = this.soap()
    if (!reading.ok) return reading.reason
    const values = reading.values[path.value]
    if (values === undefined) return NONE
    // Two `spec` elements, one of them without the value: a parser that takes the first sees another call than one
    // that takes the last.
    for (let i = 0; i < path.elements.length - 1; i++)
      if ((reading.counts[path.elements[i] ?? 0] ?? 0) > 1)
        return `an element of ${path.written} stands twice`
    return values
  }
}

const EMPTY = Buffer.alloc(0)

/** As `CallReading.pointer`, of any value. */
export function valuesAt(root: JsonValue, steps: readonly string[]): Values {
  let at: readonly JsonValue[] = [root]
  for (const step of steps) {
    const next: JsonValue[] = []
    for (const value of at) {
      if (isJsonArray(value)) {
        if (step === '*') next.push(...value)
        else if (/^(?:0|[1-9][0-9]{0,9})$/.test(step)) {
          const item = value[Number(step)]
          if (item !== undefined) next.push(item)
        }
      } else if (value !== null && isJsonObject(value)) {
        const folded = step.toLowerCase()
        for (const key of value.keys())
          if (key !== step && key.toLowerCase() === folded)
            return `the keys ${JSON.stringify(step)} and ${JSON.stringify(key.slice(0, 64))} differ in case only`
        const member = value.get(step)
        if (member !== undefined) next.push(member)
      }
    }
    at = next
  }
  return at.filter((value) => value !== null).map(asText)
}

function asText(value: JsonValue): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return String(value)
  if (value === null || isJsonArray(value) || isJsonObject(value)) return null
  return /^(?:0|-?[1-9][0-9]*)$/.test(value.digits) ? value.digits : null
}

/** A JSON pointer's steps, or null where it is none. */
export function pointerSteps(pointer: string): readonly string[] | null {
  if (pointer !== '' && !pointer.startsWith('/')) return null
  if (/~(?![01])/.test(pointer)) return null
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}
