// The template of a lock's name: one that a pack or an operator has named, or one that is written where it is used.

import { lockNameFault } from '../core/names.ts'
import { compileTemplate, type Names, type Template } from './template.ts'

/** A text says what is wrong with it. */
export function lockTemplate(
  written: string,
  named: ReadonlyMap<string, string>,
  names: Names,
): Template | string {
  const found = named.get(written)
  if (found === undefined && !/[{/]/.test(written))
    return `there is no lock template ${written}; there are ${[...named.keys()].join(', ') || 'none'}`
  const template = compileTemplate(found ?? written, names)
  if (typeof template === 'string')
    return found === undefined ? template : `the lock template ${written}: ${template}`
  const sample = template.pieces.map((piece) => (piece.kind === 'literal' ? piece.text : 'x')).join('')
  return lockNameFault(sample) ?? template
}
