// A YAML file as values with positions. The only place of this room that knows the yaml library.

import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml'
import type { ConfigFault } from './fault.ts'

export type Path = readonly PropertyKey[]

export interface ConfigDocument {
  readonly file: string
  /** Plain values, aliases and merge keys resolved. */
  readonly value: unknown
  /** The fault at the value that stands at `path`, or at the nearest thing around it that stands in the file. */
  fault(path: Path, text: FaultText): ConfigFault
  /** As `fault`, at the key and not at the value. */
  faultAtKey(path: Path, text: FaultText): ConfigFault
  /** The value at `path` as it is written in the file, before references were resolved. */
  written(path: Path): unknown
}

export interface FaultText {
  readonly message: string
  readonly expected?: string
  readonly suggestion?: string | null
}

export type DocumentResult =
  | { readonly kind: 'read'; readonly document: ConfigDocument }
  | { readonly kind: 'faulty'; readonly faults: readonly ConfigFault[] }

export function readDocument(file: string, text: string): DocumentResult {
  const lines = new LineCounter()
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true, uniqueKeys: true })
  const at = (offset: number, path: Path, fault: FaultText): ConfigFault => {
    const position = lines.linePos(offset)
    return {
      file,
      line: Math.max(1, position.line),
      column: Math.max(1, position.col),
      path: formatPath(path),
      message: fault.message,
      expected: fault.expected ?? null,
      suggestion: fault.suggestion ?? null,
    }
  }
  const complaints = [...yaml.errors, ...yaml.warnings]
  if (complaints.length > 0)
    return { kind: 'faulty', faults: complaints.map((error) => at(error.pos[0], [], complaint(error))) }

  let value: unknown
  try {
    value = yaml.toJS({ maxAliasCount: 100 })
  } catch (error) {
    // An alias to nothing, or aliases that multiply past the limit: the library tells only when it builds the values.
    const message = error instanceof Error ? error.message : String(error)
    return { kind: 'faulty', faults: [at(0, [], { message: `the YAML cannot be resolved: ${message}` })] }
  }
  const circle = circleIn(yaml)
  if (circle !== null)
    return {
      kind: 'faulty',
      faults: [
        at(startOf(circle) ?? 0, [], {
          message: `*${circle.source} stands inside of what it stands for`,
          expected: 'an alias outside of its own anchor',
        }),
      ],
    }
  return {
    kind: 'read',
    document: {
      file,
      value,
      fault: (path, fault) => at(locate(yaml, path, 'value').offset, path, fault),
      faultAtKey: (path, fault) => at(locate(yaml, path, 'key').offset, path, fault),
      written: (path) => {
        const found = locate(yaml, path, 'value')
        return found.complete && isScalar(found.node) ? found.node.value : undefined
      },
    },
  }
}

export function formatPath(path: Path): string {
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : index === 0 ? String(step) : `.${String(step)}`,
    )
    .join('')
}

function complaint(error: { readonly code: string; readonly message: string }): FaultText {
  switch (error.code) {
    case 'DUPLICATE_KEY':
      return { message: 'this key stands here twice', expected: 'each key once' }
    case 'TAB_AS_INDENT':
      return { message: 'a tab is used as indentation', expected: 'spaces' }
    case 'MULTIPLE_DOCS':
      return { message: 'a second document begins here', expected: 'one YAML document' }
    default:
      return { message: `not YAML: ${error.message.split('\n')[0] ?? error.code}` }
  }
}

/** An alias that is part of the node with its anchor: its value would have no end. Anchors come before their aliases. */
function circleIn(yaml: Document): Alias | null {
  let circle: Alias | null = null
  visit(yaml, {
    Alias(_key, alias, around) {
      const target = alias.resolve(yaml)
      if (target === undefined || !around.includes(target)) return undefined
      circle = alias
      return visit.BREAK
    },
  })
  return circle
}

interface Found {
  readonly offset: number
  readonly node: unknown
  /** False where the path ends before its last step. */
  readonly complete: boolean
}

function locate(yaml: Document, path: Path, what: 'key' | 'value'): Found {
  let node: unknown = yaml.contents
  let offset = startOf(node) ?? 0
  for (const [index, step] of path.entries()) {
    const inside = isAlias(node) ? node.resolve(yaml) : node
    if (isMap(inside)) {
      const pair = findPair(yaml, inside, String(step), 0)
      if (pair === null) return { offset, node: null, complete: false }
      node = pair.value
      const keyOffset = startOf(pair.key) ?? offset
      offset = what === 'key' && index === path.length - 1 ? keyOffset : (startOf(node) ?? keyOffset)
    } else if (isSeq(inside) && typeof step === 'number' && step < inside.items.length) {
      node = inside.items[step]
      offset = startOf(node) ?? offset
    } else return { offset, node: null, complete: false }
  }
  return { offset, node: isAlias(node) ? node.resolve(yaml) : node, complete: true }
}

interface FoundPair {
  readonly key: unknown
  readonly value: unknown
}

function findPair(yaml: Document, map: YAMLMap, name: string, depth: number): FoundPair | null {
  for (const pair of map.items) {
    const key = isScalar(pair.key) ? pair.key.value : null
    if (String(key) === name) return { key: pair.key, value: pair.value }
  }
  if (depth > 8) return null
  for (const pair of map.items) {
    if (!isPair(pair) || !isScalar(pair.key) || String(pair.key.source) !== '<<') continue
    const sources: readonly unknown[] = isSeq(pair.value) ? pair.value.items : [pair.value]
    for (const source of sources) {
      const merged = isAlias(source) ? source.resolve(yaml) : source
      const found = isMap(merged) ? findPair(yaml, merged, name, depth + 1) : null
      if (found !== null) return found
    }
  }
  return null
}

function startOf(node: unknown): number | null {
  const range = isNode(node) ? node.range : null
  return range?.[0] ?? null
}

function isNode(value: unknown): value is Node {
  return isAlias(value) || isScalar(value) || isMap(value) || isSeq(value)
}
