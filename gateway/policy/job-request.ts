// What is sent to ask about a job where a GET does not do: JSON or ZAPI, with the job's id filled in.

import type { PackFault } from './fault.ts'
import type { JobSource } from './schema.ts'
import { compileTemplate, fillTemplate, type Names, type Slots, type Template } from './template.ts'
import { ZAPI_NAMESPACE } from './xml-envelope.ts'

type HttpJob = Extract<JobSource, { kind: 'http' }>
type JsonSource = Exclude<HttpJob['probe_json'], undefined>

export type ProbeBody =
  | { readonly ok: true; readonly type: string; readonly body: string }
  | { readonly ok: false; readonly reason: string }

/** Fills the request for one call. */
export type RequestFiller = (slots: Slots) => ProbeBody

interface RequestTerms {
  readonly source: HttpJob
  readonly names: Names
  readonly path: readonly PropertyKey[]
  readonly faults: PackFault[]
}

/** Null where the job is asked for by a GET, or where there is a fault. */
export function compileRequest(terms: RequestTerms): RequestFiller | null {
  const { source, path, faults } = terms
  if (source.probe_json !== undefined && source.probe_zapi !== undefined) {
    faults.push({ path: [...path, 'probe_zapi'], message: 'a probe is sent as JSON or as ZAPI, not as both' })
    return null
  }
  if (source.probe_json !== undefined) {
    const json = compileJson(source.probe_json, terms)
    return (slots) => asBody('application/json', json(slots))
  }
  if (source.probe_zapi === undefined) return null
  const template = compileTemplate(source.probe_zapi, terms.names)
  if (typeof template === 'string') {
    faults.push({ path: [...path, 'probe_zapi'], message: template })
    return null
  }
  const vfiler = terms.names('vfiler')
  return (slots) => {
    const filled = fillTemplate(template, slots, escapeXml)
    const own = typeof vfiler === 'number' ? slots[vfiler] : undefined
    const attribute = typeof own === 'string' ? ` vfiler="${escapeXml(own)}"` : ''
    return asBody(
      'text/xml',
      filled.ok
        ? {
            ok: true,
            text: `<?xml version="1.0" encoding="UTF-8"?><netapp xmlns="${ZAPI_NAMESPACE}" version="1.15"${attribute}>${filled.text}</netapp>`,
          }
        : filled,
    )
  }
}

type Filled = ReturnType<typeof fillTemplate>

function asBody(type: string, filled: Filled): ProbeBody {
  return filled.ok ? { ok: true, type, body: filled.text } : filled
}

/** JSON whose texts are templates. A text that is one `{name|integer}` and nothing else becomes a number. */
function compileJson(value: JsonSource, terms: RequestTerms): (slots: Slots) => Filled {
  if (typeof value === 'string') {
    const template = compileTemplate(value, terms.names)
    if (typeof template === 'string') {
      terms.faults.push({ path: [...terms.path, 'probe_json'], message: template })
      return () => ({ ok: false, reason: template })
    }
    const quote = isNumber(template) ? '' : '"'
    return (slots) => {
      const filled = fillTemplate(template, slots, escapeJson)
      return filled.ok ? { ok: true, text: `${quote}${filled.text}${quote}` } : filled
    }
  }
  if (typeof value !== 'object' || value === null) return () => ({ ok: true, text: JSON.stringify(value) })
  if (Array.isArray(value)) {
    const items = value.map((item) => ({ prefix: '', fill: compileJson(item, terms) }))
    return (slots) => joined('[', items, ']', slots)
  }
  const members = Object.entries(value).map(([key, member]) => ({
    prefix: `${JSON.stringify(key)}:`,
    fill: compileJson(member, terms),
  }))
  return (slots) => joined('{', members, '}', slots)
}

interface Member {
  readonly prefix: string
  readonly fill: (slots: Slots) => Filled
}

function joined(open: string, members: readonly Member[], close: string, slots: Slots): Filled {
  const texts: string[] = []
  for (const { prefix, fill } of members) {
    const filled = fill(slots)
    if (!filled.ok) return filled
    texts.push(prefix + filled.text)
  }
  return { ok: true, text: `${open}${texts.join(',')}${close}` }
}

function isNumber(template: Template): boolean {
  const [piece] = template.pieces
  return template.pieces.length === 1 && piece?.kind === 'capture' && piece.filters.at(-1)?.name === 'integer'
}

function escapeJson(part: string): string {
  return JSON.stringify(part).slice(1, -1)
}

function escapeXml(part: string): string {
  return part
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
