// The part of a rule that looks beyond method and path: its conditions and captures, and what it is found by.

import { type Condition, compileFacet, headerPlace, jsonPlace, queryPlace, soapPlaces } from './facet.ts'
import type { PackFault } from './fault.ts'
import type { BodyFormat } from './media.ts'
import { compilePattern, type Pattern } from './pattern.ts'
import type { SlottedCapture } from './rule.ts'
import type { Discriminator } from './rule-group.ts'
import type { RuleSource } from './schema.ts'
import type { SoapPaths } from './soap-paths.ts'

export interface FacetTerms {
  readonly source: RuleSource
  readonly path: readonly PropertyKey[]
  readonly faults: PackFault[]
  /** Captures known so far. */
  readonly slots: ReadonlyMap<string, number>
  /** The slot of a capture, a new one where it is not known. */
  readonly slot: (name: string) => number
  readonly soapPaths: SoapPaths
  /** Of the pack. */
  readonly soapNamespace: string | undefined
}

export interface RuleFacets {
  readonly conditions: readonly Condition[]
  readonly captures: readonly Omit<SlottedCapture, 'many'>[]
  readonly body: BodyFormat | null
  readonly soapNamespace: string | null
  readonly soapMatches: Pattern | null
  readonly discriminator: Discriminator | null
}

/** Compiles `query`, `header`, `json` and `soap` of a rule. */
export function compileRuleFacets(terms: FacetTerms): RuleFacets {
  const { source, path, faults, slots, slot } = terms
  const parts = [
    source.query && compileFacet(source.query, queryPlace, [...path, 'query'], faults),
    source.header && compileFacet(source.header, headerPlace, [...path, 'header'], faults),
    source.json && compileFacet(source.json, jsonPlace, [...path, 'json'], faults),
    source.soap && compileFacet(source.soap, soapPlaces(terms.soapPaths), [...path, 'soap'], faults),
  ].filter((part) => part !== undefined)
  const captures: Omit<SlottedCapture, 'many'>[] = []
  for (const capture of parts.flatMap((part) => part.captures)) {
    if (slots.has(capture.name))
      faults.push({ path, message: `{${capture.name}} is captured twice in this rule` })
    captures.push({ ...capture, slot: slot(capture.name) })
  }
  if (source.json !== undefined && source.soap !== undefined)
    faults.push({ path, message: 'a rule reads its body as JSON or as SOAP, not as both' })
  const body: BodyFormat | null =
    source.json !== undefined ? 'json' : source.soap !== undefined ? 'soap' : null
  const soapNamespace = source.soap?.namespace ?? terms.soapNamespace ?? null
  if (source.soap !== undefined && soapNamespace === null)
    faults.push({ path: [...path, 'soap'], message: 'no namespace: the pack has no soap_namespace either' })
  let soapMatches: Pattern | null = null
  if (source.soap?.matches !== undefined) {
    const pattern = compilePattern(source.soap.matches)
    if (typeof pattern === 'string') faults.push({ path: [...path, 'soap', 'matches'], message: pattern })
    else soapMatches = pattern
    if (source.soap.method !== undefined)
      faults.push({ path: [...path, 'soap', 'matches'], message: 'method and matches exclude one another' })
  }
  const conditions = parts.flatMap((part) => part.conditions)
  const matched = conditions.find((condition) => condition.kind === 'match')
  const discriminator: Discriminator | null =
    source.soap?.method !== undefined
      ? { kind: 'soap-method', values: listOf(source.soap.method) }
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
    soapMatches,
    discriminator,
  }
}

export function listOf(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? [value] : value
}
