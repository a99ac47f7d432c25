// Rules by path: a tree over segments, so that finding the rules of a call costs the same however many there are.
// More specific paths come first: at each segment a literal before a capture, and `{rest...}` last.

import { LiteralTable } from './literal-table.ts'
import type { PathCapture } from './rule.ts'

export interface PathTemplate {
  readonly segments: readonly (
    | { readonly kind: 'literal'; readonly text: string }
    /** `slashes`: takes `%2F` as data. */
    | { readonly kind: 'capture'; readonly name: string; readonly slashes: boolean }
  )[]
  /** Name of the capture of one or more further segments; null without. */
  readonly rest: string | null
  /** Matches only with a slash at the end. */
  readonly trailingSlash: boolean
}

const NAME = '[a-z][a-z0-9_]*'
const CAPTURE = new RegExp(`^\\{(${NAME})(\\?|\\+|\\.\\.\\.)?\\}$`)

/**
 * Reads a path template; `{name?}` gives two, with and without the segment; `{name+}` takes `%2F`. A text says what is
 * wrong with it.
 */
export function readPathTemplate(written: string): readonly PathTemplate[] | string {
  if (!written.startsWith('/')) return 'a path begins with a slash'
  const trailingSlash = written.length > 1 && written.endsWith('/')
  const parts = written.slice(1, trailingSlash ? -1 : undefined).split('/')
  if (written === '/') parts.length = 0
  let templates: PathTemplate[] = [{ segments: [], rest: null, trailingSlash }]
  for (const [index, part] of parts.entries()) {
    const match = CAPTURE.exec(part)
    const name = match?.[1]
    if (name === undefined) {
      if (part === '' || part === '.' || part === '..' || /[{}?#;%\\]/.test(part))
        return `${JSON.stringify(part)} is neither a literal segment nor {name}, {name?}, {name+} or {name...}`
      templates = templates.map((template) => ({
        ...template,
        segments: [...template.segments, { kind: 'literal', text: part }],
      }))
    } else if (match?.[2] === '...') {
      if (index !== parts.length - 1) return `{${name}...} must be the last segment`
      templates = templates.map((template) => ({ ...template, rest: name }))
    } else {
      const longer = templates.map(
        (template): PathTemplate => ({
          ...template,
          segments: [...template.segments, { kind: 'capture', name, slashes: match?.[2] === '+' }],
        }),
      )
      templates = match?.[2] === '?' ? [...longer, ...templates] : longer
    }
  }
  return templates
}

interface TreeNode<Leaf> {
  readonly literals: LiteralTable<TreeNode<Leaf>>
  capture: TreeNode<Leaf> | null
  /** Below a capture that takes slashes, too. */
  slashed: TreeNode<Leaf> | null
  /** Rules that end here; those that ask for a slash at the end; those that take all that follows. */
  end: Leaf | null
  endSlash: Leaf | null
  rest: Leaf | null
}

export class PathTree<Leaf> {
  readonly #root = newNode<Leaf>()
  readonly #foldsCase: boolean

  /** `foldsCase`: literals match in any case. */
  constructor(foldsCase = false) {
    this.#foldsCase = foldsCase
  }

  /** The leaf at this path's place, made by `make` where there is none yet. */
  leaf(template: PathTemplate, make: () => Leaf): Leaf {
    let node = this.#root
    for (const segment of template.segments) {
      if (segment.kind === 'literal') {
        const text = this.#foldsCase ? segment.text.toLowerCase() : segment.text
        let next = node.literals.get(text)
        if (next === undefined) {
          next = newNode<Leaf>()
          node.literals.add(text, next)
        }
        node = next
      } else if (segment.slashes) {
        node.slashed ??= newNode<Leaf>()
        node = node.slashed
      } else {
        node.capture ??= newNode<Leaf>()
        node = node.capture
      }
    }
    if (template.rest !== null) {
      node.rest ??= make()
      return node.rest
    }
    if (template.trailingSlash) {
      node.endSlash ??= make()
      return node.endSlash
    }
    node.end ??= make()
    return node.end
  }

  /** Asks `visit` at each leaf that the path leads to, the most specific first, until it answers. */
  find<Answer>(path: TreePath, visit: (leaf: Leaf) => Answer | null): Answer | null {
    const walk = this.#foldsCase ? { ...path, segments: path.segments.map((one) => one.toLowerCase()) } : path
    return descend(this.#root, walk, 0, visit)
  }
}

/** Of a canonical target, what the tree looks at. */
export interface TreePath {
  readonly segments: readonly string[]
  readonly trailingSlash: boolean
  readonly encodedSlash: boolean
}

function descend<Leaf, Answer>(
  node: TreeNode<Leaf>,
  path: TreePath,
  at: number,
  visit: (leaf: Leaf) => Answer | null,
): Answer | null {
  const { segments, trailingSlash } = path
  const segment = segments[at]
  if (segment === undefined) {
    if (trailingSlash && node.endSlash !== null) {
      const answer = visit(node.endSlash)
      if (answer !== null) return answer
    }
    return node.end === null ? null : visit(node.end)
  }
  if (!path.encodedSlash || !segment.includes('/')) {
    const literal = node.literals.get(segment)
    if (literal !== undefined) {
      const answer = descend(literal, path, at + 1, visit)
      if (answer !== null) return answer
    }
    if (node.capture !== null) {
      const answer = descend(node.capture, path, at + 1, visit)
      if (answer !== null) return answer
    }
  }
  if (node.slashed !== null) {
    const answer = descend(node.slashed, path, at + 1, visit)
    if (answer !== null) return answer
  }
  if (node.rest === null) return null
  // A rest is joined by slashes: one that is data could not be told from those.
  return path.encodedSlash && segments.slice(at).some((one) => one.includes('/')) ? null : visit(node.rest)
}

function newNode<Leaf>(): TreeNode<Leaf> {
  return {
    literals: new LiteralTable(),
    capture: null,
    slashed: null,
    end: null,
    endSlash: null,
    rest: null,
  }
}

/** Where the template's captures stand in a path. */
export function pathCaptures(template: PathTemplate, slot: (name: string) => number): readonly PathCapture[] {
  const captures: PathCapture[] = []
  for (const [segment, part] of template.segments.entries())
    if (part.kind === 'capture') captures.push({ slot: slot(part.name), segment, rest: false })
  if (template.rest !== null)
    captures.push({ slot: slot(template.rest), segment: template.segments.length, rest: true })
  return captures
}
