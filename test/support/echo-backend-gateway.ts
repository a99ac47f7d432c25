// A gate and a policy whose answers a test decides, and a listener in front of a backend that uses them.

import type { LockName } from '../../gateway/core/names.ts'
import { asLockName } from '../../gateway/core/names.ts'
import type { Refusal } from '../../gateway/core/verdict.ts'
import {
  type BackendListener,
  type BackendListenerOptions,
  startBackendListener,
} from '../../gateway/proxy/listener.ts'
import type { Clock } from '../../gateway/spi/clock.ts'
import type { GatewayEvent } from '../../gateway/spi/events.ts'
import type { AdmissionRequest, AdmissionResult, Gate, LedgerEntry } from '../../gateway/spi/gate.ts'
import type {
  CallHead,
  Classification,
  Dialect,
  JobProbe,
  JobRule,
  Policy,
} from '../../gateway/spi/policy.ts'

import { selfSigned } from './certificates.ts'
import { startTranslator } from './http2-translator.ts'

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

export class FakeEntry implements LedgerEntry {
  readonly request: AdmissionRequest
  session = 'session'
  /** Everything that was reported, in order. */
  readonly log: string[] = []
  refusal: Refusal | null = null
  rechecks = 0
  probe: JobProbe | null = null
  sealed = false
  leaseStands = true
  #sealedListener: (() => void) | null = null
  #abandonedListener: (() => void) | null = null

  constructor(request: AdmissionRequest) {
    this.request = request
  }

  recheck(): Refusal | null {
    this.rechecks++
    return this.refusal
  }

  ended(): void {
    this.log.push('ended')
  }

  job(id: string, probe: JobProbe): void {
    this.probe = probe
    this.log.push(`job ${id}`)
  }

  unknown(reason: string): void {
    this.log.push(`unknown: ${reason}`)
  }

  onSealed(listener: () => void): void {
    if (this.sealed) listener()
    else this.#sealedListener = listener
  }

  onAbandoned(listener: () => void): void {
    this.#abandonedListener = listener
  }

  seal(): void {
    this.sealed = true
    this.#sealedListener?.()
  }

  abandon(): void {
    this.#abandonedListener?.()
  }
}

export class FakeGate implements Gate {
  readonly entries: FakeEntry[] = []
  readonly asked: AdmissionRequest[] = []
  gone: AbortSignal | null = null
  heldBytes = 0
  /** What the next calls are told; admits by default. */
  decide: (request: AdmissionRequest) => Refusal | 'admit' | Promise<Refusal | 'admit'> = () => 'admit'
  onEntry: (entry: FakeEntry) => void = () => undefined

  admit(
    request: AdmissionRequest,
    gone: AbortSignal | null,
    heldBytes = 0,
  ): AdmissionResult | Promise<AdmissionResult> {
    this.asked.push(request)
    this.gone = gone
    this.heldBytes = heldBytes
    const decision = this.decide(request)
    return decision instanceof Promise
      ? decision.then((settled) => this.#result(request, settled))
      : this.#result(request, decision)
  }

  preview(): { verdict: Refusal | null; locks: readonly never[] } {
    return { verdict: null, locks: [] }
  }

  #result(request: AdmissionRequest, decision: Refusal | 'admit'): AdmissionResult {
    if (decision !== 'admit') return { kind: 'refused', refusal: decision }
    const entry = new FakeEntry(request)
    this.entries.push(entry)
    this.onEntry(entry)
    return { kind: 'admitted', entry }
  }
}

export interface FakePolicyOptions {
  readonly dialect?: Dialect
  readonly bodyBytes?: number
  readonly job?: JobRule
  readonly waitMs?: number
  readonly classify?: (head: CallHead, body: Buffer | null) => Classification | null
}

/** GET, HEAD and OPTIONS read, everything else changes lock `lock`; `/denied` is denied, `/session` is a session's. */
export class FakePolicy implements Policy {
  readonly name = 'fake'
  readonly quietMs = null
  readonly dialect: Dialect
  readonly bodies: (string | null)[] = []
  readonly bodyBytesMax: number
  readonly #options: FakePolicyOptions

  constructor(options: FakePolicyOptions = {}) {
    this.#options = options
    this.dialect = options.dialect ?? 'problem'
    this.bodyBytesMax = options.bodyBytes ?? 0
  }

  bodyBytesNeeded(): number {
    return this.#options.bodyBytes ?? 0
  }

  classify(head: CallHead, body: Buffer | null): Classification {
    this.bodies.push(body === null ? null : body.toString('latin1'))
    const own = this.#options.classify?.(head, body) ?? null
    if (own !== null) return own
    const base = {
      kind: 'call',
      waitMs: this.#options.waitMs ?? 0,
      target: head.target,
      locks: [],
      job: null,
    } as const
    if (head.target.startsWith('/denied')) return { ...base, effect: 'deny', rule: 'no' }
    if (head.target.startsWith('/session')) return { ...base, effect: 'session', rule: 'session' }
    if (head.method === 'GET' || head.method === 'HEAD' || head.method === 'OPTIONS')
      return { ...base, effect: 'read', rule: 'read' }
    return {
      ...base,
      effect: 'mutate',
      rule: 'change',
      locks: [{ name: lockName('lock'), mode: 'exclusive' }],
      job: this.#options.job ?? null,
    }
  }

  explain(head: CallHead, body: Buffer | null): { classification: Classification; trace: readonly string[] } {
    return { classification: this.classify(head, body), trace: [] }
  }
}

export interface TestGateway {
  readonly listener: BackendListener
  readonly port: number
  readonly gate: FakeGate
  readonly policy: FakePolicy
  readonly events: GatewayEvent[]
}

/** The way on which the suite of the data plane is tried: vitest.config.ts. */
export const WAY = process.env['FENCEGATE_TEST_WAY'] ?? 'wire'

export async function startTestGateway(
  upstream: string,
  policy: FakePolicyOptions = {},
  options: Partial<BackendListenerOptions> = {},
): Promise<TestGateway> {
  const gate = new FakeGate()
  const fake = new FakePolicy(policy)
  const events: GatewayEvent[] = []
  const certificate = WAY === 'http2' && options.tls === undefined ? localhostCertificate() : null
  const listener = await startBackendListener({
    name: 'test',
    listen: { host: '127.0.0.1', port: 0 },
    upstream,
    policy: fake,
    gate,
    enforce: true,
    clock: systemClock,
    events: (event) => events.push(event),
    raw: WAY !== 'node-http',
    ...(certificate === null ? {} : { tls: certificate }),
    ...options,
    limits: { closeMs: 200, lingerMs: 500, ...options.limits },
  })
  if (certificate === null) return { listener, port: listener.address.port, gate, policy: fake, events }
  const translator = await startTranslator(listener.address.port, certificate.cert)
  const close = listener.close.bind(listener)
  // Its clients' connections end with it, or the listener would wait for them.
  listener.close = async () => {
    const closed = close()
    if (listener.inFlight === 0) await translator.close()
    await closed
    await translator.close()
  }
  return { listener, port: translator.port, gate, policy: fake, events }
}

let certificateOfAll: { readonly cert: string; readonly key: string } | null = null

function localhostCertificate(): { readonly cert: string; readonly key: string } {
  certificateOfAll ??= selfSigned('/CN=localhost', 'DNS:localhost')
  return certificateOfAll
}

export function lockName(name: string): LockName {
  const lock = asLockName(name)
  if (lock === null) throw new Error(`not a lock name: ${name}`)
  return lock
}

/** Polls until the condition holds; the test's own timeout is the bound. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => setTimeout(resolve, 2))
}
