// Keeps secrets out of fence records, logs and answers: what a fencer's options, or a holder's fenceInfo, call a secret never
// leaves as it is.

import type { FenceInfoSecrets } from '../spi/fence-planner.ts'
import type { FencerDriver } from '../spi/fencer.ts'

const SECRET_NAME =
  /pass|secret|token|credential|cookie|authorization|private|community|apikey|api_key|^key$|^env$/i
/** Shorter values would turn ordinary words into blots, and hide nothing that could not be guessed. */
const SECRET_LENGTH_MIN = 4
export const REDACTED = '[secret]'

export type Redactor = (text: string) => string

/** Replaces every value under a secret-sounding option, also where it was encoded for a URL, XML or basic auth. */
export function createRedactor(
  options: unknown,
  isSecretName: (name: string) => boolean = soundsSecret,
): Redactor {
  const values = new Set<string>()
  collect(options, { isSecret: false, isSecretName }, values)
  const forms = [...values].flatMap((value) => [
    value,
    encodeURIComponent(value),
    value.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`),
    JSON.stringify(value).slice(1, -1),
    Buffer.from(value).toString('base64').replace(/=+$/, ''),
  ])
  // Longest first: a secret that holds another one goes as a whole.
  const ordered = [...new Set(forms)].sort((a, b) => b.length - a.length)
  return (text) => ordered.reduce((rest, value) => rest.replaceAll(value, REDACTED), text)
}

type Told = Readonly<Record<string, unknown>>

export interface InfoSecrets extends FenceInfoSecrets {
  /** Of texts that may hold parts of it. */
  redactor(fenceInfo: Told): Redactor
}

/** By what the drivers' schemas mark (`.meta({ secret: true })`), by names that sound like it, and by those in `named`. */
export function infoSecrets(drivers: readonly FencerDriver[], named: readonly string[]): InfoSecrets {
  const marked = new Set([...named, ...drivers.flatMap((driver) => secretKeysOf(driver.fenceInfo))])
  const isSecretName = (name: string): boolean => marked.has(name) || soundsSecret(name)
  const without = (value: unknown, replace: boolean): unknown => {
    if (Array.isArray(value)) return value.map((item: unknown) => without(item, replace))
    if (typeof value !== 'object' || value === null) return value
    return told(value, replace)
  }
  const told = (value: object, replace: boolean): Told =>
    Object.fromEntries(
      Object.entries(value).flatMap(([key, item]: [string, unknown]) => {
        if (!isSecretName(key)) return [[key, without(item, replace)]]
        return replace ? [[key, REDACTED]] : []
      }),
    )
  return {
    hidden: (fenceInfo) => told(fenceInfo, true),
    removed: (fenceInfo) => told(fenceInfo, false),
    redactor: (fenceInfo) => createRedactor(fenceInfo, isSecretName),
  }
}

/** A driver from a package may bring a zod of its own, so nothing is asked of it but its shape. */
function secretKeysOf(schema: unknown): readonly string[] {
  const shape = memberOf(schema, 'shape')
  if (typeof shape !== 'object' || shape === null) return []
  return Object.entries(shape).flatMap(([key, field]) => (isMarked(field) ? [key] : []))
}

/** The mark may stand on what an optional or a default is made around. */
function isMarked(field: unknown): boolean {
  for (let at = field, depth = 0; typeof at === 'object' && at !== null && depth < 8; depth++) {
    const meta = memberOf(at, 'meta')
    const found: unknown = typeof meta === 'function' ? Reflect.apply(meta, at, []) : undefined
    if (memberOf(found, 'secret') === true) return true
    at = memberOf(memberOf(at, 'def'), 'innerType')
  }
  return false
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function soundsSecret(name: string): boolean {
  return SECRET_NAME.test(name)
}

interface Walk {
  readonly isSecret: boolean
  readonly isSecretName: (name: string) => boolean
}

function collect(value: unknown, walk: Walk, into: Set<string>): void {
  if (typeof value === 'string') {
    if (walk.isSecret && value.length >= SECRET_LENGTH_MIN) into.add(value)
  } else if (Array.isArray(value)) {
    for (const item of value) collect(item, walk, into)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value))
      collect(item, { ...walk, isSecret: walk.isSecret || walk.isSecretName(key) }, into)
  }
}
