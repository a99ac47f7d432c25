// The part of a rule that looks beyond method and path: its conditions and captures, and what it is found by.

import {
  type Condition,
  compileFacet,
  compileOnly,
  formPlace,
  headerPlace,
  jsonPlace,
  queryPlace,
  rpcPlace,
  xmlPlaces,
} from './facet.ts'
import type { PackFault } from './fault.ts'
import type { BodyFormat } from './media.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import type { SlottedCapture } from './rule.ts'
import type { Discriminator } from './rule-group.ts'
import type { RuleSource } from './schema.ts'
import type { SoapPaths } from './soap-paths.ts'
import type { XmlForm } from './xml-envelope.ts'

export interface FacetTerms {
  readonly source: RuleSource
  readonly path: readonly PropertyKey[]
  readonly faults: PackFault[]
  /** Captures known so far. */
  readonly slots: ReadonlyMap<string, number>
  /** The slot of a capture, a new one where it is not known. */
  readonly slot: (name: string) => number
  readonly xmlPaths: Readonly<Record<XmlForm, SoapPaths>>
  /** Of the pack. */
  readonly soapNamespace: string | undefined
}

export interface RuleFacets {
  readonly conditions: readonly Condition[]
  readonly captures: readonly Omit<SlottedCapture, 'many'>[]
  readonly body: BodyFormat | null
  readonly soapNamespace: string | null
  readonly methodMatches: Pattern | null
  readonly discriminator: Discriminator | null
}

/** The keys of a rule that read its body, each in another format. */
const BODY_KEYS = ['json', 'soap', 'zapi', 'jsonrpc', 'form'] as const satisfies readonly BodyFormat[]

/** Compiles `query`, `header` and what looks into the body. */
export function compileRuleFacets(terms: FacetTerms): RuleFacets {
  const { source, path, faults, slots, slot } = terms
  const parts = [
    source.query && compileFacet(source.query, queryPlace, [...path, 'query'], faults),
    source.header && compileFacet(source.header, headerPlace, [...path, 'header'], faults),
    source.json && compileFacet(source.json, jsonPlace, [...path, 'json'], faults),
    source.soap &&
      compileFacet(source.soap, xmlPlaces('soap', terms.xmlPaths.soap), [...path, 'soap'], faults),
    source.zapi &&
      compileFacet(source.zapi, xmlPlaces('zapi', terms.xmlPaths.zapi), [...path, 'zapi'], faults),
    source.jsonrpc && compileFacet(source.jsonrpc, rpcPlace, [...path, 'jsonrpc'], faults),
    source.form && compileFacet(source.form, formPlace, [...path, 'form'], faults),
  ].filter((part) => part !== undefined)
  const captures: Omit<SlottedCapture, 'many'>[] = []
  for (const capture of parts.flatMap((part) => part.captures)) {
    if (slots.has(capture.name))
      faults.push({ path, message: `{${capture.name}} is captured twice in this rule` })
    captures.push({ ...capture, slot: slot(capture.name) })
  }
  const formats = BODY_KEYS.filter((key) => source[key] !== undefined)
  if (formats.length > 1)
    faults.push({ path, message: `a rule reads its body in one format, not as ${formats.join(' and ')}` })
  const body: BodyFormat | null = formats[0] ?? null
  const soapNamespace = source.soap?.namespace ?? terms.soapNamespace ?? null
  if (source.soap !== undefined && soapNamespace === null)
    faults.push({ path: [...path, 'soap'], message: 'no namespace: the pack has no soap_namespace either' })
  if (soapNamespace !== null) terms.xmlPaths.soap.namespaces.add(soapNamespace)
  let methodMatches: Pattern | null = null
  const format = formats.find((key) => key === 'soap' || key === 'zapi' || key === 'jsonrpc')
  const named = format === undefined ? undefined : source[format]
  if (format !== undefined && named?.matches !== undefined) {
    const pattern = compilePattern(named.matches)
    if (typeof pattern === 'string') faults.push({ path: [...path, format, 'matches'], message: pattern })
    else methodMatches = pattern
    if (named.method !== undefined)
      faults.push({ path: [...path, format, 'matches'], message: 'method and matches exclude one another' })
  }
  const conditions = [
    ...parts.flatMap((part) => part.conditions),
    ...compileOnly(source.json?.only ?? {}, [...path, 'json', 'only'], faults),
  ]
  const matched = conditions.find((condition) => condition.kind === 'match')
  const discriminator: Discriminator | null =
    format !== undefined && named?.method !== undefined
      ? { kind: 'method', format, values: listOf(named.method) }
      : source.json?.key !== undefined
        ? { kind: 'json-key', values: listOf(source.json.key) }
        : matched === undefined
          ? null
          : { kind: 'match', place: matched.place, values: [...matched.values] }
  return {
    conditions,
    captures,
    body,
    soapNamespace: source.soap === undefined ? null : soapNamespace,
    methodMatches,
    discriminator,
  }
}

export function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}
