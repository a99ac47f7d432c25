// Finds the fencing drivers: every file in fencers/, and those that the configuration names by path or package.
// Loading a driver starts nothing.

import { readdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, extname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ZodObject, ZodType } from 'zod'
import { schemaWords } from '../core/schema-words.ts'
import type { FencerDriver } from '../spi/fencer.ts'

export interface OptionFault {
  readonly path: readonly (string | number)[]
  readonly message: string
  /** What would have been right; absent where the message says it. */
  readonly expected?: string
}

export interface FencerRegistry {
  /** Everything that `driver:` can name, in alphabetical order. */
  readonly ids: readonly string[]
  driver(id: string): FencerDriver | null
  /** What the driver's schema says of the options; empty where they are fine. For an unknown driver: that. */
  optionFaults(id: string, options: Readonly<Record<string, unknown>>): readonly OptionFault[]
}

export interface RegistryOptions {
  /** What `driver:` names in the configuration; names of files in fencers/ may be among them. */
  readonly named?: readonly string[]
  /** Directory that a relative path (`./my-fencer.mjs`) and a package's name are resolved from. */
  readonly from?: string
  /** Where the gateway's own drivers are; the folder fencers/ beside gateway/ where absent. */
  readonly folder?: string
}

/** From a checkout the drivers are .ts files, in a package .js files: the same folder beside `gateway/` in both. */
const FENCERS = fileURLToPath(new URL('../../fencers', import.meta.url))

/** Rejects where a file is no driver or its id is not its file's name, and where a named one cannot be loaded. */
export async function loadFencerRegistry(options: RegistryOptions = {}): Promise<FencerRegistry> {
  const drivers = new Map<string, FencerDriver>()
  const folder = options.folder ?? FENCERS
  for (const file of (await readdir(folder)).sort()) {
    const ending = extname(file)
    if ((ending !== '.ts' && ending !== '.js') || file.endsWith('.d.ts')) continue
    const driver = await load(join(folder, file))
    const id = basename(file, ending)
    if (driver.id !== id)
      throw new Error(`fencers/${file} calls itself ${driver.id}: a driver's id is its file's name`)
    drivers.set(id, driver)
  }
  for (const name of options.named ?? []) {
    if (!drivers.has(name) && !isPlainName(name))
      drivers.set(name, await load(locate(name, options.from ?? '.')))
    // A plain name that is no file of ours can still be a package; where it is none, it is an unknown driver.
    if (!drivers.has(name)) {
      const path = locatePackage(name, options.from ?? '.')
      if (path !== null) drivers.set(name, await load(path))
    }
  }
  return {
    ids: [...drivers.keys()].sort(),
    driver: (id) => drivers.get(id) ?? null,
    optionFaults(id, value) {
      const driver = drivers.get(id)
      if (driver === undefined) return [{ path: ['driver'], message: `there is no driver ${id}` }]
      const parsed = driver.options.safeParse(value, { error: schemaWords })
      if (parsed.success) return []
      return parsed.error.issues.flatMap((issue): OptionFault[] => {
        const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))
        if (issue.code !== 'unrecognized_keys' || path.length > 0 || !(driver.options instanceof ZodObject))
          return [{ path, message: issue.message }]
        const expected = `one of ${Object.keys(driver.options.shape).join(', ')}`
        return issue.keys.map((key) => ({ path: [key], message: 'there is no such option', expected }))
      })
    },
  }
}

async function load(path: string): Promise<FencerDriver> {
  const module: unknown = await import(pathToFileURL(path).href)
  const driver = typeof module === 'object' && module !== null && 'default' in module ? module.default : null
  if (!isFencerDriver(driver)) throw new Error(`${path} has no fencing driver as its default export`)
  return driver
}

function isPlainName(name: string): boolean {
  return !name.startsWith('.') && !isAbsolute(name)
}

function locate(name: string, from: string): string {
  return isAbsolute(name) ? name : resolve(from, name)
}

function locatePackage(name: string, from: string): string | null {
  try {
    return createRequire(join(resolve(from), 'package.json')).resolve(name)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return null
    throw error
  }
}

function isFencerDriver(value: unknown): value is FencerDriver {
  if (typeof value !== 'object' || value === null) return false
  const has = (key: string, type: string): boolean => typeof Reflect.get(value, key) === type
  return (
    has('id', 'string') &&
    has('summary', 'string') &&
    has('proves', 'function') &&
    has('target', 'function') &&
    has('create', 'function') &&
    isSchema(Reflect.get(value, 'options')) &&
    isSchema(Reflect.get(value, 'fenceInfo'))
  )
}

/** A driver from a package may bring a zod of its own: `instanceof` alone would refuse it. */
function isSchema(value: unknown): boolean {
  return (
    value instanceof ZodType ||
    (typeof value === 'object' && value !== null && typeof Reflect.get(value, 'safeParse') === 'function')
  )
}
