// What a fencer is told of a session: what its holder said, and what his logins through the gateway have told of him.

import type { SessionRecord } from './records.ts'

/** What a holder has said of himself, and what the logins through the gateway have told of him. */
export function fenceInfoOf({ fenceInfo, bindings = [] }: SessionRecord): Readonly<Record<string, unknown>> {
  if (bindings.length === 0) return fenceInfo
  const merged: Record<string, unknown> = { ...fenceInfo }
  for (const { collect = {}, note = {} } of bindings) {
    for (const [name, value] of Object.entries(collect)) {
      const list: readonly unknown[] = Array.isArray(merged[name]) ? merged[name] : []
      if ((merged[name] === undefined || Array.isArray(merged[name])) && !list.includes(value))
        merged[name] = [...list, value]
    }
    for (const [name, value] of Object.entries(note))
      if (!Object.hasOwn(fenceInfo, name)) merged[name] = value
  }
  return merged
}
