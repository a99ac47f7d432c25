// What a configuration means, once its shape is right: names that lead nowhere, addresses that collide, promises that
// could not be kept. What other rooms know comes in as `Knowledge`; this room imports none of them.

import { templateFault } from '../core/fence-info-template.ts'
import { checkCallers } from './callers-check.ts'
import { type ConfigDocument, type FaultText, formatPath, type Path } from './document.ts'
import type { ConfigFault } from './fault.ts'
import { collide, formatListen, isLoopback, type ListenAddress } from './listen.ts'
import { nearest } from './nearest.ts'
import type { Config } from './schema.ts'
import { checkSources } from './source-section.ts'

/** A fault that another room found in its part of the file. */
export interface RoomFault {
  /** From that part's root. */
  readonly path: Path
  readonly message: string
  readonly expected?: string
}

export interface PolicyKnowledge {
  /** All that `policy:` can name: the gateway's own packs and those of the file. */
  readonly names: readonly string[]
  /** In the file's own packs; paths begin with the pack's name. */
  readonly faults: readonly RoomFault[]
  /** The policy's own quiet time; null where it has none. Asked only for `names`. */
  quietMs(name: string): number | null
}

export interface Knowledge {
  /** Compiles the packs of the file. Called once for each load. */
  policies(packs: Config['policies']): PolicyKnowledge
  readonly drivers: readonly string[]
  /** What the driver's own schema says of the options. Asked only for `drivers`. */
  driverOptions(driver: string, options: Readonly<Record<string, unknown>>): readonly RoomFault[]
  /** Why no TLS connection could be made with this, in words that hold nothing of the key; null where one could. */
  tlsFault(material: TlsMaterial): string | null
}

/** PEM. */
export interface TlsMaterial {
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly ca?: string | undefined
}

export interface CheckResult {
  readonly faults: readonly ConfigFault[]
  readonly warnings: readonly ConfigFault[]
}

const HARMLESS_COMMANDS = new Set([
  'true',
  '/bin/true',
  '/usr/bin/true',
  ':',
  'echo',
  '/bin/echo',
  '/usr/bin/echo',
])

export function checkConfig(
  config: Config,
  document: ConfigDocument,
  knowledge: Knowledge | null,
): CheckResult {
  const faults: ConfigFault[] = []
  const warnings: ConfigFault[] = []
  const fault = (path: Path, text: FaultText): void => void faults.push(document.fault(path, text))
  const warn = (path: Path, message: string): void => void warnings.push(document.fault(path, { message }))

  checkListeners(config, fault)
  checkWorkers(config, fault)
  checkControl(config, fault, warn)
  checkBackends(config, warn)
  checkCallers(config, fault, warn)
  checkPlans(config, fault, warn)
  checkFencers(config, knowledge, fault, warn)
  const ownPrefix = config.store.kind === 'etcd' ? config.store.prefix : null
  checkSources({ ...config, ownPrefix, fault, warn })
  if (config.store.kind === 'etcd' && config.store.tls?.verify === false)
    warn(
      ['store', 'etcd', 'tls', 'verify'],
      'anybody can pose as etcd, and give out locks: its certificate is not verified',
    )
  if (knowledge !== null) checkTls(config, knowledge, fault)
  if (knowledge !== null) checkPolicies(config, knowledge.policies(config.policies), fault)
  return { faults, warnings }
}

function checkWorkers({ workers, store }: Config, fault: Report): void {
  if (workers === 1 || store.kind === 'etcd') return
  fault(['workers'], {
    message: `${workers} workers cannot share the embedded store: only one process can have it open`,
    expected: 'workers: 1, or store.etcd',
  })
}

type Report = (path: Path, text: FaultText) => void
type Warn = (path: Path, message: string) => void

interface Listener {
  readonly path: Path
  readonly name: string
  readonly address: ListenAddress
}

function checkListeners(config: Config, fault: Report): void {
  const listeners: Listener[] = [
    { path: ['control', 'listen'], name: 'control', address: config.control.listen },
    ...Object.entries(config.backends).flatMap(([name, backend]) => [
      { path: ['backends', name, 'listen'], name: `backend ${name}`, address: backend.listen },
      ...Object.entries(backend.listeners).map(([listener, address]) => ({
        path: ['backends', name, 'listeners', listener],
        name: `listener ${listener} of backend ${name}`,
        address,
      })),
    ]),
  ]
  for (const [index, listener] of listeners.entries()) {
    const other = listeners.slice(0, index).find((earlier) => collide(earlier.address, listener.address))
    if (other !== undefined)
      fault(listener.path, {
        message: `${formatListen(listener.address)} is taken already by ${other.name} (${formatListen(other.address)})`,
        expected: 'an address of its own for each listener',
      })
  }
  for (const [name, backend] of Object.entries(config.backends)) {
    for (const upstream of backend.upstreams) {
      const url = new URL(upstream)
      const host = url.hostname.replace(/^\[|\]$/g, '')
      const port = Number(url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : url.port)
      const own = listeners.find(
        ({ address }) =>
          address.port === port &&
          (address.host === host ||
            (isLoopback(host) && (isWildcard(address) || isSame(address.host, host)))),
      )
      if (own !== undefined)
        fault(['backends', name, 'upstream'], {
          message: `${upstream} is this gateway's own listener of ${own.name}`,
          expected: 'the address of the backend itself',
        })
    }
  }
}

function isWildcard(address: ListenAddress): boolean {
  return address.host === '0.0.0.0' || address.host === '::'
}

function isSame(a: string, b: string): boolean {
  return (a === 'localhost' && b === '127.0.0.1') || (a === '127.0.0.1' && b === 'localhost')
}

function checkControl(config: Config, fault: Report, warn: Warn): void {
  const { listen, credentials, tls } = config.control
  const certificate = credentials.findIndex((credential) => credential.certificate !== undefined)
  if (certificate >= 0 && tls?.clientCa === undefined)
    fault(['control', 'credentials', certificate, 'certificate'], {
      message: 'the control API asks no client for a certificate',
      expected: 'control.tls.clientCa, the certificate of who signs theirs',
    })
  if (certificate < 0 && tls?.clientCa !== undefined)
    warn(['control', 'tls', 'clientCa'], 'no credential names a client certificate: none lets anybody in')
  if (isLoopback(listen.host)) return
  if (credentials.length === 0)
    fault(['control', 'listen'], {
      message: `the control API would be open to everybody who reaches ${formatListen(listen)}`,
      expected: 'control.credentials, or an address on loopback such as 127.0.0.1:7070',
    })
  else if (tls === undefined)
    warn(
      ['control', 'listen'],
      `credentials and tokens cross the network in the clear at ${formatListen(listen)}: add control.tls`,
    )
}

function checkBackends(config: Config, warn: Warn): void {
  if (Object.keys(config.backends).length === 0)
    warn(['backends'], 'there are no backends: locks are granted, but nothing checks their tokens')
  for (const [name, backend] of Object.entries(config.backends)) {
    if (backend.enforce && backend.tls === null && !isLoopback(backend.listen.host))
      warn(
        ['backends', name, 'listen'],
        `fencing tokens cross the network in the clear at ${formatListen(backend.listen)}: whoever reads one can use it; add tls`,
      )
    if (!backend.enforce)
      warn(['backends', name, 'enforce'], `shadow mode: ${name} refuses nothing, whatever the verdict`)
    if (backend.callIds.includes('x-openstack-request-id'))
      warn(
        ['backends', name, 'callIds'],
        'X-Openstack-Request-Id names a whole operation: two equal calls of one operation that are under way together become one; use a field that names one call',
      )
    if (backend.upstreamTls?.verify === false)
      warn(
        ['backends', name, 'upstreamTls', 'verify'],
        `anybody can pose as ${name}: its certificate is not verified`,
      )
  }
}

function checkTls(config: Config, knowledge: Knowledge, fault: Report): void {
  const look = (path: Path, tls: ConfiguredTls | null | undefined): void => {
    if (tls === null || tls === undefined) return
    const found = knowledge.tlsFault({ cert: tls.cert, key: tls.key?.reveal(), ca: tls.ca ?? tls.clientCa })
    if (found !== null)
      fault(path, {
        message: `${formatPath(path)} cannot be used: ${found}`,
        expected:
          'certificates in PEM, and a private key without a passphrase that belongs to the first of them',
      })
  }
  if (config.store.kind === 'etcd') look(['store', 'etcd', 'tls'], config.store.tls)
  look(['control', 'tls'], config.control.tls)
  for (const [name, { tls, upstreamTls }] of Object.entries(config.backends)) {
    look(['backends', name, 'tls'], tls)
    look(['backends', name, 'upstreamTls'], upstreamTls)
  }
}

interface ConfiguredTls {
  readonly cert?: string | undefined
  readonly key?: { reveal(): string } | undefined
  readonly ca?: string | undefined
  readonly clientCa?: string | undefined
}

function checkPlans(config: Config, fault: Report, warn: Warn): void {
  const fencers = Object.keys(config.fencers)
  for (const [name, plan] of Object.entries(config.plans)) {
    for (const [levelIndex, level] of plan.levels.entries()) {
      for (const [index, fencer] of level.entries()) {
        if (!fencers.includes(fencer))
          fault(['plans', name, 'levels', levelIndex, index], unknown('fencer', fencer, fencers))
        if (level.indexOf(fencer) !== index)
          fault(['plans', name, 'levels', levelIndex, index], {
            message: `${fencer} stands twice in one level`,
            expected: 'each fencer once in a level',
          })
      }
    }
  }
  const plans = Object.keys(config.plans)
  for (const [name, { plan }] of Object.entries(config.sources))
    if (plan !== null && !plans.includes(plan)) fault(['sources', name, 'plan'], unknown('plan', plan, plans))
  if (config.defaultPlan !== null && !plans.includes(config.defaultPlan))
    fault(['defaultPlan'], unknown('plan', config.defaultPlan, plans))
  for (const [name, { dryRun, fenceInfo }] of Object.entries(config.plans)) {
    for (const [key, value] of Object.entries(fenceInfo)) {
      const found = templateFault(value, config.inventory !== undefined)
      if (found !== null)
        fault(['plans', name, 'fenceInfo', key], {
          message: `plans.${name}.fenceInfo.${key}: ${found}`,
          expected: 'text with {{holder.NAME}}, {{fenceInfo.NAME}}, or {{host.NAME}} beside an inventory',
        })
    }
    if (dryRun)
      warn(
        ['plans', name, 'dryRun'],
        `a dry run: ${name} fences nobody, and every fence waits for an operator`,
      )
  }
  if (config.defaultPlan === null)
    warn(
      ['defaultPlan'],
      'there is no defaultPlan: a holder that names no plan is sealed and drained when it expires, but never fenced',
    )
}

function checkFencers(config: Config, knowledge: Knowledge | null, fault: Report, warn: Warn): void {
  const names = Object.keys(config.fencers)
  for (const section of ['brakes', 'monitor'] as const)
    for (const name of Object.keys(config[section].fencers))
      if (!names.includes(name)) fault([section, 'fencers', name], unknown('fencer', name, names))
  for (const [name, fencer] of Object.entries(config.fencers)) {
    const options = fencer.options.reveal()
    if (knowledge !== null) {
      if (!knowledge.drivers.includes(fencer.driver))
        fault(['fencers', name, 'driver'], unknown('driver', fencer.driver, knowledge.drivers))
      else
        for (const found of knowledge.driverOptions(fencer.driver, options))
          fault(['fencers', name, ...found.path], {
            message: `${[`fencers.${name}`, ...found.path.map(String)].join('.')}: ${found.message}`,
            ...(found.expected === undefined ? {} : { expected: found.expected }),
          })
    }
    const command = options['command']
    const program: unknown = Array.isArray(command) ? command[0] : command
    if (fencer.driver === 'exec' && typeof program === 'string' && HARMLESS_COMMANDS.has(program))
      warn(
        ['fencers', name, 'command'],
        `${program} fences nobody: ${name} would report success for a living holder`,
      )
  }
}

function checkPolicies(config: Config, policies: PolicyKnowledge, fault: Report): void {
  for (const found of policies.faults)
    fault(['policies', ...found.path], {
      message: `policies.${found.path.map(String).join('.')}: ${found.message}`,
      ...(found.expected === undefined ? {} : { expected: found.expected }),
    })
  for (const [name, backend] of Object.entries(config.backends)) {
    // One that is declared and faulty has been reported.
    if (!policies.names.includes(backend.policy) && Object.hasOwn(config.policies, backend.policy)) continue
    else if (!policies.names.includes(backend.policy))
      fault(['backends', name, 'policy'], unknown('policy', backend.policy, policies.names))
    // Of one with faults nothing else can be said.
    else if (policies.faults.some(({ path }) => path[0] === backend.policy)) continue
    else if (backend.quietMs === null && policies.quietMs(backend.policy) === null)
      fault(['backends', name, 'policy'], {
        message: `nothing could ever end a call of ${name} whose answer was lost: the policy ${backend.policy} has no quiet time`,
        expected: `backends.${name}.quiet: the seconds after which such a call can do no more harm`,
      })
  }
}

function unknown(what: string, name: string, known: readonly string[]): FaultText {
  return {
    message: `there is no ${what} "${name}"`,
    expected: known.length === 0 ? `a ${what} (there is none)` : `one of ${known.join(', ')}`,
    suggestion: nearest(name, known),
  }
}
