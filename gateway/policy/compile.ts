// From a pack (and an operator's overrides) to rules in their trees. Finds every fault before it gives up.

import type { CallerWay } from '../core/caller.ts'
import { asLockName, lockNameFault } from '../core/names.ts'
import type { RequiredLock } from '../spi/policy.ts'
import { compileCallerPlaces } from './caller-places.ts'
import type { CompiledPack, Layer } from './compiled-pack.ts'
import { coverOf, type FolderPattern, readFolderPattern } from './covering.ts'
import type { PackFault } from './fault.ts'
import { type CompiledJob, compileJob } from './job.ts'
import { type GrowingLeaf, groupByMethod } from './leaf.ts'
import { lockList } from './lock-list.ts'
import { lockTemplate } from './lock-template.ts'
import { compileLogin } from './login.ts'
import type { Pack } from './pack.ts'
import { type PathTemplate, PathTree, pathCaptures, readPathTemplate } from './path-tree.ts'
import { compilePattern } from './pattern.ts'
import {
  type CompiledLock,
  type CompiledRule,
  type Restriction,
  type RuleAtPath,
  type SlottedCapture,
  takesAll,
} from './rule.ts'
import { compileRuleFacets, listOf } from './rule-facets.ts'
import type { Discriminator } from './rule-group.ts'
import type { Overrides, PackSource, RuleSource } from './schema.ts'
import { SoapPaths } from './soap-paths.ts'
import { capturesOf, compileTemplate, type Names } from './template.ts'

export interface CompileTerms {
  readonly pack: Pack
  /** Checked in shape by `readOverrides`. */
  readonly overrides?: Overrides
  /** The policy's name where it is not the pack's. */
  readonly name?: string
  /** Name of the backend, for `{backend}` in lock templates. The pack's name where it is left out. */
  readonly backend?: string
  /** How the backend knows callers that send no token; in no way where it is left out. */
  readonly identify?: readonly CallerWay[]
  /** Other policies of the same backend, by the first part of the path, in lower case and without its slash. */
  readonly beside?: ReadonlyMap<string, CompileTerms>
}

/** Faults in overrides have paths that begin at the overrides' root; those of the pack itself at the pack's. */
export interface CompileFaults {
  readonly pack: readonly PackFault[]
  readonly overrides: readonly PackFault[]
}

export function compilePack(
  terms: CompileTerms,
):
  | { readonly ok: true; readonly value: CompiledPack }
  | { readonly ok: false; readonly faults: CompileFaults } {
  const compiler = new Compiler(terms)
  const value = compiler.compile()
  return compiler.packFaults.length + compiler.overrideFaults.length > 0 || value === null
    ? { ok: false, faults: { pack: compiler.packFaults, overrides: compiler.overrideFaults } }
    : { ok: true, value }
}

interface RuleTerms {
  readonly source: RuleSource
  readonly order: number
  readonly path: readonly PropertyKey[]
  readonly faults: PackFault[]
  readonly tree: Layer
}

class Compiler {
  readonly packFaults: PackFault[] = []
  readonly overrideFaults: PackFault[] = []
  readonly #source: PackSource
  readonly #overrides: Overrides | null
  readonly #name: string
  readonly #identify: readonly CallerWay[]
  readonly #covering: FolderPattern[] = []
  readonly #variables: ReadonlyMap<string, string>
  readonly #lockTemplates: ReadonlyMap<string, string>
  readonly #jobs: ReadonlyMap<string, NonNullable<PackSource['jobs'][string]>>
  readonly #xmlPaths = { soap: new SoapPaths(), zapi: new SoapPaths() }
  #takesSlashes = false
  readonly #ids = new Set<string>()
  readonly #rules: { source: RuleSource; rule: CompiledRule }[] = []

  constructor(terms: CompileTerms) {
    this.#name = terms.name ?? terms.pack.name
    this.#source = terms.pack.source
    this.#overrides = terms.overrides ?? null
    this.#identify = terms.identify ?? []
    const faults = this.#overrides?.covering === undefined ? this.packFaults : this.overrideFaults
    for (const [index, written] of (this.#overrides?.covering ?? this.#source.covering).entries()) {
      const pattern = readFolderPattern(written)
      if (typeof pattern === 'string') faults.push({ path: ['covering', index], message: pattern })
      else this.#covering.push(pattern)
    }
    this.#variables = new Map([
      ['backend', terms.backend ?? terms.pack.name],
      ...Object.entries(this.#source.variables),
      ...Object.entries(this.#overrides?.variables ?? {}),
    ])
    this.#lockTemplates = new Map([
      ...Object.entries(this.#source.locks),
      ...Object.entries(this.#overrides?.locks ?? {}),
    ])
    this.#jobs = new Map([
      ...Object.entries(this.#source.jobs),
      ...Object.entries(this.#overrides?.jobs ?? {}),
    ])
  }

  compile(): CompiledPack | null {
    const { pack: source, overrides } = { pack: this.#source, overrides: this.#overrides }
    this.#checkKnown('variables', source.variables)
    this.#checkKnown('locks', source.locks)
    const defaultLock = this.#defaultLock()
    const layers = [
      this.#layer(overrides?.rules_before ?? [], 'rules_before', this.overrideFaults),
      this.#layer(source.rules, 'rules', this.packFaults),
      this.#layer(overrides?.rules_after ?? [], 'rules_after', this.overrideFaults),
    ].filter((layer) => layer !== null)
    if (defaultLock === null) return null
    const quiet = overrides?.quiet ?? source.quiet
    return {
      name: this.#name,
      source,
      overrides,
      layers,
      rules: this.#rules,
      defaultLock,
      waitMs: (overrides?.wait ?? source.wait) * 1000,
      quietMs: quiet === undefined ? null : quiet * 1000,
      bodyBytesMax: overrides?.body_limit ?? source.body_limit,
      loginKeys: overrides?.login_keys ?? source.login_keys,
      callers: compileCallerPlaces(overrides?.callers ?? source.callers, this.#identify, this.#xmlPaths.soap),
      asksLogin: overrides?.asks_login ?? source.asks_login,
      xmlPaths: this.#xmlPaths,
      takesSlashes: this.#takesSlashes,
      pathPrefixes: overrides?.path_prefixes ?? source.path_prefixes,
    }
  }

  /** An override of a name that the pack does not have is a slip of the pen. */
  #checkKnown(section: 'variables' | 'locks', known: Readonly<Record<string, unknown>>): void {
    for (const name of Object.keys(this.#overrides?.[section] ?? {}))
      if (!Object.hasOwn(known, name) && (section === 'locks' ? !this.#usesLock(name) : name !== 'backend'))
        this.overrideFaults.push({
          path: [section, name],
          message: `${this.#source.policy} has no ${section === 'locks' ? 'lock template' : 'variable'} ${name}; it has ${Object.keys(known).join(', ') || 'none'}`,
          atKey: true,
        })
  }

  #usesLock(name: string): boolean {
    const own = [...(this.#overrides?.rules_before ?? []), ...(this.#overrides?.rules_after ?? [])]
    return own.some((rule) => lockList(rule).some((lock) => lock.lock === name))
  }

  #defaultLock(): RequiredLock | null {
    const overridden = this.#overrides?.default_lock
    const faults = overridden === undefined ? this.packFaults : this.overrideFaults
    const template = compileTemplate(
      overridden ?? this.#source.default_lock,
      (name) => this.#variables.get(name) ?? null,
    )
    const fault = (message: string): null => {
      faults.push({ path: ['default_lock'], message })
      return null
    }
    if (typeof template === 'string') return fault(template)
    const text = template.pieces.map((piece) => (piece.kind === 'literal' ? piece.text : '')).join('')
    const name = asLockName(text)
    return name === null ? fault(lockNameFault(text) ?? 'no lock name') : { name, mode: 'exclusive' }
  }

  #layer(rules: readonly RuleSource[], section: string, faults: PackFault[]): Layer | null {
    if (rules.length === 0) return null
    const tree: Layer = new PathTree<GrowingLeaf>(this.#source.path_case === 'fold')
    const grown = new Set<GrowingLeaf>()
    for (const [order, source] of rules.entries()) {
      const path = [section, order]
      // An operator's rule is read before the pack's whose name it takes.
      const isPacks = faults !== this.packFaults && this.#source.rules.some(({ id }) => id === source.id)
      if (isPacks || this.#ids.has(source.id) || source.id === 'default')
        faults.push({ path: [...path, 'id'], message: `there is a rule ${source.id} already` })
      else this.#ids.add(source.id)
      for (const leaf of this.#rule({ source, order, path, faults, tree })) grown.add(leaf)
    }
    for (const leaf of grown) leaf.leaf = groupByMethod(leaf)
    return tree
  }

  #rule(terms: RuleTerms): readonly GrowingLeaf[] {
    const { source, path, faults } = terms
    const before = faults.length
    const paths = this.#paths(terms)
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
      xmlPaths: this.#xmlPaths,
      soapNamespace: this.#source.soap_namespace,
    })
    const lists = new Set(facets.captures.filter((one) => one.isList === true).map((one) => one.slot))
    const restrictions = this.#restrictions(terms, slots, slot).map((one) => ({
      ...one,
      isList: lists.has(one.slot),
    }))
    for (const name of slots.keys())
      if (this.#variables.has(name))
        faults.push({ path, message: `{${name}} is a variable and a capture: rename one of them` })
    const names: Names = (name) => slots.get(name) ?? this.#variables.get(name) ?? null
    const locks = this.#locks(terms, names)
    const job = this.#job(terms, names, slots.size)
    const login = compileLogin({ source, path, faults, slots })
    if (faults.length > before) return []

    const many = new Set(locks.map((lock) => lock.eachSlot))
    const captures = facets.captures.map(
      (capture): SlottedCapture => ({ ...capture, many: capture.isList === true || many.has(capture.slot) }),
    )
    const rule: CompiledRule = {
      id: source.id,
      order: terms.order,
      effect: source.effect,
      reason: source.reason ?? null,
      body: facets.body,
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
      waitMs: (source.wait ?? this.#overrides?.wait ?? this.#source.wait) * 1000,
    }
    this.#rules.push({ source, rule })
    return this.#place(terms, rule, paths, facets.discriminator, slot)
  }

  #paths({ source, path, faults }: RuleTerms): readonly PathTemplate[] {
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
    { source, path, faults }: RuleTerms,
    slots: ReadonlyMap<string, number>,
    slot: (name: string) => number,
  ): readonly Omit<Restriction, 'isList'>[] {
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

  #locks(terms: RuleTerms, names: Names): readonly CompiledLock[] {
    const { source, path, faults } = terms
    if (source.effect !== 'mutate') {
      for (const key of ['locks', 'job', 'wait'] as const)
        if (source[key] !== undefined)
          faults.push({ path: [...path, key], message: `only a rule that mutates has ${key}`, atKey: true })
      return []
    }
    return lockList(source).flatMap((lock, index) => {
      const at = Array.isArray(source.locks) ? [...path, 'locks', index] : [...path, 'locks']
      const template = lockTemplate(lock.lock, this.#lockTemplates, names)
      if (typeof template === 'string') {
        this.#lockFault(lock.lock, template, { at, id: source.id, faults })
        return []
      }
      const each = lock.each === undefined ? -1 : names(lock.each)
      // An operator may put all objects of a kind under one lock.
      const isCoarser = this.#overrides?.locks?.[lock.lock] !== undefined
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
      const cover = coverOf(template, this.#covering)
      return [{ template, mode: lock.mode, eachSlot: each, isOptional: lock.optional ?? false, cover }]
    })
  }

  /** A template of the operator's is his to mend, and is said once, however many rules of the pack need it. */
  #lockFault(
    name: string,
    message: string,
    rule: { readonly at: readonly PropertyKey[]; readonly id: string; readonly faults: PackFault[] },
  ): void {
    if (this.#overrides?.locks?.[name] === undefined) {
      rule.faults.push({ path: rule.at, message })
      return
    }
    const isSaid = this.overrideFaults.some(({ path }) => path[0] === 'locks' && path[1] === name)
    if (!isSaid)
      this.overrideFaults.push({ path: ['locks', name], message: `${message} (rule ${rule.id} needs it)` })
  }

  #job({ source, path, faults }: RuleTerms, names: Names, idSlot: number): CompiledJob | null {
    if (source.job === undefined) return null
    const name = typeof source.job === 'string' ? source.job : source.id
    const job = typeof source.job === 'string' ? this.#jobs.get(source.job) : source.job
    if (job === undefined) {
      faults.push({
        path: [...path, 'job'],
        message: `there is no job ${name}; there are ${[...this.#jobs.keys()].join(', ') || 'none'}`,
      })
      return null
    }
    const soapPaths = this.#xmlPaths.soap
    return compileJob({ name, source: job, names, idSlot, soapPaths, path: [...path, 'job'] }, faults)
  }

  #place(
    { source, tree, path, faults }: RuleTerms,
    rule: CompiledRule,
    paths: readonly PathTemplate[],
    discriminator: Discriminator | null,
    slot: (name: string) => number,
  ): readonly GrowingLeaf[] {
    const methods = source.method === undefined ? [null] : listOf(source.method)
    for (const method of methods)
      if (method !== null && !/^[A-Z]+$/.test(method))
        faults.push({ path: [...path, 'method'], message: 'a method is written in upper case' })
    return paths.map((template) => {
      this.#takesSlashes ||= template.segments.some((part) => part.kind === 'capture' && part.slashes)
      const leaf = tree.leaf(template, () => ({
        members: [],
        leaf: { byMethod: new Map(), anyMethod: null },
      }))
      const at: RuleAtPath = { rule, pathCaptures: pathCaptures(template, slot) }
      for (const method of methods) {
        const covers = leaf.members.find(
          (earlier) =>
            (earlier.method === null || earlier.method === method) &&
            earlier.member.at.rule !== rule &&
            takesAll(earlier.member.at.rule),
        )
        if (covers !== undefined)
          faults.push({
            path,
            message: `no call reaches this rule: ${covers.member.at.rule.id} before it takes them all`,
          })
        const other = leaf.members.find(
          ({ member }) =>
            rule.body !== null && member.at.rule.body !== null && member.at.rule.body !== rule.body,
        )
        if (other !== undefined)
          faults.push({
            path,
            message: `${other.member.at.rule.id} reads bodies of this path as ${other.member.at.rule.body ?? ''}: a path has one format`,
          })
        leaf.members.push({ method, member: { at, discriminator } })
      }
      return leaf
    })
  }
}
