// All policies that a configuration can name: the built-in packs, and those that the configuration adds or bends.

import type { Policy } from '../spi/policy.ts'
import { type CompileTerms, compilePack } from './compile.ts'
import { makePolicy } from './engine.ts'
import { type ExampleFailure, failedExamples } from './example.ts'
import type { Checked, PackFault, PolicyFault } from './fault.ts'
import { type Pack, readOverrides, readPackValue } from './pack.ts'

/**
 * Compiles a pack, with overrides where there are any. Faults of the pack itself carry their place in its file;
 * faults of the overrides are put at `overrides` with the path below them.
 */
export function compilePolicy(terms: CompileTerms): Checked<Policy, PolicyFault> {
  const compiled = compilePack(terms)
  if (compiled.ok) return { ok: true, value: makePolicy(compiled.value) }
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
  for (const [name, value] of Object.entries(configured)) {
    const terms = configuredTerms(name, value, builtIn)
    if (!terms.ok) {
      faults.push(...below(name, terms.faults))
      continue
    }
    const compiled = compilePack(terms.value)
    if (!compiled.ok) faults.push(...below(name, [...compiled.faults.overrides, ...compiled.faults.pack]))
    else {
      const policy = makePolicy(compiled.value)
      const examples =
        terms.value.overrides === undefined
          ? compiled.value.source.examples
          : (terms.value.overrides.examples ?? [])
      faults.push(...below(name, failedExamples(policy, examples).map(exampleFault)))
    }
    known.set(name, terms.value)
  }
  return {
    names: [...known.keys()],
    faults,
    quietMs: (name) => {
      const terms = known.get(name)
      const quiet = terms?.overrides?.quiet ?? terms?.pack.source.quiet
      return quiet === undefined ? null : quiet * 1000
    },
    terms: (name) => known.get(name) ?? null,
    policy: (name, backend) => {
      const terms = known.get(name)
      const compiled = terms === undefined ? null : compilePack({ ...terms, name, backend })
      return compiled?.ok === true ? makePolicy(compiled.value) : null
    },
  }
}

function configuredTerms(
  name: string,
  value: Readonly<Record<string, unknown>>,
  builtIn: ReadonlyMap<string, Pack>,
): Checked<CompileTerms, PackFault> {
  if (!Object.hasOwn(value, 'extends')) {
    const pack = readPackValue(name, value)
    return pack.ok ? { ok: true, value: { pack: pack.value } } : pack
  }
  const overrides = readOverrides(value)
  if (!overrides.ok) return overrides
  const pack = builtIn.get(overrides.value.extends)
  return pack === undefined
    ? {
        ok: false,
        faults: [
          {
            path: ['extends'],
            message: `there is no policy ${overrides.value.extends}; there are ${[...builtIn.keys()].join(', ')}`,
          },
        ],
      }
    : { ok: true, value: { pack, overrides: overrides.value } }
}

function exampleFault(failure: ExampleFailure): PackFault {
  return { path: ['examples', failure.index], message: failure.message }
}

function below(name: string, faults: readonly PackFault[]): readonly PackFault[] {
  return faults.map((fault) => ({ ...fault, path: [name, ...fault.path] }))
}
