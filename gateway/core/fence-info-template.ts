// Fills a plan's `fenceInfo` template: what the configuration knows of how to reach a holder, so that he need not say it and
// cannot say it otherwise. Strict: what is not there is a fault, never an empty text. Pure.

export type FenceInfoValue = string | number | boolean

/** Values are literal text and variables such as `{{holder.host}}`; numbers and booleans stand for themselves. */
export type FenceInfoTemplate = Readonly<Record<string, FenceInfoValue>>

export interface FenceInfoSources {
  readonly holder: Readonly<Record<string, unknown>>
  /** What the holder sent. */
  readonly fenceInfo: Readonly<Record<string, unknown>>
  /** The inventory's entry of a host; null where there is none of this name. */
  readonly host: (name: string) => Readonly<Record<string, FenceInfoValue>> | null
}

export type FilledFenceInfo =
  | { readonly kind: 'filled'; readonly fenceInfo: Readonly<Record<string, unknown>> }
  | { readonly kind: 'faulty'; readonly faults: readonly string[] }

const VARIABLE = /\{\{\s*(holder|fenceInfo|host)\.([\w-]+)\s*\}\}/g

/** What is wrong with a value as it is written; null where nothing is. */
export function templateFault(value: FenceInfoValue, hasInventory: boolean): string | null {
  if (typeof value !== 'string') return null
  if (!hasInventory && [...value.matchAll(VARIABLE)].some((match) => match[1] === 'host'))
    return 'it asks the inventory, and there is none'
  const rest = value.replaceAll(VARIABLE, '')
  return rest.includes('{{') || rest.includes('}}') ? `${JSON.stringify(value)} is no such template` : null
}

/** The holder's own words, and the template's over them. */
export function fillFenceInfo(template: FenceInfoTemplate, sources: FenceInfoSources): FilledFenceInfo {
  const faults = new Set<string>()
  const filled: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(template)) {
    if (typeof value !== 'string') {
      filled[key] = value
      continue
    }
    const variable = (scope: string | undefined, name: string | undefined): FenceInfoValue => {
      const found = lookUp(scope ?? '', name ?? '', sources)
      if ('value' in found) return found.value
      faults.add(`${key}: ${found.fault}`)
      return ''
    }
    const matches = [...value.matchAll(VARIABLE)]
    const [only] = matches
    // A number stays one where it is all there is.
    filled[key] =
      only !== undefined && only[0] === value
        ? variable(only[1], only[2])
        : value.replaceAll(VARIABLE, (_whole, scope: string, name: string) => String(variable(scope, name)))
  }
  if (faults.size > 0) return { kind: 'faulty', faults: [...faults] }
  return { kind: 'filled', fenceInfo: { ...sources.fenceInfo, ...filled } }
}

function lookUp(
  scope: string,
  name: string,
  { holder, fenceInfo, host }: FenceInfoSources,
): { readonly value: FenceInfoValue } | { readonly fault: string } {
  if (scope !== 'host') {
    const value = own(scope === 'holder' ? holder : fenceInfo, name)
    return value === null ? { fault: `the session was opened without ${scope}.${name}` } : { value }
  }
  const asked = own(holder, 'host')
  if (typeof asked !== 'string')
    return { fault: 'the session was opened without holder.host, by which the inventory is asked' }
  const entry = host(asked)
  if (entry === null) return { fault: `the inventory has no host ${JSON.stringify(asked)}` }
  const value = own(entry, name)
  return value === null
    ? { fault: `the inventory says no ${name} of host ${JSON.stringify(asked)}` }
    : { value }
}

function own(from: Readonly<Record<string, unknown>>, name: string): FenceInfoValue | null {
  const value = Object.hasOwn(from, name) ? from[name] : undefined
  if (typeof value === 'string') return value === '' ? null : value
  return typeof value === 'number' || typeof value === 'boolean' ? value : null
}
