// The fenceInfo of drivers that do not know what it holds, because an operator's requests, hooks or words say what to make of it.

import { createHash } from 'node:crypto'
import { z } from 'zod'

export const FreeFormInfo = z.record(z.string(), z.unknown()).refine((info) => Object.keys(info).length > 0, {
  error: 'at least one key that says whom to fence',
})
export type FreeFormInfo = z.infer<typeof FreeFormInfo>

/** `target`, where given, names the incarnation by itself. Else a hash: there may be a token in it, and targets are on record. */
export function targetOf(info: FreeFormInfo): string {
  const { target } = info
  if (typeof target === 'string' && target !== '') return target
  const canonical = JSON.stringify(Object.entries(info).sort(([a], [b]) => (a < b ? -1 : 1)))
  return createHash('sha256').update(canonical).digest('hex')
}
