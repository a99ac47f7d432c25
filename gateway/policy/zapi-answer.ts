// Reads what a NetApp filer answers to ZAPI: netapp(results). Strict as with requests, but for the one document type
// that filers write.

import type { SoapPath, SoapPaths } from './soap-paths.ts'
import { readSoap } from './soap-reader.ts'

export type ZapiFinding =
  | { readonly kind: 'found'; readonly text: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unreadable'; readonly reason: string }

/** Names a file on the filer, declares nothing, and is never looked at. */
const DOCUMENT_TYPE =
  /^(<\?xml[^<>]{0,200}\?>)?\s*<!DOCTYPE\s+netapp\s+SYSTEM\s+(?:"[^"<>[\]]*"|'[^'<>[\]]*')\s*>/

/** The text at `path` below `results`. `paths` is what `path` was entered in. */
export function zapiText(body: Buffer, paths: SoapPaths, path: SoapPath): ZapiFinding {
  const text = body.toString('utf8')
  const match = DOCUMENT_TYPE.exec(text)
  const plain = match === null ? body : Buffer.from(`${match[1] ?? ''}${text.slice(match[0].length)}`)
  const reading = readSoap(plain, paths, 'zapi')
  if (!reading.ok) return { kind: 'unreadable', reason: reading.reason }
  if (reading.method !== 'results')
    return { kind: 'unreadable', reason: `the answer holds ${reading.method}, not results` }
  const values = reading.values[path.value]
  if (values === undefined) return { kind: 'absent' }
  const [value] = values
  return values.length > 1 || typeof value !== 'string' || value === ''
    ? { kind: 'unreadable', reason: `the ${path.written} in the answer is no text` }
    : { kind: 'found', text: value }
}
