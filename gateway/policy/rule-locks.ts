// The locks of a rule as it is written, in one form: a name alone is an exclusive lock.

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
