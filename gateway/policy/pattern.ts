// Regular expressions of packs: RE2, linear in the text whatever the pattern. The only place that knows re2js.

import { RE2JS } from 're2js'

export interface Pattern {
  readonly written: string
  /** Names of the groups, in order. */
  readonly groups: readonly string[]
  /** The named groups of a match of the whole text (undefined where a group took no part), or null. */
  match(text: string): readonly (string | undefined)[] | null
}

/** Compiles `written`, or says what is wrong with it. */
export function compilePattern(written: string): Pattern | string {
  let compiled: RE2JS
  try {
    compiled = RE2JS.compile(written)
  } catch (error) {
    return `not a regular expression of RE2: ${error instanceof Error ? error.message : String(error)}`
  }
  // The commonest pattern of packs, `.*_Task`, needs no engine.
  const ending = /^\.\*([A-Za-z0-9_]+)$/.exec(written)?.[1]
  if (ending !== undefined)
    return {
      written,
      groups: [],
      match: (text: string) => (text.endsWith(ending) && !text.includes('\n') ? [] : null),
    }
  // Nor do forms of ids, such as `vm-[0-9]+|host-[0-9]+`: with one repeat in each they are linear in any engine.
  if (written.split('|').every(isPlain)) {
    const plain = new RegExp(`^(?:${written})$`)
    return { written, groups: [], match: (text: string) => (plain.test(text) ? [] : null) }
  }
  const named = Object.entries(compiled.namedGroups()).toSorted((a, b) => a[1] - b[1])
  return {
    written,
    groups: named.map(([name]) => name),
    match: (text: string) => {
      if (named.length === 0) return compiled.testExact(text) ? [] : null
      const matcher = compiled.matcher(text)
      return matcher.matches() ? named.map(([, group]) => matcher.group(group) ?? undefined) : null
    },
  }
}

/** Literal text and sets of letters and digits, at most one of them repeated: the same to RE2 and to JavaScript. */
function isPlain(written: string): boolean {
  return (
    /^(?:[A-Za-z0-9_-]|\[(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9])+\][?+]?)+$/.test(written) &&
    written.split(']+').length <= 2
  )
}
