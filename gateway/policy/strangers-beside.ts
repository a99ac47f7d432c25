// What policies that stand beside one another in front of one backend must have in common: its APIs change the same things, so
// what keeps the others away has to have the same name in all of them.

import type { CompileTerms } from './compile.ts'
import type { CompiledPack } from './compiled-pack.ts'
import type { PackFault } from './fault.ts'

/** `compiled`: null for one with faults of its own, which are said elsewhere. */
export function strangersBeside(
  terms: CompileTerms,
  compiled: (terms: CompileTerms) => CompiledPack | null,
): readonly PackFault[] {
  const main = compiled(terms)
  return [...new Set(terms.beside?.values())].flatMap((other) => {
    const beside = compiled(other)
    const difference = main === null || beside === null ? null : differenceOf(terms, main, other, beside)
    if (difference === null) return []
    const name = nameOf(other)
    return [
      {
        path: ['beside', name],
        message: `${difference}: give both the same, in a policy of your own that extends ${other.pack.name}`,
        atKey: true,
      },
    ]
  })
}

function differenceOf(
  terms: CompileTerms,
  main: CompiledPack,
  other: CompileTerms,
  beside: CompiledPack,
): string | null {
  const name = nameOf(other)
  if (beside.defaultLock.name !== main.defaultLock.name)
    return `the default lock of ${name} is ${beside.defaultLock.name}, not ${main.defaultLock.name}`
  if (foldersOf(other) !== foldersOf(terms)) return `${name} declares other folders (covering)`
  const locks = lockForms(terms)
  for (const [lock, form] of lockForms(other)) {
    const own = locks.get(lock)
    if (own !== undefined && own !== form) return `the lock ${lock} of ${name} is ${form}, not ${own}`
  }
  return null
}

function nameOf({ name, pack }: CompileTerms): string {
  return name ?? pack.name
}

function foldersOf({ pack, overrides }: CompileTerms): string {
  return JSON.stringify((overrides?.covering ?? pack.source.covering).toSorted())
}

/** By name: the templates with their variables filled in. The filter `id` spells what it takes as it stands, but for case. */
function lockForms({ pack: { source }, overrides }: CompileTerms): ReadonlyMap<string, string> {
  const variables = new Map(Object.entries({ ...source.variables, ...overrides?.variables }))
  const forms = Object.entries({ ...source.locks, ...overrides?.locks }).map(
    ([name, written]) =>
      [
        name,
        written
          .replaceAll(/\{([a-z][a-z0-9_]*)\}/g, (whole, variable: string) => variables.get(variable) ?? whole)
          .replaceAll(/\|id(?=[|}])/g, ''),
      ] as const,
  )
  return new Map(forms)
}
