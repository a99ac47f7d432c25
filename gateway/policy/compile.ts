// From a pack (and an operator's overrides) to rules in their trees. Finds every fault before it gives up.

import type { CallerWay } from '../core/caller.ts'
import { asLockName, lockNameFault } from '../core/names.ts'
import type { RequiredLock } from '../spi/policy.ts'
import { compileCallerPlaces } from './caller-places.ts'
import type { CompiledPack, Layer } from './compiled-pack.ts'
import { type FolderPattern, readFolderPattern } from './covering.ts'
import type { PackFault } from './fault.ts'
import { type GrowingLeaf, groupByMethod } from './leaf.ts'
import { lockList } from './lock-list.ts'
import type { Pack } from './pack.ts'
import { PathTree } from './path-tree.ts'
import type { CompiledRule } from './rule.ts'
import { compileRule, type PackTerms } from './rule-compiler.ts'
import { placeRule } from './rule-placing.ts'
import type { Overrides, PackSource, RuleSource } from './schema.ts'
import { SoapPaths } from './soap-paths.ts'
import { compileTemplate } from './template.ts'

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

class Compiler {
  readonly packFaults: PackFault[] = []
  readonly overrideFaults: PackFault[] = []
  readonly #name: string
  readonly #identify: readonly CallerWay[]
  readonly #terms: PackTerms
  #takesSlashes = false
  readonly #ids = new Set<string>()
  readonly #rules: { source: RuleSource; rule: CompiledRule }[] = []

  constructor(terms: CompileTerms) {
    const { source } = terms.pack
    const overrides = terms.overrides ?? null
    this.#name = terms.name ?? terms.pack.name
    this.#identify = terms.identify ?? []
    this.#terms = {
      source,
      overrides,
      overrideFaults: this.overrideFaults,
      variables: new Map([
        ['backend', terms.backend ?? terms.pack.name],
        ...Object.entries(source.variables),
        ...Object.entries(overrides?.variables ?? {}),
      ]),
      lockTemplates: new Map([...Object.entries(source.locks), ...Object.entries(overrides?.locks ?? {})]),
      jobs: new Map([...Object.entries(source.jobs), ...Object.entries(overrides?.jobs ?? {})]),
      covering: this.#covering(source, overrides),
      xmlPaths: { soap: new SoapPaths(), zapi: new SoapPaths() },
    }
  }

  #covering(source: PackSource, overrides: Overrides | null): readonly FolderPattern[] {
    const faults = overrides?.covering === undefined ? this.packFaults : this.overrideFaults
    return (overrides?.covering ?? source.covering).flatMap((written, index) => {
      const pattern = readFolderPattern(written)
      if (typeof pattern !== 'string') return [pattern]
      faults.push({ path: ['covering', index], message: pattern })
      return []
    })
  }

  compile(): CompiledPack | null {
    const { source, overrides, xmlPaths } = this.#terms
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
      callers: compileCallerPlaces(overrides?.callers ?? source.callers, this.#identify, xmlPaths.soap),
      asksLogin: overrides?.asks_login ?? source.asks_login,
      xmlPaths,
      takesSlashes: this.#takesSlashes,
      pathPrefixes: overrides?.path_prefixes ?? source.path_prefixes,
    }
  }

  /** An override of a name that the pack does not have is a slip of the pen. */
  #checkKnown(section: 'variables' | 'locks', known: Readonly<Record<string, unknown>>): void {
    for (const name of Object.keys(this.#terms.overrides?.[section] ?? {}))
      if (!Object.hasOwn(known, name) && (section === 'locks' ? !this.#usesLock(name) : name !== 'backend'))
        this.overrideFaults.push({
          path: [section, name],
          message: `${this.#terms.source.policy} has no ${section === 'locks' ? 'lock template' : 'variable'} ${name}; it has ${Object.keys(known).join(', ') || 'none'}`,
          atKey: true,
        })
  }

  #usesLock(name: string): boolean {
    const own = [
      ...(this.#terms.overrides?.rules_before ?? []),
      ...(this.#terms.overrides?.rules_after ?? []),
    ]
    return own.some((rule) => lockList(rule).some((lock) => lock.lock === name))
  }

  #defaultLock(): RequiredLock | null {
    const overridden = this.#terms.overrides?.default_lock
    const faults = overridden === undefined ? this.packFaults : this.overrideFaults
    const template = compileTemplate(
      overridden ?? this.#terms.source.default_lock,
      (name) => this.#terms.variables.get(name) ?? null,
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
    const tree: Layer = new PathTree<GrowingLeaf>(this.#terms.source.path_case === 'fold')
    const grown = new Set<GrowingLeaf>()
    for (const [order, source] of rules.entries()) {
      const path = [section, order]
      // An operator's rule is read before the pack's whose name it takes.
      const isPacks =
        faults !== this.packFaults && this.#terms.source.rules.some(({ id }) => id === source.id)
      if (isPacks || this.#ids.has(source.id) || source.id === 'default')
        faults.push({ path: [...path, 'id'], message: `there is a rule ${source.id} already` })
      else this.#ids.add(source.id)
      const terms = { source, order, path, faults }
      const compiled = compileRule(this.#terms, terms)
      if (compiled === null) continue
      this.#rules.push({ source, rule: compiled.rule })
      this.#takesSlashes ||= compiled.paths.some(({ segments }) =>
        segments.some((part) => part.kind === 'capture' && part.slashes),
      )
      for (const leaf of placeRule(tree, compiled, terms)) grown.add(leaf)
    }
    for (const leaf of grown) leaf.leaf = groupByMethod(leaf)
    return tree
  }
}
