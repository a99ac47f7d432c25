// All policies that a configuration can name: the built-in packs, and those that the configuration adds or bends.

import type { Policy } from '../spi/policy.ts'
import { type CompileTerms, compilePack } from './compile.ts'
import type { CompiledPack } from './compiled-pack.ts'
import { makePolicy } from './engine.ts'
import { type ExampleFailure, failedExamples } from './example.ts'
import type { Checked, PackFault, PolicyFault } from './fault.ts'
import { joinPolicies } from './joined-policy.ts'
import { type Pack, readOverrides, readPackValue } from './pack.ts'
import { strangersBeside } from './strangers-beside.ts'

/**
 * Compiles a pack, with overrides where there are any. Faults of the pack itself carry their place in its file;
 * faults of the overrides are put at `overrides` with the path below them.
 */
export function compilePolicy(terms: CompileTerms): Checked<Policy, PolicyFault> {
  return policyOf(terms, new CompiledOnce())
}

type Compiled = ReturnType<typeof compilePack>

/** Compiling costs milliseconds: what is met again, such as one policy beside another at several paths, is not compiled again. */
class CompiledOnce {
  readonly #packs = new Map<CompileTerms, Compiled>()
  readonly #policies = new Map<CompileTerms, Policy>()

  /** Alone, without those beside it. */
  pack(terms: CompileTerms): Compiled {
    const known = this.#packs.get(terms)
    if (known !== undefined) return known
    const compiled = compilePack(terms)
    this.#packs.set(terms, compiled)
    return compiled
  }

  sound(terms: CompileTerms): CompiledPack | null {
    const compiled = this.pack(terms)
    return compiled.ok ? compiled.value : null
  }

  policy(terms: CompileTerms, pack: CompiledPack): Policy {
    const known = this.#policies.get(terms)
    if (known !== undefined) return known
    const policy = makePolicy(pack)
    this.#policies.set(terms, policy)
    return policy
  }
}

function policyOf(terms: CompileTerms, once: CompiledOnce): Checked<Policy, PolicyFault> {
  const compiled = once.pack(terms)
  if (compiled.ok) {
    const beside = new Map<string, Policy>()
    for (const [part, other] of terms.beside ?? []) {
      const policy = policyOf(other, once)
      if (!policy.ok) return policy
      beside.set(part, policy.value)
    }
    return { ok: true, value: joinPolicies(once.policy(terms, compiled.value), beside) }
  }
  return {
    ok: false,
    faults: [
      ...terms.pack.place(compiled.faults.pack),
      ...compiled.faults.overrides.map((fault) => ({
        file: `overrides of ${terms.pack.name}`,
        line: 1,
        column: 1,
        path: fault.path.map(String).join('.'),
        message: fault.message,
      })),
    ],
  }
}

/** What the configuration room asks of the policies (its `PolicyKnowledge`), and what is built from it afterwards. */
export interface PolicyCatalogue {
  readonly names: readonly string[]
  /** In the configuration's own packs; paths begin with the pack's name there. */
  readonly faults: readonly PackFault[]
  quietMs(name: string): number | null
  /** The pack and overrides that the name stands for; null where nothing usable has it. */
  terms(name: string): CompileTerms | null
  /** The policy as one backend uses it. Null where nothing usable has the name. */
  policy(name: string, backend: string): Policy | null
}

/** `configured` is `policies:` of the configuration: packs, or `{extends: …}`, by name. */
export function makeCatalogue(
  builtIn: ReadonlyMap<string, Pack>,
  configured: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
): PolicyCatalogue {
  const known = new Map<string, CompileTerms>([...builtIn].map(([name, pack]) => [name, { pack }]))
  const faults: PackFault[] = []
  const once = new CompiledOnce()
  // Those that have others beside them come last: these may be configured, too.
  const [alone, joined] = [false, true].map((wanted) =>
    Object.entries(configured).filter(([, value]) => Object.hasOwn(value, 'beside') === wanted),
  )
  for (const [name, value] of [...(alone ?? []), ...(joined ?? [])]) {
    const terms = configuredTerms(name, value, {
      builtIn,
      known,
      configured: new Set(Object.keys(configured)),
    })
    if (!terms.ok) {
      faults.push(...below(name, terms.faults))
      continue
    }
    const compiled = once.pack(terms.value)
    if (!compiled.ok) faults.push(...below(name, [...compiled.faults.overrides, ...compiled.faults.pack]))
    else {
      const policy = policyOf(terms.value, once)
      const examples =
        terms.value.overrides === undefined
          ? compiled.value.source.examples
          : (terms.value.overrides.examples ?? [])
      if (policy.ok) faults.push(...below(name, failedExamples(policy.value, examples).map(exampleFault)))
      faults.push(
        ...below(
          name,
          strangersBeside(terms.value, (one) => once.sound(one)),
        ),
      )
    }
    known.set(name, terms.value)
  }
  return {
    names: [...known.keys()],
    faults,
    quietMs: (name) => {
      const terms = known.get(name)
      const policy = terms === undefined ? null : policyOf(terms, once)
      return policy?.ok === true ? policy.value.quietMs : null
    },
    terms: (name) => known.get(name) ?? null,
    policy: (name, backend) => {
      const terms = known.get(name)
      const policy = terms === undefined ? null : compilePolicy({ ...terms, name, backend })
      return policy?.ok === true ? policy.value : null
    },
  }
}

function configuredTerms(
  name: string,
  value: Readonly<Record<string, unknown>>,
  {
    builtIn,
    known,
    configured,
  }: {
    readonly builtIn: ReadonlyMap<string, Pack>
    readonly known: ReadonlyMap<string, CompileTerms>
    /** Also those that have faults, or come later. */
    readonly configured: ReadonlySet<string>
  },
): Checked<CompileTerms, PackFault> {
  if (!Object.hasOwn(value, 'extends')) {
    const pack = readPackValue(name, value)
    return pack.ok ? { ok: true, value: { pack: pack.value } } : pack
  }
  const overrides = readOverrides(value)
  if (!overrides.ok) return overrides
  const pack = builtIn.get(overrides.value.extends)
  if (pack === undefined)
    return {
      ok: false,
      faults: [
        {
          path: ['extends'],
          message: configured.has(overrides.value.extends)
            ? `${overrides.value.extends} is itself a policy of this configuration: extend one of ${[...builtIn.keys()].join(', ')}`
            : `there is no policy ${overrides.value.extends}; there are ${[...builtIn.keys()].join(', ')}`,
        },
      ],
    }
  const beside = termsBeside(overrides.value.beside ?? {}, known)
  if (!beside.ok) return beside
  return { ok: true, value: { pack, overrides: overrides.value, beside: beside.value } }
}

function termsBeside(
  written: Readonly<Record<string, readonly string[]>>,
  known: ReadonlyMap<string, CompileTerms>,
): Checked<ReadonlyMap<string, CompileTerms>, PackFault> {
  const beside = new Map<string, CompileTerms>()
  const faults: PackFault[] = []
  for (const [name, parts] of Object.entries(written)) {
    const terms = known.get(name)
    const fault = (message: string): void => {
      faults.push({ path: ['beside', name], message, atKey: true })
    }
    if (terms === undefined) {
      fault(`there is no policy ${name}; there are ${[...known.keys()].join(', ')}`)
      continue
    }
    if ((terms.beside?.size ?? 0) > 0) {
      fault(`${name} has others beside it itself: name them here`)
      continue
    }
    const named = { ...terms, name }
    for (const part of parts) {
      const key = part.slice(1).toLowerCase()
      if (beside.has(key)) fault(`${part} is given to two policies`)
      beside.set(key, named)
    }
  }
  return faults.length === 0 ? { ok: true, value: beside } : { ok: false, faults }
}

function exampleFault(failure: ExampleFailure): PackFault {
  return { path: ['examples', failure.index], message: failure.message }
}

function below(name: string, faults: readonly PackFault[]): readonly PackFault[] {
  return faults.map((fault) => ({ ...fault, path: [name, ...fault.path] }))
}
