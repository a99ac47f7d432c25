// One call while it is being classified: each part is read at most once, and only when a rule asks for it.

import type { CallHead } from '../spi/policy.ts'
import { type FormReading, readForm } from './form-reader.ts'
import { isJsonArray, isJsonObject, type JsonReading, type JsonValue, readJson } from './json-reader.ts'
import { type BodyFormat, mediaFault } from './media.ts'
import type { PrefixedTarget } from './path-prefix.ts'
import { type RpcCall, type RpcReading, readRpc } from './rpc-reader.ts'
import type { SoapPath, SoapPaths } from './soap-paths.ts'
import { readSoap, type SoapReading } from './soap-reader.ts'
import { queryMembers } from './target.ts'
import type { XmlForm } from './xml-envelope.ts'

/**
 * The values at one place: none where it is absent; null for one that is there but is no plain text. A string says
 * why it cannot be read in exactly one way.
 */
export type Values = readonly (string | null)[] | string

export interface BodyTerms {
  /** What is wanted of the calls of either form. */
  readonly xmlPaths: Readonly<Record<XmlForm, SoapPaths>>
  readonly mediaTypes: ReadonlySet<string>
}

/** Formats of bodies that name a method. */
export type MethodFormat = 'soap' | 'zapi' | 'jsonrpc'

const NONE: Values = []

export class CallReading {
  readonly head: CallHead
  readonly target: PrefixedTarget
  /** Undefined while only the head is known. */
  readonly body: Buffer | null | undefined
  readonly #terms: BodyTerms
  #query: readonly (readonly [string, string])[] | null = null
  #json: JsonReading | null = null
  #xml: { readonly form: XmlForm; readonly reading: SoapReading } | null = null
  #form: FormReading | null = null
  #rpc: RpcReading | null = null
  /** Which call of a batch this is; 0 outside of one. */
  readonly #member: number

  constructor(
    head: CallHead,
    target: PrefixedTarget,
    body: Buffer | null | undefined,
    terms: BodyTerms,
    member = 0,
  ) {
    this.head = head
    this.target = target
    this.body = body
    this.#terms = terms
    this.#member = member
  }

  /** One call of this batch, as if it stood alone. */
  memberOf(rpc: RpcReading, member: number): CallReading {
    const alone = new CallReading(this.head, this.target, this.body, this.#terms, member)
    alone.#rpc = rpc.ok ? { ...rpc, isBatch: false } : rpc
    return alone
  }

  header(name: string): Values {
    const value = this.head.header(name)
    return value === undefined ? NONE : [value.trim()]
  }

  query(name: string): Values {
    if (this.target.query === null) return NONE
    this.#query ??= queryMembers(this.target.query)
    const values: string[] = []
    for (const [written, value] of this.#query)
      if (written === name) values.push(value)
      else if (isOtherCase(written, name)) return differsInCase(name, written)
    return values
  }

  json(): JsonReading {
    if (this.#json === null) {
      const fault = mediaFault(this.head, 'json', this.#terms.mediaTypes)
      this.#json = fault === null ? readJson(this.body ?? EMPTY) : { ok: false, reason: fault }
    }
    return this.#json
  }

  xml(form: XmlForm): SoapReading {
    if (this.#xml?.form !== form) {
      const fault = mediaFault(this.head, form, this.#terms.mediaTypes)
      const reading: SoapReading =
        fault === null
          ? readSoap(this.body ?? EMPTY, this.#terms.xmlPaths[form], form)
          : { ok: false, reason: fault }
      this.#xml = { form, reading }
    }
    return this.#xml.reading
  }

  rpc(): RpcReading {
    if (this.#rpc === null) {
      const fault = mediaFault(this.head, 'jsonrpc', this.#terms.mediaTypes)
      this.#rpc = fault === null ? readRpc(this.body ?? EMPTY) : { ok: false, reason: fault }
    }
    return this.#rpc
  }

  /** The JSON-RPC call, where a rule had the body read as one. */
  rpcIfRead(): RpcCall | null {
    return this.#rpc?.ok === true ? (this.#rpc.calls[this.#member] ?? null) : null
  }

  rpcCall(): RpcCall | string {
    const reading = this.rpc()
    if (!reading.ok) return reading.reason
    return reading.calls[this.#member] ?? 'there is no call'
  }

  /** The method that the body calls. */
  method(
    format: MethodFormat,
  ): { readonly ok: true; readonly value: string } | { readonly ok: false; readonly reason: string } {
    if (format !== 'jsonrpc') {
      const reading = this.xml(format)
      return reading.ok ? { ok: true, value: reading.method } : reading
    }
    const call = this.rpcCall()
    return typeof call === 'string' ? { ok: false, reason: call } : { ok: true, value: call.method }
  }

  form(name: string): Values {
    const reading = this.#formReading()
    if (!reading.ok) return reading.reason
    for (const written of reading.members.keys())
      if (isOtherCase(written, name)) return differsInCase(name, written)
    const values = reading.members.get(name)
    if (values === undefined) return NONE
    // Frameworks put query and form into one table; which of the two wins is theirs to decide.
    return this.query(name).length > 0 ? `${name} stands in the query and in the form` : values
  }

  #formReading(): FormReading {
    if (this.#form === null) {
      const fault = mediaFault(this.head, 'form', this.#terms.mediaTypes)
      this.#form = fault === null ? readForm(this.body ?? EMPTY) : { ok: false, reason: fault }
    }
    return this.#form
  }

  /** Why the body cannot be read as `format`, or null. */
  bodyFault(format: BodyFormat): string | null {
    const reading = this.#readAs(format)
    return reading.ok ? null : reading.reason
  }

  #readAs(format: BodyFormat): { readonly ok: true } | { readonly ok: false; readonly reason: string } {
    switch (format) {
      case 'json':
        return this.json()
      case 'soap':
      case 'zapi':
        return this.xml(format)
      case 'jsonrpc':
        return this.rpc()
      case 'form':
        return this.#formReading()
    }
  }

  /** The values at a JSON pointer, split; `*` stands for every item of an array. */
  pointer(steps: readonly string[]): Values {
    const reading = this.json()
    if (!reading.ok) return reading.reason
    return valuesAt(reading.value, steps)
  }

  /** Of an empty body that may be left out. */
  takeEmptyAsObject(): void {
    if ((this.body?.length ?? 0) === 0) this.#json = { ok: true, value: new Map() }
  }

  /** Of the one object at a JSON pointer; null where there is none, or several. A text as in `Values`. */
  keysAt(steps: readonly string[]): readonly string[] | null | string {
    const reading = this.json()
    if (!reading.ok) return reading.reason
    const nodes = nodesAt(reading.value, steps)
    if (typeof nodes === 'string') return nodes
    const [only] = nodes
    return nodes.length === 1 && only !== undefined && only !== null && isJsonObject(only)
      ? [...only.keys()]
      : null
  }

  /** As `pointer`, in the params of a JSON-RPC call. */
  rpcPointer(steps: readonly string[]): Values {
    const call = this.rpcCall()
    return typeof call === 'string' ? call : valuesAt(call.params, steps)
  }

  /** All of them, also where elements on the way stand more than once, as those of an array do. */
  xmlValues(form: XmlForm, path: SoapPath): Values {
    const reading = this.xml(form)
    return reading.ok ? (reading.values[path.value] ?? NONE) : reading.reason
  }

  xmlValue(form: XmlForm, path: SoapPath): Values {
    const reading = this.xml(form)
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
  const nodes = nodesAt(root, steps)
  return typeof nodes === 'string' ? nodes : nodes.filter((value) => value !== null).map(asText)
}

function nodesAt(root: JsonValue, steps: readonly string[]): readonly JsonValue[] | string {
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
        for (const key of value.keys()) if (isOtherCase(key, step)) return differsInCase(step, key)
        const member = value.get(step)
        if (member !== undefined) next.push(member)
      }
    }
    at = next
  }
  return at
}

/** What one reader takes for the known name, and another for a name of its own. */
export function isOtherCase(name: string, known: string): boolean {
  return name !== known && name.length === known.length && folded(name) === folded(known)
}

export function differsInCase(known: string, written: string): string {
  return `the keys ${JSON.stringify(known)} and ${JSON.stringify(written.slice(0, 64))} differ in case only`
}

/** As readers fold case that take a name in any: some take the long s, the Kelvin sign, and i without its dot or with two. */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase().replaceAll('\u0307', '')
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
