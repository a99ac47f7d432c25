// Puts one gateway together from a configuration, in the order in which its parts depend on each other, and takes it
// apart in the opposite order. Part of the composition root.

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type Config, formatListen, type ListenAddress, lockSources, openInventory } from './config/index.ts'
import { type Credential, type RunningControl, startControl } from './control/index.ts'
import { GatewayError } from './core/errors.ts'
import { parseFencingToken } from './core/fencing-token.ts'
import { createCallbacks } from './fencing/callbacks.ts'
import { startMonitoring } from './fencing/monitoring.ts'
import { countOpenFences } from './fencing/open-fences.ts'
import { createFencing } from './fencing/plans.ts'
import { startSequencer } from './fencing/sequencer.ts'
import { startUndoing } from './fencing/undoing.ts'
import type { RoomKnowledge } from './knowledge.ts'
import { callerFinder, callerTerms, listenerOptions, revealed } from './listener-options.ts'
import { enterEpoch } from './locking/epoch-keeper.ts'
import { startLocking } from './locking/locking.ts'
import { openMark, openStore, renewTls, StartFailure, storePrefix, storeSilent } from './own-store.ts'
import { type BackendListener, startBackendListener } from './proxy/listener.ts'
import { signingOf } from './signing.ts'
import type { Clock } from './spi/clock.ts'
import { StoreUnavailable } from './spi/store.ts'
import { createEvents, createMetrics, type Log } from './telemetry/index.ts'
import { waysIn } from './ways-in.ts'
import type { WorkerLink } from './workers/worker.ts'

/** The listeners have broken off what was in flight: what is not settled by now will not be. */
const SETTLE_MS = 1_000

export interface GatewayOptions {
  readonly config: Config
  readonly knowledge: RoomKnowledge
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  /** Null where this process is the only one of its ports. */
  readonly worker: WorkerLink | null
  /** The process stood still past its lease: end it at once. */
  readonly onStopped: (reason: string) => void
}

export interface RunningGateway {
  readonly control: ListenAddress
  readonly backends: ReadonlyMap<string, ListenAddress>
  /** The certificates towards the store were renewed: takes them from this configuration. */
  renewStoreTls(renewed: Config): void
  /** Sends callers elsewhere, then takes no new calls, lets those in flight end, and goes. Idempotent. */
  close(): Promise<void>
}

/** What has been started, to be ended in the opposite order, also where a later part fails to start. */
class Parts {
  readonly #ends: (() => Promise<void> | void)[] = []

  add(end: () => Promise<void> | void): void {
    this.#ends.push(end)
  }

  async end(): Promise<void> {
    for (const end of this.#ends.splice(0).toReversed()) await end()
  }
}

/** Rejects with `StartFailure`. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const parts = new Parts()
  try {
    return await start(options, parts)
  } catch (error) {
    await parts.end()
    throw error
  }
}

async function start(options: GatewayOptions, parts: Parts): Promise<RunningGateway> {
  const { config, knowledge, clock, log, worker } = options
  const metrics = createMetrics({
    processMetrics: true,
    ...(worker === null ? {} : { worker: worker.number }),
  })
  worker?.observe(metrics)
  parts.add(() => metrics.close())
  const events = createEvents({
    clock,
    log,
    metrics,
    run: worker?.run ?? newRun(),
    ...(worker === null ? {} : { relay: (event, at) => worker.relay(event, at) }),
  })
  worker?.onEvents((numbered) => events.accept(numbered))

  const store = openStore(config, clock)
  parts.add(() => store.close())
  const fencing = createFencing({
    fencers: Object.fromEntries(
      Object.entries(config.fencers).map(([name, { driver, options: secret }]) => [
        name,
        { driver, options: secret.reveal() },
      ]),
    ),
    plans: config.plans,
    defaultPlan: config.defaultPlan,
    registry: knowledge.registry,
    clock,
    ...(config.inventory === undefined
      ? {}
      : { inventory: openInventory(config.inventory, (message) => log.error({}, message)) }),
    secretInfo: config.fences.secretInfo,
    limits: { powerPerHour: config.brakes.powerPerHour ?? null, fencers: config.brakes.fencers },
    note: (fencer, line) => log.info({ fencer }, line),
  })
  parts.add(() => fencing.close())

  const policies = new Map(
    Object.keys(config.backends).map((name) => [name, knowledge.policyOf(config, name)]),
  )
  const common = {
    prefix: storePrefix(config),
    clock,
    events: events.sink,
    newId: () => randomBytes(16).toString('hex'),
    quietMs: longestQuietMs([...policies.values()]),
    leaseMs: config.gateway.leaseMs,
  }
  const shadow = isShadow(config)
  if (shadow)
    log.warn(
      {},
      'shadow mode: no backend is enforced, and fences strike nobody while that is so at every gateway',
    )
  const silent = (error: unknown): never => {
    throw error instanceof StoreUnavailable ? new StartFailure(storeSilent(config, error)) : error
  }
  const epoch = await enterEpoch({ ...common, store, mark: openMark(config, worker?.number ?? null) }).catch(
    silent,
  )
  const locking = await startLocking({
    ...common,
    sources: lockSources(config.sources),
    store: epoch.store,
    mark: epoch,
    epoch,
    planner: fencing,
    name: worker === null ? hostname() : `${hostname()} worker ${worker.number}`,
    shadow,
    drainMs: config.handover.drainMsMax,
    loginKeys: [...new Set([...policies.values()].flatMap(({ loginKeys }) => loginKeys ?? []))],
    fencesKeptMs: config.fences.keepMs,
    parkedMax: config.parking.calls,
    parking: {
      bytesMax: config.parking.bytes,
      lock: { callsMax: config.parking.callsPerLock, bytesMax: config.parking.bytesPerLock },
      backend(name) {
        const limits = config.backends[name]?.limits
        return { callsMax: limits?.parked ?? 0, bytesMax: limits?.parkedBytes ?? 0 }
      },
    },
    ttlMsMin: config.sessions.ttlMsMin,
    ttlMsMax: config.sessions.ttlMsMax,
    signing: signingOf(config),
    onStopped: options.onStopped,
  }).catch(silent)
  parts.add(() => locking.close(SETTLE_MS))
  metrics.observe({
    sessions: () => locking.counts().sessions,
    locks: () => locking.counts().locks,
    inFlight: () => locking.counts().inFlight,
    unknown: () => locking.counts().unknown,
    waiting: () => locking.counts().waiting,
    parked: () => locking.counts().parked,
  })

  const monitoring = startMonitoring({
    fencing,
    clock,
    random: Math.random,
    events: events.sink,
    ...config.monitor,
  })
  parts.add(() => monitoring.stop())
  const sequencer = startSequencer({
    journal: locking.journal,
    fencing,
    clock,
    storm: config.brakes.storm,
    random: Math.random,
    events: events.sink,
    doubts: monitoring,
    onFault: (message) => log.error({}, message),
  })
  parts.add(() => sequencer.stop())
  const callbacks = createCallbacks({ ...common, journal: locking.journal, fencing })
  const undoing = startUndoing({ ...common, journal: locking.journal, fencing, events: events.sink })
  parts.add(() => undoing.stop())
  metrics.observeFencing({
    fences: () =>
      countOpenFences(
        locking.journal.list().map(({ record }) => record),
        clock.wallMs(),
      ),
    fencers: () => monitoring.health(),
  })

  const listeners: BackendListener[] = []
  const control = await listen('the control API', 'control.listen', config.control.listen, () =>
    startControl({
      listen: config.control.listen,
      tls:
        config.control.tls === undefined
          ? null
          : { ...revealed(config.control.tls), clientCa: config.control.tls.clientCa },
      credentials: config.control.credentials.flatMap(credentialOf),
      plane: locking.plane,
      fencers: () => monitoring.health(),
      backends: () => listeners.map(({ state }) => state),
      undoFence: (id, word) => undoing.undo(id, word),
      takeCallback: (delivery) => callbacks.take(delivery),
      previewFence(session, plan) {
        const record = locking.plane.previewFence?.(session, plan)
        if (record === undefined) throw new GatewayError('not-found', 'nobody can tell what a fence would do')
        return sequencer.preview(record, monitoring.health())
      },
      callers(name) {
        const backend = config.backends[name]
        if (backend === undefined) return null
        const { callersOf, identify, listeners } = backend
        return { realm: callersOf ?? name, ways: identify, listeners: [name, ...Object.keys(listeners)] }
      },
      clock,
      log,
      ttlMsMin: config.sessions.ttlMsMin,
      ttlMsMax: config.sessions.ttlMsMax,
      version: options.version,
      check: {
        backend(name) {
          const policy = policies.get(name)
          const backend = config.backends[name]
          if (policy === undefined || backend === undefined) return null
          return {
            policy,
            enforce: backend.enforce,
            quietMs: policy.quietMs,
            callerOf: callerFinder(name, backend, locking.callers),
          }
        },
        callers: locking.callers,
        gate: locking.gate,
        logins: locking.logins,
        readTokens,
      },
      events,
      metrics: () => (worker ?? metrics).expose(),
    }),
  )
  parts.add(() => control.close())

  const backends = new Map<string, ListenAddress>()
  // Together: each waits for its calls in flight, and none for another's.
  parts.add(async () => {
    control.dismiss()
    await Promise.all(listeners.map((listener) => listener.close()))
  })
  for (const { name, backend, label, setting, address } of waysIn(config)) {
    const policy = policies.get(name)
    if (policy === undefined) continue
    const listener = await listen(`backend ${label}`, setting, address, () =>
      startBackendListener({
        ...listenerOptions(name, backend, config.shutdown.limitMs, {
          policy,
          gate: locking.gate,
          logins: locking.logins,
          clock,
          events: events.sink,
        }),
        listen: address,
        ...callerTerms({ name, backend, label, book: locking.callers }),
      }),
    )
    listeners.push(listener)
    metrics.observeCalls(label, listener.calls)
    metrics.observeBackend(label, () => listener.state)
    backends.set(label, listener.address)
  }
  let closed: Promise<void> | null = null
  const close = async (): Promise<void> => {
    control.leave()
    for (const listener of listeners) listener.leave()
    // Another gateway takes its fences over while the calls here are still ending.
    monitoring.stop()
    if (store.shared) await sequencer.stop()
    await new Promise<void>((resolve) => clock.after(config.shutdown.delayMs, resolve))
    await parts.end()
  }
  return {
    control: control.address,
    backends,
    renewStoreTls: (renewed) => renewTls(store, renewed),
    close() {
      closed ??= close()
      return closed
    },
  }
}

/** No backend is enforced; where there is none at all, the locks themselves are what is relied on. */
function isShadow({ backends }: Config): boolean {
  const all = Object.values(backends)
  return all.length > 0 && all.every(({ enforce }) => !enforce)
}

/** Names a run, so that an event of another run is recognised. */
export function newRun(): string {
  return randomBytes(6).toString('hex')
}

async function listen<Listener extends RunningControl | BackendListener>(
  who: string,
  setting: string,
  address: ListenAddress,
  begin: () => Promise<Listener>,
): Promise<Listener> {
  try {
    return await begin()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    const where = formatListen(address)
    if (code === 'EADDRINUSE')
      throw new StartFailure(
        `${who} cannot listen on ${where}: the port is taken; end what uses it, or change ${setting}`,
      )
    if (code === 'EACCES')
      throw new StartFailure(
        `${who} may not listen on ${where}; take a port above 1023, or give the process the right to it (${setting})`,
      )
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
      throw new StartFailure(
        `${who} cannot listen on ${where}: this machine has no such address (${setting})`,
      )
    throw error
  }
}

/** The longest any backend may take to finish what nobody knows of; null where one says nothing of it. */
function longestQuietMs(policies: readonly { readonly quietMs: number | null }[]): number | null {
  let longest = 0
  for (const { quietMs } of policies) {
    if (quietMs === null) return null
    longest = Math.max(longest, quietMs)
  }
  return longest
}

/** None where neither is given, which the configuration does not let through. */
function credentialOf(written: Config['control']['credentials'][number]): readonly Credential[] {
  const { token, certificate, role, holder = null } = written
  if (token !== undefined) return [{ token: token.reveal(), role, holder }]
  return certificate === undefined ? [] : [{ certificate, role, holder }]
}

const readTokens: Parameters<typeof startControl>[0]['check']['readTokens'] = (field) => {
  if (field === undefined) return { kind: 'tokens', tokens: [] }
  const parsed = parseFencingToken(field)
  return parsed.kind === 'tokens'
    ? parsed
    : { kind: 'refused', refusal: { code: 'bad-token', detail: parsed.reason } }
}
