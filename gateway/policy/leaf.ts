// The rules at one place of the path tree, told apart by method.

import { type GroupMember, makeGroup, type RuleGroup } from './rule-group.ts'

export interface Leaf {
  readonly byMethod: ReadonlyMap<string, RuleGroup>
  /** For methods that no rule here names. */
  readonly anyMethod: RuleGroup | null
}

/** A leaf while its layer is compiled; `leaf` is filled in when all members are there. */
export interface GrowingLeaf {
  readonly members: { readonly method: string | null; readonly member: GroupMember }[]
  leaf: Leaf
}

export function groupByMethod(growing: GrowingLeaf): Leaf {
  const methods = new Set(growing.members.flatMap(({ method }) => method ?? []))
  const membersOf = (wanted: string | null): readonly GroupMember[] =>
    growing.members.flatMap(({ method, member }) => (method === null || method === wanted ? [member] : []))
  const any = membersOf(null)
  return {
    byMethod: new Map([...methods].map((method) => [method, makeGroup(membersOf(method))])),
    anyMethod: any.length === 0 ? null : makeGroup(any),
  }
}
