// Locks on folders, each of which covers all that lies below it. A path is locked at one folder, the deepest that is declared for
// it, and every folder above that is needed shared: so whoever moves or deletes a folder as a whole, which needs it exclusive,
// and whoever works somewhere below it have one lock in common, which cannot be both. Nothing of this is left to the
// locks themselves: to them it is several locks with a mode each.

import type { Template } from './template.ts'

/** Filters whose value is a path to be covered, and how many parts of it stand before the first folder. */
const COVERED_FILTERS: ReadonlyMap<string, number> = new Map([
  ['datastore-covering', 1],
  ['covering', 0],
])

const DEPTH_MAX = 8

/** One declared depth: a pattern for each part of a path, from the top. */
export type FolderPattern = readonly RegExp[]

export interface Cover {
  /** Parts of the lock's name before the first folder. */
  readonly base: number
  readonly patterns: readonly FolderPattern[]
}

/** `vmware_base/*`, with `*` for any run of characters of one part; or what is wrong with it. */
export function readFolderPattern(written: string): FolderPattern | string {
  const parts = written.split('/')
  if (parts.length > DEPTH_MAX) return `${JSON.stringify(written)} is deeper than ${DEPTH_MAX} folders`
  if (parts.some((part) => part === '' || part === '.' || part === '..' || /[*]{2}|(?:[*].*){3}/.test(part)))
    return `${JSON.stringify(written)} is not a pattern such as vmware_base/*`
  return parts.map((part) => {
    const literal = part.split('*').map((text) => text.replaceAll(/[^A-Za-z0-9_]/g, (c) => `\\${c}`))
    // At most two stars, so matching is bounded.
    return new RegExp(`^${literal.join('[^/]*?')}$`, 'u')
  })
}

/** Null where the template names one lock, as most do. */
export function coverOf(template: Template, patterns: readonly FolderPattern[]): Cover | null {
  const last = template.pieces.at(-1)
  const filter = last?.kind === 'capture' ? last.filters.at(-1)?.name : undefined
  const ahead = filter === undefined ? undefined : COVERED_FILTERS.get(filter)
  if (ahead === undefined) return null
  // A capture before the last is one part, its slashes escaped.
  const slashes = template.pieces.flatMap((piece) =>
    piece.kind === 'literal' ? [...piece.text.matchAll(/\//g)] : [],
  )
  return { base: slashes.length + ahead, patterns }
}

/** The names that stand for a path: the last in the call's own mode, those before it shared. */
export function coveringNames(text: string, { base, patterns }: Cover): readonly string[] {
  const parts = text.split('/')
  const folders = parts.slice(base)
  let depth = Math.min(1, folders.length)
  for (const pattern of patterns)
    if (
      pattern.length > depth &&
      pattern.length <= folders.length &&
      pattern.every((part, index) => part.test(folders[index] ?? ''))
    )
      depth = pattern.length
  const names: string[] = []
  for (let level = 1; level <= depth; level++) names.push(parts.slice(0, base + level).join('/'))
  return names.length === 0 ? [text] : names
}
