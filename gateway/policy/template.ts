// Templates of lock names and probe targets: literal text and captures with filters, compiled once, filled per call.

import { FILTERS, type Filter } from './filter.ts'

/** What a call's captures hold, by slot: nothing, one value, or the values of an array. */
export type Slots = (string | readonly string[] | undefined)[]

export interface Capture {
  readonly name: string
  readonly slot: number
}

type Piece =
  | { readonly kind: 'literal'; readonly text: string }
  | {
      readonly kind: 'capture'
      readonly name: string
      readonly slot: number
      readonly filters: readonly NamedFilter[]
    }

interface NamedFilter {
  readonly name: string
  readonly apply: Filter
  readonly takesEmpty: boolean
  readonly summary: string
}

export interface Template {
  readonly written: string
  readonly pieces: readonly Piece[]
}

export type Filled =
  | { readonly ok: true; readonly text: string }
  /** `isNothing`: the value says that there is nothing of the kind. */
  | { readonly ok: false; readonly reason: string; readonly isNothing?: true }

/** What a `{name}` stands for where a template is compiled: a capture's slot, a constant, or nothing. */
export type Names = (name: string) => number | string | null

const PLACEHOLDER = /^\{([a-z][a-z0-9_]*)((?:\|[a-z][a-z0-9-]*)*)\}/

/** Compiles a template, or says what is wrong with it. */
export function compileTemplate(written: string, names: Names): Template | string {
  const pieces: Piece[] = []
  let literal = ''
  let at = 0
  while (at < written.length) {
    const character = written[at] ?? ''
    if (character === '}') return `"}" without "{" in ${JSON.stringify(written)}`
    if (character !== '{') {
      literal += character
      at++
      continue
    }
    const match = PLACEHOLDER.exec(written.slice(at))
    if (match === null) return `a placeholder in ${JSON.stringify(written)} is not {name} or {name|filter}`
    const [whole, name = '', filterList = ''] = match
    at += whole.length
    const meaning = names(name)
    if (meaning === null) return `nothing captures {${name}} here, and no variable has that name`
    if (typeof meaning === 'string') {
      if (filterList !== '') return `{${name}} is a variable: filters are for captures`
      literal += meaning
      continue
    }
    const filters: NamedFilter[] = []
    for (const filterName of filterList.split('|').slice(1)) {
      const filter = FILTERS.get(filterName)
      if (filter === undefined)
        return `there is no filter ${filterName}; there are ${[...FILTERS.keys()].join(', ')}`
      filters.push({
        name: filterName,
        apply: filter.apply,
        takesEmpty: filter.takesEmpty === true,
        summary: filter.summary,
      })
    }
    if (literal !== '') pieces.push({ kind: 'literal', text: literal })
    literal = ''
    pieces.push({ kind: 'capture', name, slot: meaning, filters })
  }
  if (literal !== '') pieces.push({ kind: 'literal', text: literal })
  return pieces.length === 0 ? 'a template must not be empty' : { written, pieces }
}

/** The captures that a template uses, by slot. */
export function capturesOf(template: Template): readonly Capture[] {
  return template.pieces.flatMap((piece) =>
    piece.kind === 'capture' ? [{ name: piece.name, slot: piece.slot }] : [],
  )
}

export type PartEscape = (part: string) => string

/**
 * Fills a template. `each` stands in for the slot of an array. Every capture must have a value; `partEscape` keeps one
 * capture's characters from being read as structure.
 */
export function fillTemplate(
  template: Template,
  slots: Slots,
  partEscape: PartEscape,
  each?: { readonly slot: number; readonly value: string },
): Filled {
  let text = ''
  for (const piece of template.pieces) {
    if (piece.kind === 'literal') {
      text += piece.text
      continue
    }
    const value = each !== undefined && each.slot === piece.slot ? each.value : slots[piece.slot]
    if (typeof value !== 'string' || (value === '' && piece.filters[0]?.takesEmpty !== true))
      return { ok: false, reason: `the call does not say its ${piece.name}` }
    if (piece.filters.length === 0) {
      text += partEscape(value)
      continue
    }
    let parts: readonly string[] | null = [value]
    for (const filter of piece.filters) {
      parts = filter.apply(parts)
      if (parts === null)
        return {
          ok: false,
          reason: `the ${piece.name} ${JSON.stringify(value.slice(0, 120))} is not of the form ${filter.name} (${filter.summary})`,
        }
      if (parts.length === 0)
        return { ok: false, reason: `the call names nothing as its ${piece.name}`, isNothing: true }
    }
    text += parts.length === 1 ? partEscape(parts[0] ?? '') : parts.map(partEscape).join('/')
  }
  return { ok: true, text }
}

/** In a lock's name one capture is one part: its slashes do not make others. */
export function lockPart(part: string): string {
  return part.includes('/') || part.includes('%') ? part.replaceAll('%', '%25').replaceAll('/', '%2F') : part
}

/** In a probe's target a capture is one segment, or the value of one query member. */
export function targetPart(part: string): string {
  return encodeURIComponent(part)
}
