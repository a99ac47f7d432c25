// The rules of one path and one method. What tells them apart (SOAP method, the body's only key, a query member) is
// looked up in a table, so a group of a thousand rules costs what a group of one does.

import type { Condition, Place } from './facet.ts'
import { isJsonObject } from './json-reader.ts'
import type { BodyFormat } from './media.ts'
import type { CallReading, MethodFormat } from './reading.ts'
import type { RuleAtPath } from './rule.ts'
import { ZAPI_NAMESPACE } from './xml-envelope.ts'

/** What a rule is found by. */
export type Discriminator =
  | { readonly kind: 'method'; readonly format: MethodFormat; readonly values: readonly string[] }
  | { readonly kind: 'json-key'; readonly values: readonly string[] }
  | { readonly kind: 'match'; readonly place: Place; readonly values: readonly string[] }

export interface GroupMember {
  readonly at: RuleAtPath
  readonly discriminator: Discriminator | null
}

interface Table {
  readonly name: string
  readonly kind: Discriminator['kind']
  readonly place: Place | null
  /** Of a table of methods. */
  readonly format: MethodFormat | null
  readonly byValue: ReadonlyMap<string, readonly RuleAtPath[]>
  /** The methods in lower case: one that differs in case only is refused, as it may be the same to the backend. */
  readonly folded: Set<string>
}

export interface RuleGroup {
  /** What the body must be readable as before any rule here is tried. */
  readonly body: BodyFormat | null
  /** It may be left out: it reads as an object without keys then. */
  readonly isBodyOptional: boolean
  /** Namespaces of SOAP methods that the rules here know. */
  readonly soapNamespaces: ReadonlySet<string>
  /** A rule here tells calls apart by the body's only key: there must be exactly one. */
  readonly onlyKey: boolean
  readonly tables: readonly Table[]
  /** Rules that are found by nothing, in order. */
  readonly others: readonly RuleAtPath[]
  /** Every rule in order, for `explain`. */
  readonly all: readonly RuleAtPath[]
}

export function makeGroup(members: readonly GroupMember[]): RuleGroup {
  const ordered = members.toSorted((a, b) => a.at.rule.order - b.at.rule.order)
  const tables = new Map<string, { table: Table; byValue: Map<string, readonly RuleAtPath[]> }>()
  const others: RuleAtPath[] = []
  for (const { at, discriminator } of ordered) {
    if (discriminator === null) {
      others.push(at)
      continue
    }
    const place = discriminator.kind === 'match' ? discriminator.place : null
    const format = discriminator.kind === 'method' ? discriminator.format : null
    const name = place?.name ?? (format === null ? discriminator.kind : `${format} method`)
    let entry = tables.get(name)
    if (entry === undefined) {
      const byValue = new Map<string, readonly RuleAtPath[]>()
      entry = {
        table: { name, kind: discriminator.kind, place, format, byValue, folded: new Set() },
        byValue,
      }
      tables.set(name, entry)
    }
    for (const value of discriminator.values) {
      entry.byValue.set(value, [...(entry.byValue.get(value) ?? []), at])
      entry.table.folded.add(value.toLowerCase())
    }
  }
  // With one table the rules that are found by nothing are put among the others here, not at each call.
  const [only] = tables.size === 1 ? tables.values() : []
  if (only !== undefined)
    for (const [value, list] of only.byValue) only.byValue.set(value, inOrder([...list, ...others]))
  const rules = ordered.map((member) => member.at.rule)
  return {
    body: rules.find((rule) => rule.body !== null)?.body ?? null,
    isBodyOptional: rules.every((rule) => rule.body === null || rule.isBodyOptional),
    soapNamespaces: new Set(rules.flatMap((rule) => rule.soapNamespace ?? [])),
    onlyKey: tables.has('json-key'),
    tables: [...tables.values()].map((entry) => entry.table),
    others,
    all: ordered.map((member) => member.at),
  }
}

/** Why the call's body cannot be told apart by the rules here, or null. */
export function groupFault(group: RuleGroup, call: CallReading): string | null {
  if (group.body === null) return null
  if (group.isBodyOptional) call.takeEmptyAsObject()
  const fault = call.bodyFault(group.body)
  if (fault !== null) return fault
  if (group.body === 'soap') {
    const soap = call.xml('soap')
    if (soap.ok && !group.soapNamespaces.has(soap.namespace))
      return `the method ${soap.method} is in a namespace that this policy does not know`
  } else if (group.body === 'zapi') {
    const zapi = call.xml('zapi')
    if (zapi.ok && zapi.namespace !== ZAPI_NAMESPACE)
      return `the method ${zapi.method} is not in the namespace of its envelope`
  } else if (group.onlyKey) {
    const json = call.json()
    if (json.ok && (json.value === null || !isJsonObject(json.value) || json.value.size !== 1))
      return 'the body must be an object with exactly one key'
  }
  return null
}

/** The rules that may match, in order; a text refuses the call. */
export function candidates(group: RuleGroup, call: CallReading): readonly RuleAtPath[] | string {
  let found = group.others
  for (const table of group.tables) {
    const value = keyOf(table, call)
    if (value === null) continue
    if (typeof value === 'string') return value
    const list = table.byValue.get(value.value)
    if (list === undefined) continue
    // Mostly one table alone knows the call: then nothing has to be put in order.
    found = group.tables.length === 1 || found.length === 0 ? list : inOrder([...found, ...list])
  }
  return found
}

function inOrder(rules: readonly RuleAtPath[]): readonly RuleAtPath[] {
  return rules.toSorted((a, b) => a.rule.order - b.rule.order)
}

function keyOf(table: Table, call: CallReading): { readonly value: string } | null | string {
  switch (table.kind) {
    case 'method': {
      const method = call.method(table.format ?? 'soap')
      if (!method.ok) return method.reason
      const { value } = method
      // SOAP's names are read exactly by who reads them at all; the others are looked up by whatever the backend has.
      if (table.format !== 'soap' && !table.byValue.has(value) && table.folded.has(value.toLowerCase()))
        return `the method ${value} is a known one but for its case`
      return method
    }
    case 'json-key': {
      const json = call.json()
      if (!json.ok) return json.reason
      if (json.value === null || !isJsonObject(json.value)) return null
      const [key] = json.value.keys()
      return key === undefined ? null : { value: key }
    }
    case 'match': {
      const values = table.place?.read(call) ?? []
      if (typeof values === 'string') return values
      if (values.length > 1) return `the ${table.name} stands there more than once`
      const value = values[0] ?? null
      return value === null ? null : { value }
    }
  }
}

/** Why the group's tables left the rule out, for `explain`. */
export function leftOut(conditions: readonly Condition[], group: RuleGroup): string {
  const names = group.tables.map((table) => table.name)
  const own = conditions.flatMap((condition) =>
    condition.kind === 'match' && names.includes(condition.place.name)
      ? [`${condition.place.name} is not ${[...condition.values].slice(0, 4).join(', ')}`]
      : [],
  )
  return own[0] ?? `its ${names.join(' or ')} is another`
}
