// What the rooms know together: which policies and drivers there are, and what they say of a configuration. Part of the
// composition root; starts nothing.

import { X509Certificate } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { createSecureContext } from 'node:tls'
import { fileURLToPath } from 'node:url'
import type { PolicyCatalog } from './cli/index.ts'
import {
  type Config,
  driversNamedIn,
  type Knowledge,
  type LoadResult,
  loadConfig,
  type TlsMaterial,
} from './config/index.ts'
import { invariant } from './core/invariant.ts'
import { type FencerRegistry, loadFencerRegistry } from './fencing/registry.ts'
import {
  type CompileTerms,
  compilePolicy,
  describePolicy,
  formatPolicyFault,
  loadPolicies,
  makeCatalogue,
  type Pack,
  type PolicyCatalogue,
  type PolicyDescription,
} from './policy/index.ts'
import type { Policy } from './spi/policy.ts'

/** Beside `gateway/` in a checkout and in the package alike. */
const POLICIES = fileURLToPath(new URL('../policies/', import.meta.url))

export interface RoomKnowledge {
  readonly registry: FencerRegistry
  load(file: string): LoadResult
  policyOf(config: Config, backend: string): Policy
  policies(config: Config | null): PolicyCatalog
}

/** `configFile`: the one that will be loaded, for the drivers that it names by path or package; null: none. */
export async function gatherKnowledge(configFile: string | null): Promise<RoomKnowledge> {
  const registry = await loadFencerRegistry(
    configFile === null ? {} : { named: driversNamedIn(configFile), from: dirname(resolve(configFile)) },
  ).catch((error: unknown) => {
    if (configFile === null || !(error instanceof Error)) throw error
    throw new Error(`${configFile}: a driver of its fencers cannot be loaded: ${error.message}`, {
      cause: error,
    })
  })
  const { packs, faults } = loadPolicies(POLICIES)
  invariant(
    faults.length === 0,
    `the gateway's own policies are faulty: ${faults.map(formatPolicyFault).join('; ')}`,
  )
  // Of one configuration all backends are asked for, one after the other.
  const catalogues = new WeakMap<Config['policies'], PolicyCatalogue>()
  const catalogueOf = (configured: Config['policies']): PolicyCatalogue => {
    const catalogue = catalogues.get(configured) ?? makeCatalogue(packs, configured)
    catalogues.set(configured, catalogue)
    return catalogue
  }
  const knowledge: Knowledge = {
    policies: catalogueOf,
    drivers: registry.ids,
    driverOptions: (driver, options) => registry.optionFaults(driver, options),
    tlsFault,
  }
  return {
    registry,
    load: (file) => loadConfig({ file, knowledge, environment: process.env }),
    policyOf: (config, backend) => backendPolicy(catalogueOf(config.policies), config, backend),
    policies: (config) => catalog(packs, config === null ? null : catalogueOf(config.policies)),
  }
}

/** Asks OpenSSL, whose `reason` says what is wrong and never what it has read. */
export function tlsFault({ cert, key, ca }: TlsMaterial): string | null {
  if (key?.includes('ENCRYPTED') === true) return 'the key is encrypted with a passphrase'
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    const reason = reasonOf(error)
    return reason === 'key values mismatch'
      ? 'the key is not that of the certificate'
      : `the certificate or its key cannot be read (${reason})`
  }
  try {
    // A context takes authorities that it cannot read, and trusts nobody then.
    if (ca !== undefined) void new X509Certificate(ca)
    return null
  } catch (error) {
    return `the certificate of the authority cannot be read (${reasonOf(error)})`
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) throw error
  return 'reason' in error ? String(error.reason) : error.message
}

/** The backend's policy with the backend's own words on waiting and quiet time. */
export function backendPolicy(catalogue: PolicyCatalogue, config: Config, backend: string): Policy {
  const settings = config.backends[backend]
  invariant(settings !== undefined, `there is no backend ${backend}`)
  const terms = catalogue.terms(settings.policy)
  invariant(terms !== null, `there is no policy ${settings.policy}, which the configuration's check let pass`)
  const ofBackend = (own: CompileTerms): CompileTerms => ({
    ...own,
    backend,
    identify: settings.identify,
    overrides: {
      extends: own.pack.name,
      ...own.overrides,
      ...(settings.waitMs === null ? {} : { wait: settings.waitMs / 1000 }),
      ...(settings.quietMs === null ? {} : { quiet: settings.quietMs / 1000 }),
      ...(settings.limits.inspectedBytes === null ? {} : { body_limit: settings.limits.inspectedBytes }),
    },
    beside: besideOf(own),
  })
  // One policy at several parts of the path stays one.
  const besideOf = ({ beside }: CompileTerms): ReadonlyMap<string, CompileTerms> => {
    const others = new Map([...new Set(beside?.values())].map((other) => [other, ofBackend(other)]))
    return new Map([...(beside ?? [])].map(([part, other]) => [part, others.get(other) ?? other]))
  }
  const compiled = compilePolicy(ofBackend(terms))
  invariant(compiled.ok, `the policy of backend ${backend} cannot be compiled`)
  return compiled.value
}

function catalog(packs: ReadonlyMap<string, Pack>, catalogue: PolicyCatalogue | null): PolicyCatalog {
  const packOf = (name: string): Pack | null => catalogue?.terms(name)?.pack ?? packs.get(name) ?? null
  const summaryOf = (name: string): string => {
    const beside = [...(catalogue?.terms(name)?.beside ?? [])]
    const others = beside.map(([part, other]) => `; at /${part} ${other.name ?? other.pack.name}`)
    return (packOf(name)?.source.title ?? '') + others.join('')
  }
  return {
    list: () =>
      [...(catalogue?.names ?? packs.keys())].toSorted().map((name) => ({ name, summary: summaryOf(name) })),
    describe(name) {
      const pack = packOf(name)
      if (pack === null) return null
      const description = describePolicy(pack)
      return { text: describeInWords(description), json: description }
    },
  }
}

function describeInWords(policy: PolicyDescription): string {
  const lines = [
    `${policy.name}: ${policy.title}`,
    ...policy.documentation.map((where) => `  documented at ${where}`),
    `  dialect ${policy.dialect}, default lock ${policy.defaultLock}`,
  ]
  if (policy.notes !== null)
    lines.push(
      '',
      ...policy.notes
        .trimEnd()
        .split('\n')
        .map((line) => `  ${line}`),
    )
  lines.push('', 'Rules:')
  for (const rule of policy.rules) {
    const where = `${rule.methods.join('|')} ${rule.paths.join(' ')}`
    const conditions = rule.conditions.length === 0 ? '' : ` where ${rule.conditions.join(' and ')}`
    lines.push(`  ${rule.id}: ${rule.effect} ${where}${conditions}`)
  }
  return `${lines.join('\n')}\n`
}
