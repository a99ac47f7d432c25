// The rules of the house as pure functions over {path → text}: no rule reads a disk, so each can be tried on a planted fault.

import { posix } from 'node:path'
import { AVAILABILITY, CLOSED, FOREIGN, LINES_MAX, LONG_FILES, ROOMS, type Room, SET_UP } from './rooms.ts'
import { importsOf, memberCallsOf, scanTokens } from './scan.ts'

export type Tree = ReadonlyMap<string, string>

export interface Violation {
  readonly rule: string
  readonly path: string
  readonly line: number
  readonly message: string
}

type Rule = (tree: Tree) => readonly Violation[]

const isTypeScript = (path: string): boolean => path.endsWith('.ts')
const isShipped = (path: string): boolean => /^(gateway|fencers)\//.test(path)
const isUnder = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`)

export function roomOf(path: string): Room | null {
  const rooms = ROOMS.filter((room) => isUnder(path, room.folder))
  return rooms.sort((a, b) => b.folder.length - a.folder.length)[0] ?? null
}

function packageOf(specifier: string): string {
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? specifier)
}

function foreignEntry(name: string): string | null {
  if (name in FOREIGN) return name
  const scope = `${name.split('/')[0]}/*`
  return name.startsWith('@') && scope in FOREIGN ? scope : null
}

function localImportFault(path: string, specifier: string, room: Room, tree: Tree): string | null {
  if (!/\.(ts|mjs|json)$/.test(specifier)) return `imports ${specifier} without its ending`
  const target = posix.join(posix.dirname(path), specifier)
  if (!tree.has(target)) return `imports ${target}, which is not there`
  const owner = roomOf(target)
  if (owner === room) return null
  const allowed = room.imports.some((name) =>
    name.endsWith('/**') ? isUnder(target, name.slice(0, -3)) : owner?.folder === name,
  )
  return allowed ? null : `${room.folder} may not import ${target}`
}

/** What comes along with another package may be gone, or another version, tomorrow. */
function isDeclared(name: string, tree: Tree): boolean {
  const manifest = tree.get('package.json')
  if (manifest === undefined) return true
  const { dependencies }: { dependencies?: Record<string, string> } = JSON.parse(manifest)
  return dependencies !== undefined && name in dependencies
}

/** A test imports any library; one that is set up in one place comes from there. */
function testImportFault(path: string, specifier: string): string | null {
  const home = SET_UP[specifier]
  return home === undefined || home === path ? null : `imports ${specifier}, which is set up in ${home}`
}

function foreignImportFault(path: string, specifier: string, room: Room, tree: Tree): string | null {
  if (room.folder === 'test') return testImportFault(path, specifier)
  const builtin = specifier.startsWith('node:')
  const name = builtin ? specifier : packageOf(specifier)
  const entry = foreignEntry(name)
  if (entry !== null) {
    const folders = FOREIGN[entry] ?? []
    const open = folders.some((folder) => isUnder(path, folder))
    const closed = (CLOSED[entry] ?? []).some((folder) => isUnder(path, folder))
    if (open && !closed && !builtin && !isDeclared(name, tree)) {
      return `imports ${name}, which package.json does not name among its dependencies`
    }
    return open && !closed ? null : `${room.folder} may not import ${name}: it lives in ${folders.join(', ')}`
  }
  if (!builtin) return `imports ${name}, which has no room`
  return room.node ? null : `${room.folder} may not import ${specifier}: it touches no I/O`
}

const importDirection: Rule = (tree) => {
  const violations: Violation[] = []
  for (const [path, text] of tree) {
    if (!isTypeScript(path)) continue
    const room = roomOf(path)
    if (room === null) continue
    for (const { specifier, line } of importsOf(scanTokens(text))) {
      const local = specifier.startsWith('.')
      const fault = local
        ? localImportFault(path, specifier, room, tree)
        : foreignImportFault(path, specifier, room, tree)
      if (fault !== null) violations.push({ rule: 'import', path, line, message: fault })
    }
  }
  return violations
}

const kebabCase = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/
const document = /^[A-Z]+\.md$/
// Names that a tool or a language has chosen.
const givenNames = /^(LICENSE|Containerfile|__init__\.py|py\.typed)$/
const bannedWords = /^(utils?|helpers?|commons?|managers?|base)$/

const names: Rule = (tree) => {
  const violations: Violation[] = []
  for (const path of tree.keys()) {
    for (const part of path.split('/')) {
      const snake = path.startsWith('clients/python/') && /^[a-z0-9_]+(\.[a-z]+)?$/.test(part)
      if (!kebabCase.test(part) && !document.test(part) && !givenNames.test(part) && !snake) {
        violations.push({ rule: 'name', path, line: 0, message: `"${part}" is not kebab-case` })
      }
      const banned = part.split(/[-._]/).find((word) => bannedWords.test(word))
      if (banned !== undefined) {
        violations.push({ rule: 'name', path, line: 0, message: `"${banned}" says nothing: name what it is` })
      }
    }
  }
  return violations
}

const fileLength: Rule = (tree) => {
  const violations: Violation[] = []
  for (const [path, text] of tree) {
    if (!/\.(ts|mts|mjs|js|sh|py)$/.test(path)) continue
    const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
    const max = path.startsWith('test/') ? LINES_MAX.test : LINES_MAX.shipped
    if (lines > max && !(path in LONG_FILES)) {
      violations.push({ rule: 'length', path, line: max, message: `${lines} lines, more than ${max}` })
    }
  }
  for (const path of Object.keys(LONG_FILES)) {
    if (!tree.has(path))
      violations.push({ rule: 'length', path, line: 0, message: 'is excused but not there' })
  }
  return violations
}

const headComment: Rule = (tree) =>
  [...tree]
    .filter(([path, text]) => isShipped(path) && isTypeScript(path) && !/^(#!.*\n)?\s*\/[/*]/.test(text))
    .map(([path]) => ({
      rule: 'head-comment',
      path,
      line: 1,
      message: 'says nowhere what it is for and what it must never do',
    }))

// Written in two halves, so that this file does not break its own rule.
const textFaults: readonly { readonly rule: string; readonly pattern: RegExp; readonly message: string }[] = [
  {
    rule: 'machine-path',
    pattern: /(?<![\w.}-])\/(?:root|home\/\w+|Users\/\w+|work\/\w+)\/\w/,
    message: 'names a path of one machine',
  },
  {
    rule: 'registry-host',
    pattern: /\b(?:registry|npm)\.[a-z0-9-]+\.[a-z]{2,}\b|(?:^|:)registry\s*=\s*http/,
    message: 'names a package registry',
  },
  { rule: 'to-do', pattern: /\b(?:TO(?:)DO|FIX(?:)ME|X{3})\b/, message: 'leaves work behind' },
]

const texts: Rule = (tree) => {
  const violations: Violation[] = []
  for (const [path, text] of tree) {
    if (path.startsWith('test/tidy/')) continue
    text.split('\n').forEach((content, index) => {
      for (const { rule, pattern, message } of textFaults) {
        if (pattern.test(content)) violations.push({ rule, path, line: index + 1, message })
      }
    })
  }
  return violations
}

const skippedTests: Rule = (tree) => {
  const violations: Violation[] = []
  const marks = /^(only|skip|skipIf|runIf|todo|fails)$/
  for (const [path, text] of tree) {
    if (!path.startsWith('test/') || !isTypeScript(path) || path === AVAILABILITY.file) continue
    for (const { name, line, argumentNames } of memberCallsOf(scanTokens(text))) {
      if (!marks.test(name)) continue
      if (name === 'skipIf' && argumentNames.some((asked) => AVAILABILITY.name.test(asked))) continue
      const message = `.${name} for another reason than a missing program`
      violations.push({ rule: 'skipped-test', path, line, message })
    }
  }
  return violations
}

function dependenciesIn(text: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed !== 'object' || parsed === null) return found
  for (const [key, group] of Object.entries(parsed)) {
    if (!/^(dev|optional)?dependencies$/i.test(key) || typeof group !== 'object' || group === null) continue
    for (const [name, version] of Object.entries(group)) found[name] = String(version)
  }
  return found
}

const manifests: Rule = (tree) => {
  const violations: Violation[] = []
  for (const [path, text] of tree) {
    if (posix.basename(path) !== 'package.json') continue
    const declared = dependenciesIn(text)
    for (const [name, version] of Object.entries(declared)) {
      if (/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) continue
      violations.push({ rule: 'exact-version', path, line: 0, message: `${name} is "${version}"` })
    }
    const lockPath = posix.join(posix.dirname(path), 'package-lock.json')
    const lockText = tree.get(lockPath)
    if (lockText === undefined) continue
    if (/"resolved"\s*:/.test(lockText)) {
      violations.push({ rule: 'lockfile', path: lockPath, line: 0, message: 'names where it was resolved' })
    }
    const lock: { packages?: Record<string, Record<string, unknown>> } = JSON.parse(lockText)
    const locked = dependenciesIn(JSON.stringify(lock.packages?.[''] ?? {}))
    for (const name of new Set([...Object.keys(declared), ...Object.keys(locked)])) {
      if (declared[name] === locked[name]) continue
      const message = `${name}: package.json says ${declared[name]}, the lockfile ${locked[name]}`
      violations.push({ rule: 'lockfile', path: lockPath, line: 0, message })
    }
  }
  return violations
}

const rules: readonly Rule[] = [
  importDirection,
  names,
  fileLength,
  headComment,
  texts,
  skippedTests,
  manifests,
]

export function findViolations(tree: Tree): readonly Violation[] {
  return rules.flatMap((rule) => rule(tree))
}

export function formatViolation({ rule, path, line, message }: Violation): string {
  return `${path}${line > 0 ? `:${line}` : ''}: ${message} (${rule})`
}
