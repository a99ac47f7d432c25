// Fills `{{fenceInfo.session}}` and the like into requests, escaped for the place where it stands.
// A value that is missing, empty or not plain is a fault: a request without its id could strike everybody.

import { FenceInfoFault } from '../../gateway/spi/fencer.ts'
import { valueAt } from '../free-form/value-at.ts'

/** What templates may name: `{ fenceInfo: {…}, login: {…} }`. */
export type TemplateScope = Readonly<Record<string, unknown>>

export class TemplateFault extends Error {
  override readonly name = 'TemplateFault'
}

export type Scalar = string | number | boolean

const VARIABLE = /\{\{\s*([A-Za-z][\w-]*(?:\.[\w-]+)+)\s*\}\}/g
const WHOLE = /^\{\{\s*([A-Za-z][\w-]*(?:\.[\w-]+)+)\s*\}\}$/
const VALUE_LENGTH_MAX = 8_192

/** Before anything is sent, while the holder can still be told: what of his fenceInfo would not fill the templates. */
export function demandFilling(render: () => void): void {
  try {
    render()
  } catch (error) {
    if (!(error instanceof TemplateFault)) throw error
    throw new FenceInfoFault(error.message)
  }
}

/** Percent-encoded, also inside a query; a value never adds a step to the path. */
export function renderPath(template: string, scope: TemplateScope): string {
  return template.replace(VARIABLE, (_whole, name: string) => {
    const value = String(lookUp(name, scope))
    if (value === '.' || value === '..') throw new TemplateFault(`${name} is no name in a path`)
    return encodeURIComponent(value)
  })
}

/** A line break in a value would be a header of its own. */
export function renderHeader(template: string, scope: TemplateScope): string {
  return template.replace(VARIABLE, (_whole, name: string) => {
    const value = String(lookUp(name, scope))
    if (!/^[\x20-\x7e]+$/.test(value) || value.trim() !== value)
      throw new TemplateFault(`${name} cannot stand in a header`)
    return value
  })
}

/** A string that is one variable and nothing else keeps the type of its value. */
export function renderScalar(template: Scalar, scope: TemplateScope): Scalar {
  if (typeof template !== 'string') return template
  const whole = WHOLE.exec(template)?.[1]
  if (whole !== undefined) return lookUp(whole, scope)
  return template.replace(VARIABLE, (_whole, name: string) => String(lookUp(name, scope)))
}

/** Every string in it; the keys stay as they are. */
export function renderJson(template: unknown, scope: TemplateScope): unknown {
  if (typeof template === 'string') return renderScalar(template, scope)
  if (Array.isArray(template)) return template.map((item: unknown) => renderJson(item, scope))
  if (typeof template !== 'object' || template === null) return template
  return Object.fromEntries(Object.entries(template).map(([key, item]) => [key, renderJson(item, scope)]))
}

/** The names in all strings below a value, for a check before they are needed. */
export function variablesIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [...value.matchAll(VARIABLE)].map((match) => match[1] ?? '')
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(variablesIn)
}

/** Braces that are no variable: a slip of the pen, which would be sent as it is. */
export function strayBraces(value: unknown): boolean {
  if (typeof value === 'string') return /\{\{|\}\}/.test(value.replace(VARIABLE, ''))
  return typeof value === 'object' && value !== null && Object.values(value).some(strayBraces)
}

function lookUp(name: string, scope: TemplateScope): Scalar {
  const found = valueAt(scope, name)
  if (typeof found === 'number' || typeof found === 'boolean') return found
  if (typeof found !== 'string' || found === '') throw new TemplateFault(`there is no ${name}`)
  if (found.length > VALUE_LENGTH_MAX) throw new TemplateFault(`${name} is too long`)
  return found
}
