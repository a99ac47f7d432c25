// Judges an answer by what its configuration says: shows it somebody alive, somebody gone, or nothing?
// A status alone shows nothing: every proxy has a 404. What fits neither is unknown.

import { z } from 'zod'
import { ownMember } from '../free-form/value-at.ts'
import type { HttpAnswer } from './client.ts'
import { renderScalar, type Scalar, type TemplateScope } from './template.ts'

const Pointer = z.string().regex(/^(?:\/(?:[^~/]|~[01])*)+$/, { error: 'a JSON pointer, as in /error/code' })
const Statuses = z.array(z.int().min(100).max(599)).min(1)
const Fields = z.record(Pointer, z.union([z.string().min(1), z.number(), z.boolean()]))
type Fields = z.infer<typeof Fields>

const Condition = z.strictObject({
  status: Statuses,
  /** By JSON pointer, what must stand there. */
  json: Fields.default({}),
  /** What must stand there otherwise: another incarnation. */
  differs: Fields.default({}),
  /** What must stand there at all. */
  present: z.array(Pointer).default([]),
})
type Condition = z.infer<typeof Condition>

const Listing = z.strictObject({
  status: Statuses.default([200]),
  /** Of the array. */
  at: Pointer,
  /** What an entry of the holder has. */
  item: Fields.refine((fields) => Object.keys(fields).length > 0, { error: 'at least one field' }),
  /** What an entry has that is always there: a list without it is not the list. */
  witness: Fields.optional(),
  /** What the answer has beside the list, that only the API can have written. */
  json: Fields.default({}),
  /** Where a further page would be announced: with one, nobody is known to be gone. */
  more: Pointer.optional(),
})
type Listing = z.infer<typeof Listing>

/** The fields of a `verify:` that say how to read its answer. */
export const judgementFields = {
  alive: z.array(Condition).optional(),
  gone: z.array(Condition).optional(),
  list: Listing.optional(),
}

export interface JudgementRules {
  readonly alive?: readonly Condition[] | undefined
  readonly gone?: readonly Condition[] | undefined
  readonly list?: Listing | undefined
}

/** What is wrong with the rules as a whole; null where nothing is. */
export function faultOfRules({ alive, gone, list }: JudgementRules): string | null {
  if (list !== undefined) {
    if (alive !== undefined || gone !== undefined) return 'either list, or alive and gone'
    const shown = Object.keys({ ...list.witness, ...list.json }).length > 0
    return shown ? null : 'an empty list shows nobody gone: name an entry that is always there (witness)'
  }
  if (alive === undefined || gone === undefined || alive.length === 0 || gone.length === 0)
    return 'say what shows the holder alive and what shows it gone, or give a list'
  const weak = gone.some(
    ({ json, differs, present }) => Object.keys({ ...json, ...differs }).length + present.length === 0,
  )
  return weak
    ? 'a status alone shows nobody gone: name something in the answer (json, differs, present)'
    : null
}

export type Judgement = 'alive' | 'gone' | 'unknown'

export function judge(answer: HttpAnswer, rules: JudgementRules, scope: TemplateScope): Judgement {
  if (rules.list !== undefined) return judgeList(answer, rules.list, scope)
  const isAlive = (rules.alive ?? []).some((condition) => fits(answer, condition, scope))
  const isGone = (rules.gone ?? []).some((condition) => fits(answer, condition, scope))
  if (isAlive === isGone) return 'unknown'
  return isAlive ? 'alive' : 'gone'
}

function judgeList(answer: HttpAnswer, list: Listing, scope: TemplateScope): Judgement {
  const entries = at(answer.json, list.at)
  if (!list.status.includes(answer.status) || !Array.isArray(entries)) return 'unknown'
  if (entries.some((entry) => hasAll(entry, list.item, scope))) return 'alive'
  const readable = entries.every((entry) => Object.keys(list.item).every((path) => isScalar(at(entry, path))))
  const further = list.more === undefined ? undefined : at(answer.json, list.more)
  const isWhole = further === undefined || further === null || further === '' || further === false
  const { witness } = list
  const witnessed = witness === undefined || entries.some((entry) => hasAll(entry, witness, scope))
  return readable && isWhole && witnessed && hasAll(answer.json, list.json, scope) ? 'gone' : 'unknown'
}

function fits(answer: HttpAnswer, condition: Condition, scope: TemplateScope): boolean {
  return (
    condition.status.includes(answer.status) &&
    hasAll(answer.json, condition.json, scope) &&
    condition.present.every((path) => isShown(at(answer.json, path))) &&
    Object.entries(condition.differs).every(([path, value]) => {
      const found = at(answer.json, path)
      return isScalar(found) && isShown(found) && !same(found, renderScalar(value, scope))
    })
  )
}

function hasAll(document: unknown, fields: Fields, scope: TemplateScope): boolean {
  return Object.entries(fields).every(([path, value]) => {
    const found = at(document, path)
    return isScalar(found) && same(found, renderScalar(value, scope))
  })
}

/** As text: whether an id is a number is seldom agreed upon. */
function same(found: Scalar, wanted: Scalar): boolean {
  return String(found) === String(wanted)
}

function isShown(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

/** RFC 6901; undefined where there is nothing. */
export function at(document: unknown, pointer: string): unknown {
  let found: unknown = document
  for (const step of pointer.split('/').slice(1))
    found = ownMember(found, step.replaceAll('~1', '/').replaceAll('~0', '~'))
  return found
}
