// Replaces `${NAME}` and `file:` by what they stand for, once, before the schema sees the values.
// Never touches `policies`: a pack has its own syntax in its strings.

import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { ConfigDocument, Path } from './document.ts'
import type { ConfigFault } from './fault.ts'

export interface ReferenceSources {
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Defaults to the file system; at most `REFERENCED_BYTES_MAX` are taken. */
  readonly readFile?: (path: string) => string
}

export interface Resolved {
  readonly value: unknown
  /** Files that the section `store` refers to. */
  readonly storeFiles: readonly string[]
  readonly faults: readonly ConfigFault[]
}

const REFERENCED_BYTES_MAX = 1_048_576
const PEM_KEYS = new Set(['cert', 'key', 'ca', 'clientCa'])
const TLS_SECTIONS = new Set(['tls', 'upstreamTls'])

export function resolveReferences(document: ConfigDocument, sources: ReferenceSources): Resolved {
  const faults: ConfigFault[] = []
  const storeFiles: string[] = []
  const readFile = sources.readFile ?? ((path: string) => readFileSync(path, 'utf8'))

  const content = (reference: string, path: Path): string => {
    const file = resolve(dirname(document.file), reference)
    if (path[0] === 'store') storeFiles.push(file)
    try {
      const text = readFile(file)
      if (text.length <= REFERENCED_BYTES_MAX) return text
      faults.push(
        document.fault(path, {
          message: `${file} is too large`,
          expected: `at most ${REFERENCED_BYTES_MAX} bytes`,
        }),
      )
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
      faults.push(
        document.fault(path, { message: `${file} cannot be read (${code})`, expected: 'a readable file' }),
      )
    }
    return ''
  }

  const scalar = (written: string, path: Path): string => {
    const text = written.replace(/\$(\$?)\{([^}]*)\}/g, (whole: string, escaping: string, name: string) => {
      if (escaping !== '') return whole.slice(1)
      const value = sources.environment[name]
      if (value === undefined)
        faults.push(
          document.fault(path, {
            message: `the environment variable ${name} is not set`,
            expected: `${name} in the gateway's environment (write $\${ for a literal \${)`,
          }),
        )
      return value ?? ''
    })
    // Only what the file itself says makes a reference to a file: a variable's value is taken as it is.
    if (written.startsWith('file:')) {
      const read = content(text.slice('file:'.length), path)
      return isPem(path) ? read : read.replace(/\r?\n$/, '')
    }
    return isPem(path) && !text.includes('-----BEGIN') ? content(text, path) : text
  }

  const walk = (value: unknown, path: Path): unknown => {
    if (path.length === 1 && path[0] === 'policies') return value
    if (typeof value === 'string') return scalar(value, path)
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]))
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, [...path, key])]))
    return value
  }

  return { value: walk(document.value, []), storeFiles, faults }
}

function isPem(path: Path): boolean {
  const key = path.at(-1)
  const section = path.at(-2)
  return (
    typeof key === 'string' &&
    typeof section === 'string' &&
    PEM_KEYS.has(key) &&
    TLS_SECTIONS.has(section) &&
    path[0] !== 'fencers'
  )
}
