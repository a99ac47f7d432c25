// The locks that a rule lists, in one form.

import type { RuleSource } from './schema.ts'

export function lockList(source: RuleSource): readonly {
  readonly lock: string
  readonly mode: 'exclusive' | 'shared'
  readonly each?: string | undefined
  readonly optional?: boolean
}[] {
  const locks = source.locks === undefined ? [] : Array.isArray(source.locks) ? source.locks : [source.locks]
  return locks.map((lock) => (typeof lock === 'string' ? { lock, mode: 'exclusive' as const } : lock))
}
