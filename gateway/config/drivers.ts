// The drivers that a configuration names: they have to be loaded before the file can be judged by their schemas.

import { readFileSync } from 'node:fs'
import { parseDocument } from 'yaml'

/** Empty where the file cannot be read or is no configuration: the loader says so, with what to do. */
export function driversNamedIn(file: string): string[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return []
  }
  const document = parseDocument(text)
  if (document.errors.length > 0) return []
  let value: unknown
  try {
    value = document.toJS()
  } catch {
    // An alias to nothing, or aliases that multiply past the limit.
    return []
  }
  const fencers = isObject(value) ? value['fencers'] : null
  if (!isObject(fencers)) return []
  return Object.values(fencers)
    .map((fencer) => (isObject(fencer) ? fencer['driver'] : null))
    .filter((driver) => typeof driver === 'string')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
