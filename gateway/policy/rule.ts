// A compiled rule: whether a call is one of its kind, and which locks such a call needs.

import { asLockName, lockNameFault } from '../core/names.ts'
import type { Dialect, Effect, RequiredLock } from '../spi/policy.ts'
import { type Cover, coveringNames } from './covering.ts'
import { type Condition, holds, onlyValue, type PlacedCapture } from './facet.ts'
import type { CompiledJob } from './job.ts'
import type { CompiledLogin } from './login.ts'
import type { BodyFormat } from './media.ts'
import type { Pattern } from './pattern.ts'
import type { CallReading } from './reading.ts'
import { capturesOf, fillTemplate, lockPart, type Slots, type Template } from './template.ts'

/** A call that needs more locks than this is refused. */
export const LOCKS_MAX = 256

export interface CompiledLock {
  readonly template: Template
  readonly mode: 'exclusive' | 'shared'
  /** Slot of the array that it is filled for each value of; -1 without. */
  readonly eachSlot: number
  /** Of a lock on a folder that covers what is below it; null for any other. */
  readonly cover: Cover | null
  /** Falls away where the call does not say what it is filled with. */
  readonly isOptional: boolean
}

export interface SlottedCapture extends PlacedCapture {
  readonly slot: number
  readonly many: boolean
}

export interface Restriction {
  readonly name: string
  readonly slot: number
  readonly pattern: Pattern
  /** Slots of the pattern's named groups. */
  readonly groupSlots: readonly number[]
  /** Of a capture that is written as a list, and may hold nothing. */
  readonly isList: boolean
}

export interface CompiledRule {
  readonly id: string
  /** Position in its layer: of rules at the same place in the tree, the first that matches counts. */
  readonly order: number
  readonly effect: Effect
  readonly reason: string | null
  /** Needs the body, in this format. */
  readonly body: BodyFormat | null
  /** An empty body reads as an object without keys. */
  readonly isBodyOptional: boolean
  /** Any namespace but this one does not match; null for what is not SOAP. */
  readonly soapNamespace: string | null
  /** RE2 over the method that the body names. */
  readonly methodMatches: Pattern | null
  readonly conditions: readonly Condition[]
  readonly captures: readonly SlottedCapture[]
  readonly restrictions: readonly Restriction[]
  readonly slotCount: number
  readonly locks: readonly CompiledLock[]
  readonly unfilled: 'refuse' | 'default_lock'
  readonly job: CompiledJob | null
  /** Of a rule for calls that open a session. */
  readonly login: CompiledLogin | null
  readonly logout: boolean
  readonly waitMs: number
  /** In place of the pack's. */
  readonly dialect: Dialect | null
}

/** Where a path's captures stand: the slot, the segment, and whether it is the rest of the path. */
export interface PathCapture {
  readonly slot: number
  readonly segment: number
  readonly rest: boolean
}

/** A rule at one of its paths. */
export interface RuleAtPath {
  readonly rule: CompiledRule
  readonly pathCaptures: readonly PathCapture[]
}

/** `null`: not this rule, and `why` says why where a trace is wanted. A text refuses the call. */
export type RuleMatch = Slots | null | string

export function matchRule(at: RuleAtPath, call: CallReading, why: string[] | null): RuleMatch {
  const { rule } = at
  if (rule.soapNamespace !== null) {
    const soap = call.xml('soap')
    if (!soap.ok) return soap.reason
    if (soap.namespace !== rule.soapNamespace) {
      why?.push(`the method is in the namespace ${soap.namespace}`)
      return null
    }
  }
  if (rule.methodMatches !== null && rule.body !== null && rule.body !== 'json' && rule.body !== 'form') {
    const method = call.method(rule.body)
    if (!method.ok) return method.reason
    if (rule.methodMatches.match(method.value) === null) {
      why?.push(`the method ${method.value} does not match ${rule.methodMatches.written}`)
      return null
    }
  }
  for (const condition of rule.conditions) {
    const result = holds(condition, call)
    if (typeof result === 'string') return result
    if (!result) {
      why?.push(conditionFailed(condition))
      return null
    }
  }
  const slots: Slots = []
  const { segments } = call.target
  // Of a read nobody asks, unless it is restricted by them.
  if (rule.effect !== 'read' || rule.restrictions.length > 0)
    for (const capture of at.pathCaptures)
      slots[capture.slot] = capture.rest
        ? segments.slice(capture.segment).join('/')
        : segments[capture.segment]
  for (const capture of rule.captures) {
    const values = capture.place.read(call)
    if (typeof values === 'string') return values
    if (capture.many) {
      const texts = values.filter((value) => value !== null)
      if (texts.length < values.length) return `a value of ${capture.place.name} is not plain text`
      slots[capture.slot] = texts
      continue
    }
    const only = onlyValue(values, capture.place)
    if (typeof only === 'string') return only
    if (only.value === null && values.length > 0) return `the ${capture.place.name} is not plain text`
    if (only.value !== null) slots[capture.slot] = only.value
  }
  return restricted(rule, slots, why) ? slots : null
}

function restricted(rule: CompiledRule, slots: Slots, why: string[] | null): boolean {
  for (const restriction of rule.restrictions) {
    const value = slots[restriction.slot]
    if (restriction.isList && Array.isArray(value) && value.length === 0) continue
    const texts = typeof value === 'string' ? [value] : (value ?? [])
    let groups: readonly (string | undefined)[] | null = null
    for (const text of texts) {
      groups = restriction.pattern.match(text)
      if (groups === null) break
    }
    if (groups === null) {
      why?.push(`${restriction.name} does not match ${restriction.pattern.written}`)
      return false
    }
    for (const [index, slot] of restriction.groupSlots.entries()) slots[slot] = groups[index]
  }
  return true
}

function conditionFailed(condition: Condition): string {
  switch (condition.kind) {
    case 'match':
      return `${condition.place.name} is not ${[...condition.values].slice(0, 4).join(', ')}`
    case 'has':
      return `there is no ${condition.place.name}`
    case 'absent':
      return `there is a ${condition.place.name}`
    case 'only':
      return `${condition.place.name} is no object with nothing but ${[...condition.keys].slice(0, 4).join(', ')}`
  }
}

/** What a call that the rule matched comes to. A text says why no lock can be named. */
export function locksOf(
  rule: CompiledRule,
  slots: Slots,
  defaultLock: RequiredLock,
): readonly RequiredLock[] | string {
  const locks: RequiredLock[] = []
  for (const lock of rule.locks) {
    const filled = fillLock(lock, slots, locks)
    if (filled === null) continue
    return rule.unfilled === 'default_lock' ? [defaultLock] : filled
  }
  return locks.length === 0 ? [defaultLock] : locks
}

/** Adds the lock's names to `into`; null, or why it cannot. */
function fillLock(lock: CompiledLock, slots: Slots, into: RequiredLock[]): string | null {
  if (lock.isOptional && capturesOf(lock.template).some((used) => isMissing(slots[used.slot]))) return null
  if (lock.isOptional && lock.eachSlot !== -1 && isMissing(slots[lock.eachSlot])) return null
  if (lock.eachSlot === -1) return addLock(fillTemplate(lock.template, slots, lockPart), lock, into)
  const values = slots[lock.eachSlot]
  if (typeof values === 'string' || values === undefined || values.length === 0)
    return `the call does not say what ${lock.template.written} is to be filled with`
  for (const value of values) {
    const filled = fillTemplate(lock.template, slots, lockPart, { slot: lock.eachSlot, value })
    if (lock.isOptional && !filled.ok && filled.isNothing === true) continue
    const fault = addLock(filled, lock, into)
    if (fault !== null) return fault
  }
  return null
}

/** An empty text is there, and says nothing that a lock could be named by. */
function isMissing(value: Slots[number]): boolean {
  return value === undefined || (typeof value !== 'string' && value.length === 0)
}

function addLock(
  filled: ReturnType<typeof fillTemplate>,
  { cover, mode }: CompiledLock,
  into: RequiredLock[],
): string | null {
  if (!filled.ok) return filled.reason
  if (cover === null) return addName(filled.text, mode, into)
  const names = coveringNames(filled.text, cover)
  for (const [index, name] of names.entries()) {
    const fault = addName(name, index === names.length - 1 ? mode : 'shared', into)
    if (fault !== null) return fault
  }
  return null
}

function addName(text: string, mode: 'exclusive' | 'shared', into: RequiredLock[]): string | null {
  const name = asLockName(text)
  if (name === null) return lockNameFault(text) ?? 'the lock has no usable name'
  const same = into.length === 0 ? -1 : into.findIndex((lock) => lock.name === name)
  if (same === -1) {
    if (into.length === LOCKS_MAX) return `the call needs more than ${LOCKS_MAX} locks`
    into.push({ name, mode })
  } else if (mode === 'exclusive') into[same] = { name, mode }
  return null
}

/** Whether it leaves no call at its path to a later rule. */
export function takesAll(rule: CompiledRule): boolean {
  return (
    rule.body === null &&
    rule.conditions.length === 0 &&
    rule.restrictions.length === 0 &&
    rule.methodMatches === null
  )
}
