// One rule of a pack: what it matches, which locks it names, which job its answers start. Everything in it that is wrong is
// found at once.

import { coverOf, type FolderPattern } from './covering.ts'
import type { PackFault } from './fault.ts'
import { type CompiledJob, compileJob } from './job.ts'
import { lockList } from './lock-list.ts'
import { lockTemplate } from './lock-template.ts'
import { compileLogin } from './login.ts'
import { type PathTemplate, pathCaptures, readPathTemplate } from './path-tree.ts'
import { compilePattern } from './pattern.ts'
import type { CompiledLock, CompiledRule, Restriction, SlottedCapture } from './rule.ts'
import { compileRuleFacets, listOf } from './rule-facets.ts'
import type { Discriminator } from './rule-group.ts'
import type { Overrides, PackSource, RuleSource } from './schema.ts'
import type { SoapPaths } from './soap-paths.ts'
import { capturesOf, type Names } from './template.ts'
import type { XmlForm } from './xml-envelope.ts'

/** What all rules of a pack have in common. */
export interface PackTerms {
  readonly source: PackSource
  readonly overrides: Overrides | null
  readonly overrideFaults: PackFault[]
  readonly variables: ReadonlyMap<string, string>
  readonly lockTemplates: ReadonlyMap<string, string>
  readonly jobs: ReadonlyMap<string, NonNullable<PackSource['jobs'][string]>>
  readonly covering: readonly FolderPattern[]
  /** Grows by what the rules want to see. */
  readonly xmlPaths: Readonly<Record<XmlForm, SoapPaths>>
}

export interface RuleTerms {
  readonly source: RuleSource
  readonly order: number
  readonly path: readonly PropertyKey[]
  readonly faults: PackFault[]
}

/** A rule, and what is needed to find it. */
export interface RuleOfPaths {
  readonly rule: CompiledRule
  readonly paths: readonly PathTemplate[]
  readonly discriminator: Discriminator | null
  readonly slot: (name: string) => number
}

/** Null where something is wrong with it, which is among its faults, or the overrides', then. */
export function compileRule(pack: PackTerms, terms: RuleTerms): RuleOfPaths | null {
  return new RuleCompiler(pack, terms).compile()
}

class RuleCompiler {
  readonly #pack: PackTerms
  readonly #terms: RuleTerms

  constructor(pack: PackTerms, terms: RuleTerms) {
    this.#pack = pack
    this.#terms = terms
  }

  compile(): RuleOfPaths | null {
    const { source, order, path, faults } = this.#terms
    const before = faults.length
    const paths = this.#paths()
    for (const method of listOf(source.method ?? []))
      if (!/^[A-Z]+$/.test(method))
        faults.push({ path: [...path, 'method'], message: 'a method is written in upper case' })
    const slots = new Map<string, number>()
    const slot = (name: string): number => {
      const known = slots.get(name)
      if (known !== undefined) return known
      slots.set(name, slots.size)
      return slots.size - 1
    }
    for (const template of paths) pathCaptures(template, slot)
    const facets = compileRuleFacets({
      source,
      path,
      faults,
      slots,
      slot,
      xmlPaths: this.#pack.xmlPaths,
      soapNamespace: this.#pack.source.soap_namespace,
    })
    const lists = new Set(facets.captures.filter((one) => one.isList === true).map((one) => one.slot))
    const restrictions = this.#restrictions(slots, slot).map((one) => ({
      ...one,
      isList: lists.has(one.slot),
    }))
    for (const name of slots.keys())
      if (this.#pack.variables.has(name))
        faults.push({ path, message: `{${name}} is a variable and a capture: rename one of them` })
    const names: Names = (name) => slots.get(name) ?? this.#pack.variables.get(name) ?? null
    const locks = this.#locks(names)
    const job = this.#job(names, slots.size)
    const login = compileLogin({ source, path, faults, slots })
    if (faults.length > before) return null

    const many = new Set(locks.map((lock) => lock.eachSlot))
    const captures = facets.captures.map(
      (capture): SlottedCapture => ({ ...capture, many: capture.isList === true || many.has(capture.slot) }),
    )
    const rule: CompiledRule = {
      id: source.id,
      order,
      effect: source.effect,
      reason: source.reason ?? null,
      body: facets.body,
      isBodyOptional: source.json?.body === 'optional',
      soapNamespace: facets.soapNamespace,
      methodMatches: facets.methodMatches,
      conditions: facets.conditions,
      captures,
      restrictions,
      // One more than the captures: the answer's id of a job.
      slotCount: slots.size + 1,
      locks,
      unfilled: source.unfilled,
      job,
      login,
      dialect: source.dialect ?? null,
      logout: source.logout === true,
      waitMs: (source.wait ?? this.#pack.overrides?.wait ?? this.#pack.source.wait) * 1000,
    }
    return { rule, paths, discriminator: facets.discriminator, slot }
  }

  #paths(): readonly PathTemplate[] {
    const { source, path, faults } = this.#terms
    const written = typeof source.path === 'string' ? [source.path] : source.path
    return written.flatMap((text, index) => {
      const templates = readPathTemplate(text)
      if (typeof templates !== 'string') return templates
      faults.push({
        path: typeof source.path === 'string' ? [...path, 'path'] : [...path, 'path', index],
        message: templates,
      })
      return []
    })
  }

  #restrictions(
    slots: ReadonlyMap<string, number>,
    slot: (name: string) => number,
  ): readonly Omit<Restriction, 'isList'>[] {
    const { source, path, faults } = this.#terms
    return Object.entries(source.where ?? {}).flatMap(([name, written]) => {
      const pattern = compilePattern(written)
      const own = slots.get(name)
      const at = [...path, 'where', name]
      if (typeof pattern === 'string') faults.push({ path: at, message: pattern })
      else if (own === undefined)
        faults.push({ path: at, message: `nothing captures {${name}}`, atKey: true })
      else if (pattern.groups.some((group) => slots.has(group)))
        faults.push({ path: at, message: 'a group of the pattern has the name of another capture' })
      else return [{ name, slot: own, pattern, groupSlots: pattern.groups.map(slot) }]
      return []
    })
  }

  #locks(names: Names): readonly CompiledLock[] {
    const { source, path, faults } = this.#terms
    if (source.effect !== 'mutate') {
      for (const key of ['locks', 'job', 'wait'] as const)
        if (source[key] !== undefined)
          faults.push({ path: [...path, key], message: `only a rule that mutates has ${key}`, atKey: true })
      return []
    }
    return lockList(source).flatMap((lock, index) => {
      const at = Array.isArray(source.locks) ? [...path, 'locks', index] : [...path, 'locks']
      const template = lockTemplate(lock.lock, this.#pack.lockTemplates, names)
      if (typeof template === 'string') {
        this.#lockFault(lock.lock, template, at)
        return []
      }
      const each = lock.each === undefined ? -1 : names(lock.each)
      // An operator may put all objects of a kind under one lock.
      const isCoarser = this.#pack.overrides?.locks?.[lock.lock] !== undefined
      if (
        typeof each !== 'number' ||
        (each !== -1 && !isCoarser && !capturesOf(template).some((used) => used.slot === each))
      ) {
        faults.push({
          path: at,
          message: `each: ${lock.each ?? ''} must be a capture that the template uses`,
        })
        return []
      }
      const cover = coverOf(template, this.#pack.covering)
      return [{ template, mode: lock.mode, eachSlot: each, isOptional: lock.optional ?? false, cover }]
    })
  }

  /** A template of the operator's is his to mend, and is said once, however many rules of the pack need it. */
  #lockFault(name: string, message: string, at: readonly PropertyKey[]): void {
    if (this.#pack.overrides?.locks?.[name] === undefined) {
      this.#terms.faults.push({ path: at, message })
      return
    }
    const isSaid = this.#pack.overrideFaults.some(({ path }) => path[0] === 'locks' && path[1] === name)
    if (!isSaid)
      this.#pack.overrideFaults.push({
        path: ['locks', name],
        message: `${message} (rule ${this.#terms.source.id} needs it)`,
      })
  }

  #job(names: Names, idSlot: number): CompiledJob | null {
    const { source, path, faults } = this.#terms
    if (source.job === undefined) return null
    const name = typeof source.job === 'string' ? source.job : source.id
    const job = typeof source.job === 'string' ? this.#pack.jobs.get(source.job) : source.job
    if (job === undefined) {
      faults.push({
        path: [...path, 'job'],
        message: `there is no job ${name}; there are ${[...this.#pack.jobs.keys()].join(', ') || 'none'}`,
      })
      return null
    }
    const soapPaths = this.#pack.xmlPaths.soap
    return compileJob({ name, source: job, names, idSlot, soapPaths, path: [...path, 'job'] }, faults)
  }
}
