// Conditions on one part of a call (query, header, JSON or SOAP body), and captures from it, in one form for all.

import type { PackFault } from './fault.ts'
import type { BodyFormat } from './media.ts'
import { type CallReading, differsInCase, isOtherCase, pointerSteps, type Values } from './reading.ts'
import type { FacetSource } from './schema.ts'
import { SoapPaths } from './soap-paths.ts'
import type { XmlForm } from './xml-envelope.ts'

/** A place in a call where values stand. */
export interface Place {
  /** For `explain`, and equal for equal places: `query dsName`, `soap _this`. */
  readonly name: string
  /** The body must be there and readable for it. */
  readonly body: BodyFormat | null
  read(call: CallReading): Values
  /** All values there, wherever else two readers could disagree: for those who go by every one of them. */
  readAll?(call: CallReading): Values
}

export type Condition =
  | { readonly kind: 'match'; readonly place: Place; readonly values: ReadonlySet<string> }
  | { readonly kind: 'has'; readonly place: Place }
  | { readonly kind: 'absent'; readonly place: Place }
  /** The object at a JSON pointer has one key, which is one of these. */
  | {
      readonly kind: 'only'
      readonly place: Place
      readonly steps: readonly string[]
      readonly keys: ReadonlySet<string>
    }

export interface PlacedCapture {
  readonly name: string
  readonly place: Place
  /** Written as a list: all its values count, however many there are. */
  readonly isList?: boolean
}

/** Makes the place that a name in a facet stands for, or says what is wrong with the name. */
export type PlaceMaker = (written: string) => Place | string

export function queryPlace(written: string): Place {
  return { name: `query ${written}`, body: null, read: (call) => call.query(written) }
}

export function headerPlace(written: string): Place {
  const name = written.toLowerCase()
  return { name: `header ${name}`, body: null, read: (call) => call.header(name) }
}

export function jsonPlace(written: string): Place | string {
  const steps = pointerSteps(written)
  if (steps === null || steps.length === 0)
    return `${JSON.stringify(written)} is not a JSON pointer such as /volume/id`
  return { name: `json ${written}`, body: 'json', read: (call) => call.pointer(steps) }
}

export function formPlace(written: string): Place {
  return { name: `form ${written}`, body: 'form', read: (call) => call.form(written) }
}

export function rpcPlace(written: string): Place | string {
  const steps = pointerSteps(written)
  if (steps === null || steps.length === 0)
    return `${JSON.stringify(written)} is not a JSON pointer into the params, such as /volumeID`
  return { name: `jsonrpc ${written}`, body: 'jsonrpc', read: (call) => call.rpcPointer(steps) }
}

export function xmlPlaces(form: XmlForm, paths: SoapPaths): PlaceMaker {
  return (written) => {
    if (
      !SoapPaths.isPath(written) &&
      !(form === 'soap' && SoapPaths.isHeaderPath(written)) &&
      !(form === 'zapi' && SoapPaths.isRootAttribute(written))
    )
      return `${JSON.stringify(written)} is not a path such as spec/location or _this@type`
    const path = paths.want(written)
    return {
      name: `${form} ${written}`,
      body: form,
      read: (call) => call.xmlValue(form, path),
      readAll: (call) => call.xmlValues(form, path),
    }
  }
}

export interface CompiledFacet {
  readonly conditions: readonly Condition[]
  readonly captures: readonly PlacedCapture[]
}

export function compileFacet(
  facet: FacetSource,
  make: PlaceMaker,
  path: readonly PropertyKey[],
  faults: PackFault[],
): CompiledFacet {
  const conditions: Condition[] = []
  const captures: PlacedCapture[] = []
  const placed = (written: string, at: readonly PropertyKey[], use: (place: Place) => void): void => {
    const place = make(written)
    if (typeof place === 'string')
      faults.push({ path: [...path, ...at], message: place, atKey: at[0] === 'match' })
    else use(place)
  }
  for (const [written, value] of Object.entries(facet.match ?? {})) {
    const values = new Set((Array.isArray(value) ? value : [value]).map(String))
    placed(written, ['match', written], (place) => conditions.push({ kind: 'match', place, values }))
  }
  for (const [index, written] of (facet.has ?? []).entries())
    placed(written, ['has', index], (place) => conditions.push({ kind: 'has', place }))
  for (const [index, written] of (facet.absent ?? []).entries())
    placed(written, ['absent', index], (place) => conditions.push({ kind: 'absent', place }))
  for (const [name, written] of Object.entries(facet.capture ?? {}))
    if (typeof written === 'string')
      placed(written, ['capture', name], (place) => captures.push({ name, place }))
    else {
      const places: Place[] = []
      for (const [index, one] of written.entries())
        placed(one, ['capture', name, index], (place) => places.push(place))
      const [first] = places
      if (first !== undefined) captures.push({ name, place: joined(first, places), isList: true })
    }
  return { conditions, captures }
}

/** The values of several places, one after the other. */
function joined(first: Place, places: readonly Place[]): Place {
  return {
    name: places.map(({ name }) => name).join(', '),
    body: first.body,
    read(call) {
      const all: (string | null)[] = []
      for (const place of places) {
        const values = place.readAll?.(call) ?? place.read(call)
        if (typeof values === 'string') return values
        all.push(...values)
      }
      return all
    },
  }
}

/** The conditions of `only`, whose keys are pointers (`""`: the whole body). */
export function compileOnly(
  only: Readonly<Record<string, string | readonly string[]>>,
  path: readonly PropertyKey[],
  faults: PackFault[],
): readonly Condition[] {
  return Object.entries(only).flatMap(([written, value]): Condition[] => {
    const steps = pointerSteps(written)
    if (steps === null) {
      faults.push({ path: [...path, written], message: 'not a JSON pointer such as /volume', atKey: true })
      return []
    }
    const place: Place = { name: `json ${written}`, body: 'json', read: (call) => call.pointer(steps) }
    return [{ kind: 'only', place, steps, keys: new Set(typeof value === 'string' ? [value] : value) }]
  })
}

/** Whether the condition holds; a text says why the call is refused instead. */
export function holds(condition: Condition, call: CallReading): boolean | string {
  if (condition.kind === 'only') {
    const keys = call.keysAt(condition.steps)
    if (typeof keys === 'string') return keys
    for (const key of keys ?? [])
      for (const known of condition.keys) if (isOtherCase(key, known)) return differsInCase(known, key)
    const [key] = keys ?? []
    return keys?.length === 1 && key !== undefined && condition.keys.has(key)
  }
  const values = condition.place.read(call)
  if (typeof values === 'string') return values
  switch (condition.kind) {
    case 'has':
      return values.length > 0
    case 'absent':
      return values.length === 0
    case 'match': {
      const only = onlyValue(values, condition.place)
      return typeof only === 'string' ? only : only.value !== null && condition.values.has(only.value)
    }
  }
}

/** The one value of a place: null where there is none or it is no text; a text where there are several. */
export function onlyValue(
  values: readonly (string | null)[],
  place: Place,
): { readonly value: string | null } | string {
  if (values.length > 1) return `the ${place.name} stands there more than once`
  return { value: values[0] ?? null }
}
