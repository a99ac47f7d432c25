// Reads the one configuration file and reports everything that is wrong with it at once.
// Never prints a value that may be a secret.

import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { z } from 'zod'
import { checkConfig, type Knowledge } from './check.ts'
import { type ConfigDocument, formatPath, type Path, readDocument } from './document.ts'
import { type ConfigFault, formatFault, sortFaults } from './fault.ts'
import { readInventory } from './inventory.ts'
import { nearest } from './nearest.ts'
import { type ReferenceSources, resolveReferences } from './references.ts'
import { type Config, ConfigSchema } from './schema.ts'

export interface LoadRequest extends ReferenceSources {
  readonly file: string
  /** What only other rooms can judge; null leaves those checks out. */
  readonly knowledge: Knowledge | null
}

export type LoadResult =
  | {
      readonly kind: 'loaded'
      readonly config: Config
      readonly warnings: readonly ConfigFault[]
      /** Files beside it that say how to reach the store: its certificates are renewed there. */
      readonly storeFiles: readonly string[]
    }
  | {
      readonly kind: 'faulty'
      readonly faults: readonly ConfigFault[]
      readonly warnings: readonly ConfigFault[]
    }

export function loadConfig(request: LoadRequest): LoadResult {
  const readFile = request.readFile ?? ((path: string) => readFileSync(path, 'utf8'))
  let text: string
  try {
    text = readFile(request.file)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    const message = `the configuration cannot be read (${code})`
    const fault = { file: request.file, line: 1, column: 1, path: '', message, suggestion: null }
    return { kind: 'faulty', faults: [{ ...fault, expected: 'a readable YAML file' }], warnings: [] }
  }
  const read = readDocument(request.file, text)
  if (read.kind === 'faulty') return { kind: 'faulty', faults: sortFaults(read.faults), warnings: [] }
  const { document } = read

  const resolved = resolveReferences(document, { ...request, readFile })
  const unresolved = new Set(resolved.faults.map((fault) => fault.path))
  const value = withoutExtensions(resolved.value)
  const parsed = ConfigSchema.safeParse(value)
  const shape = (parsed.error?.issues ?? [])
    .flatMap((issue) => describe(issue, document, value))
    .filter((fault) => !unresolved.has(fault.path))

  // With the misplaced keys taken away the rest can often still be judged, so that one run tells all.
  const data = parsed.success ? parsed.data : ConfigSchema.safeParse(prune(value, parsed.error)).data
  const config = data === undefined ? null : withAbsolutePaths(data, dirname(resolve(request.file)))
  const checked = config === null ? null : checkConfig(config, document, request.knowledge)

  const faults = distinct([
    ...resolved.faults,
    ...shape,
    ...(checked?.faults ?? []).filter((fault) => !unresolved.has(fault.path)),
    ...inventoryFaults(config, document, readFile),
  ])
  // Of what was taken away nobody can say what is unwise about the rest.
  const warnings = parsed.success ? sortFaults(checked?.warnings ?? []) : []
  return faults.length === 0 && config !== null
    ? { kind: 'loaded', config, warnings, storeFiles: resolved.storeFiles }
    : { kind: 'faulty', faults, warnings }
}

function describe(issue: z.core.$ZodIssue, document: ConfigDocument, value: unknown): ConfigFault[] {
  if (issue.code === 'unrecognized_keys') {
    const known = issue.message.split(' ')
    return issue.keys.map((key) =>
      document.faultAtKey([...issue.path, key], {
        message: `unknown key "${key}"${issue.path.length === 0 ? '' : ` in ${formatPath(issue.path)}`}`,
        expected: known.length === 1 ? `nothing but ${known[0]}` : `one of ${known.join(', ')}`,
        suggestion: nearest(key, known),
      }),
    )
  }
  if (issue.code === 'invalid_key') {
    const key = String(issue.path.at(-1))
    return [
      document.faultAtKey(issue.path, {
        message: `"${key}" cannot be a name`,
        expected: issue.issues[0]?.message ?? issue.message,
      }),
    ]
  }
  const found = at(value, issue.path)
  const where = issue.path.length === 0 ? 'the configuration' : formatPath(issue.path)
  const message =
    found === undefined ? `${where} is missing` : `${where} is ${shown(found, document, issue.path)}`
  return [document.fault(issue.path, { message, expected: issue.message })]
}

/** The value as the operator wrote it; never what a reference stands for, and never a likely secret. */
function shown(value: unknown, document: ConfigDocument, path: Path): string {
  if (value === null) return 'empty'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return 'a section'
  if (path.some((step) => /password|token|secret|key$/i.test(String(step))))
    return typeof value === 'string' ? 'not usable' : `a ${typeof value}`
  const text = JSON.stringify(document.written(path) ?? null).replace(/\/\/[^/@]*@/g, '//…@')
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

/** Keys such as `x-common` at the top are the operator's own: a place for anchors. */
function withoutExtensions(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('x-')))
}

function at(value: unknown, path: Path): unknown {
  let current = value
  for (const step of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, step)) return undefined
    current = Reflect.get(current, step)
  }
  return current
}

/** A copy without the keys that no schema knows. */
function prune(value: unknown, error: z.ZodError): unknown {
  const copy: unknown = structuredClone(value)
  for (const issue of error.issues) {
    if (issue.code !== 'unrecognized_keys' && issue.code !== 'invalid_key') continue
    const parent = at(copy, issue.code === 'invalid_key' ? issue.path.slice(0, -1) : issue.path)
    if (typeof parent !== 'object' || parent === null) continue
    const keys = issue.code === 'invalid_key' ? issue.path.slice(-1) : issue.keys
    for (const key of keys) Reflect.deleteProperty(parent, key)
  }
  return copy
}

function inventoryFaults(
  config: Config | null,
  document: ConfigDocument,
  readFile: (path: string) => string,
): readonly ConfigFault[] {
  const path = config?.inventory
  if (path === undefined) return []
  const expected = 'a YAML file such as: hosts: { nova-1: { address: 10.0.0.11 } }'
  try {
    const read = readInventory(readFile(path))
    if (read.hosts !== null) return []
    return [document.fault(['inventory'], { message: `${path} is no inventory: ${read.fault}`, expected })]
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return [document.fault(['inventory'], { message: `${path} cannot be read (${code})`, expected })]
  }
}

function withAbsolutePaths(config: Config, directory: string): Config {
  const { store } = config
  return {
    ...config,
    store: store.kind === 'embedded' ? { ...store, path: resolve(directory, store.path) } : store,
    state: resolve(directory, config.state),
    ...(config.inventory === undefined ? {} : { inventory: resolve(directory, config.inventory) }),
  }
}

function distinct(faults: readonly ConfigFault[]): readonly ConfigFault[] {
  return sortFaults([...new Map(faults.map((fault) => [formatFault(fault), fault])).values()])
}
