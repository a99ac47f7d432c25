// Where a rule stands in its layer: at all its paths, and for all its methods. A rule that no call can reach is a fault.

import type { Layer } from './compiled-pack.ts'
import type { GrowingLeaf } from './leaf.ts'
import { pathCaptures } from './path-tree.ts'
import { type RuleAtPath, takesAll } from './rule.ts'
import type { RuleOfPaths, RuleTerms } from './rule-compiler.ts'
import { listOf } from './rule-facets.ts'

/** The leaves that it grows. */
export function placeRule(
  tree: Layer,
  { rule, paths, discriminator, slot }: RuleOfPaths,
  { source, path, faults }: RuleTerms,
): readonly GrowingLeaf[] {
  const methods = source.method === undefined ? [null] : listOf(source.method)
  return paths.map((template) => {
    const leaf = tree.leaf(template, () => ({
      members: [],
      leaf: { byMethod: new Map(), anyMethod: null },
    }))
    const at: RuleAtPath = { rule, pathCaptures: pathCaptures(template, slot) }
    for (const method of methods) {
      const covers = leaf.members.find(
        (earlier) =>
          (earlier.method === null || earlier.method === method) &&
          earlier.member.at.rule !== rule &&
          takesAll(earlier.member.at.rule),
      )
      if (covers !== undefined)
        faults.push({
          path,
          message: `no call reaches this rule: ${covers.member.at.rule.id} before it takes them all`,
        })
      const other = leaf.members.find(
        ({ member }) =>
          rule.body !== null && member.at.rule.body !== null && member.at.rule.body !== rule.body,
      )
      if (other !== undefined)
        faults.push({
          path,
          message: `${other.member.at.rule.id} reads bodies of this path as ${other.member.at.rule.body ?? ''}: a path has one format`,
        })
      leaf.members.push({ method, member: { at, discriminator } })
    }
    return leaf
  })
}
