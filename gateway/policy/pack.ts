// From YAML text to a pack: positions for every fault, all faults at once. The only place here that knows yaml.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import type { z } from 'zod'
import { type Checked, formatFaultPath, type PackFault, type PolicyFault } from './fault.ts'
import { type Overrides, overridesSchema, type PackSource, packSchema } from './schema.ts'

export interface Pack {
  readonly name: string
  readonly file: string
  readonly source: PackSource
  /** Gives faults found later, such as by the compiler, their place in the file. */
  place(faults: readonly PackFault[]): readonly PolicyFault[]
}

/** Reads one pack. `file` is for faults, and its name is the policy's name. */
export function loadPack(text: string, file: string): Checked<Pack, PolicyFault> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const at = (offset: number, path: readonly PropertyKey[], message: string): PolicyFault => {
    const position = lines.linePos(offset)
    return {
      file,
      line: Math.max(1, position.line),
      column: Math.max(1, position.col),
      path: formatFaultPath(path),
      message,
    }
  }
  const place = (faults: readonly PackFault[]): readonly PolicyFault[] =>
    faults
      .map((fault) => at(offsetOf(document.contents, fault), fault.path, fault.message))
      .toSorted((a, b) => a.line - b.line || a.column - b.column)

  const complaints = [...document.errors, ...document.warnings]
  if (complaints.length > 0)
    return {
      ok: false,
      faults: complaints.map((error) => at(error.pos[0], [], `not YAML: ${firstLine(error.message)}`)),
    }
  let value: unknown
  try {
    // A pack says the path of its rules once, and may have hundreds of them.
    value = document.toJS({ maxAliasCount: 500 })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { ok: false, faults: [at(0, [], `the YAML cannot be resolved: ${message}`)] }
  }
  const parsed = packSchema.safeParse(value)
  if (!parsed.success) return { ok: false, faults: place(schemaFaults(parsed.error)) }
  const name = (/([^/\\]*)\.ya?ml$/.exec(file)?.[1] ?? file).toLowerCase()
  if (parsed.data.policy !== name)
    return {
      ok: false,
      faults: place([
        { path: ['policy'], message: `the policy of this file must be named ${name}, as the file is` },
      ]),
    }
  return { ok: true, value: { name, file, source: parsed.data, place } }
}

/** Reads all packs of a folder, in the order of their names. The faults are those of all files. */
export function loadPolicies(folder: string): {
  readonly packs: ReadonlyMap<string, Pack>
  readonly faults: readonly PolicyFault[]
} {
  const packs = new Map<string, Pack>()
  const faults: PolicyFault[] = []
  const files = readdirSync(folder).filter((file) => /\.ya?ml$/.test(file))
  const nameOf = (file: string): string => file.slice(0, file.lastIndexOf('.'))
  for (const file of files.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))) {
    const path = join(folder, file)
    const loaded = loadPack(readFileSync(path, 'utf8'), path)
    if (loaded.ok) packs.set(loaded.value.name, loaded.value)
    else faults.push(...loaded.faults)
  }
  return { packs, faults }
}

/** Checks the shape of `{extends: …}`; the compiler checks what it means. */
export function readOverrides(value: unknown): Checked<Overrides, PackFault> {
  const parsed = overridesSchema.safeParse(value)
  return parsed.success ? { ok: true, value: parsed.data } : { ok: false, faults: schemaFaults(parsed.error) }
}

/** Checks the shape of a whole pack that stands in the configuration under its name. */
export function readPackValue(name: string, value: unknown): Checked<Pack, PackFault> {
  const named = typeof value === 'object' && value !== null ? { policy: name, ...value } : value
  const parsed = packSchema.safeParse(named)
  if (!parsed.success) return { ok: false, faults: schemaFaults(parsed.error) }
  const place = (faults: readonly PackFault[]): readonly PolicyFault[] =>
    faults.map((fault) => ({
      file: name,
      line: 1,
      column: 1,
      path: formatFaultPath(fault.path),
      message: fault.message,
    }))
  return { ok: true, value: { name, file: name, source: parsed.data, place } }
}

type Issue = z.core.$ZodIssue

function schemaFaults(error: z.ZodError): readonly PackFault[] {
  return error.issues.flatMap((issue) => issueFaults(issue, []))
}

function issueFaults(issue: Issue, above: readonly PropertyKey[]): readonly PackFault[] {
  const path = [...above, ...issue.path]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({
      path: [...path, key],
      message: `there is no key ${JSON.stringify(key)} here`,
      atKey: true,
    }))
  if (issue.code === 'invalid_union') {
    // The branch that came furthest is the one that was meant: a wrong type at the top tells nothing.
    const inner = issue.errors
      .filter((branch) => !branch.every((fault) => fault.code === 'invalid_type' && fault.path.length === 0))
      .map((branch) => branch.flatMap((fault) => issueFaults(fault, path)))
    const [best] = inner.toSorted((a, b) => a.length - b.length)
    if (best !== undefined && best.length > 0) return best
  }
  return [{ path, message: inWords(issue) }]
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  record: 'a map of names and values',
  object: 'a map of names and values',
}

/** The library's own words are for programmers. A pack that says its own (`error`) keeps them. */
function inWords(issue: Issue): string {
  if (!issue.message.startsWith('Invalid ')) return issue.message
  if (issue.code === 'invalid_value') return `expected one of ${issue.values.map(String).join(', ')}`
  if (issue.code !== 'invalid_type') return issue.message
  const wanted = TYPES[issue.expected] ?? issue.expected
  const key = issue.path.at(-1)
  const isMissing = issue.message.endsWith('received undefined') && typeof key === 'string'
  return isMissing ? `${key} is missing: expected ${wanted}` : `expected ${wanted}`
}

function offsetOf(contents: unknown, fault: PackFault): number {
  let node: unknown = contents
  let offset = startOf(node) ?? 0
  for (const [index, step] of fault.path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step))
      if (pair === undefined) return offset
      const key = startOf(pair.key) ?? offset
      node = pair.value
      offset = fault.atKey === true && index === fault.path.length - 1 ? key : (startOf(node) ?? key)
    } else if (isSeq(node) && typeof step === 'number' && step < node.items.length) {
      node = node.items[step]
      offset = startOf(node) ?? offset
    } else return offset
  }
  return offset
}

function startOf(node: unknown): number | null {
  const range = isNode(node) ? node.range : null
  return range?.[0] ?? null
}

function isNode(value: unknown): value is Node {
  return isScalar(value) || isMap(value) || isSeq(value)
}

function firstLine(message: string): string {
  return message.split('\n')[0] ?? message
}
