// The whole configuration as one strict zod object with every default.
// Each message in here completes the sentence "expected …"; load.ts says what was found instead, and where.

import { z } from 'zod'
import { CALLER_WAYS } from '../core/caller.ts'
import { balance, forwarded, health, limits, upgrade, upstream } from './data-plane-section.ts'
import { brakesOfAll, fences, monitor, plan } from './fencing-schema.ts'
import { named, seconds, strict, text, whole } from './fields.ts'
import { parseListen } from './listen.ts'
import { Secret } from './secret.ts'
import { sourcesSection } from './source-section.ts'

/** Two looks of a load balancer that looks once a second, and one to spare. */
const DELAY_MS = 3_000

const flag = z.boolean({ error: 'true or false' })
const secret = text(`a secret: file:PATH, \${NAME}, or the text itself`, 65_536).transform(
  (value) => new Secret(value),
)

const listen = z
  .string({ error: 'an address such as "127.0.0.1:7070", "[::1]:7070" or ":7070"' })
  .transform((value, context) => {
    const address = parseListen(value)
    if (address !== null) return address
    context.addIssue({
      code: 'custom',
      message: 'an address such as "127.0.0.1:7070", "[::1]:7070" or ":7070"',
    })
    return z.NEVER
  })

function url(expected: string, accepts: (url: URL) => boolean) {
  return z.string({ error: expected }).refine((value) => URL.canParse(value) && accepts(new URL(value)), {
    error: expected,
  })
}

const isHttp = (value: URL): boolean => value.protocol === 'http:' || value.protocol === 'https:'

const certificate = z
  .string({ error: 'a certificate in PEM, or the path of one' })
  .refine((value) => value.includes('-----BEGIN CERTIFICATE'), {
    error: 'a certificate in PEM, or the path of one',
  })
const privateKey = z
  .string({ error: 'a private key in PEM, or the path of one' })
  .refine((value) => value.includes('PRIVATE KEY-----'), {
    error: 'a private key in PEM, or the path of one',
  })
  .transform((value) => new Secret(value))

const serverTls = strict(
  {
    cert: certificate,
    key: privateKey,
    /** Who may sign clients' certificates: with it a client may show one, by which he is then known. */
    clientCa: certificate.optional(),
  },
  'a section with cert, key and clientCa',
)

const clientTls = strict(
  {
    /** Who may sign the other side's certificate; the system's authorities where absent. */
    ca: certificate.optional(),
    /** For servers that ask for a client's certificate; both or none. */
    cert: certificate.optional(),
    key: privateKey.optional(),
    /** The name in the other side's certificate, where it is not the host of its URL. */
    serverName: text('a host name').optional(),
    /** `false` accepts any certificate. `fencegate check` warns. */
    verify: flag.default(true),
  },
  'a section with ca, cert, key, serverName or verify',
).refine((tls) => (tls.cert === undefined) === (tls.key === undefined), {
  error: 'cert and key together, or neither',
})

const etcd = strict(
  {
    endpoints: z
      .array(url('an http:// or https:// URL of an etcd member', isHttp), {
        error: 'a list of http:// or https:// URLs of etcd members',
      })
      .min(1, { error: 'a list of at least one URL of an etcd member' }),
    prefix: z
      .string({ error: 'a key prefix such as /fencegate' })
      .regex(/^\/.*[^/]$/, { error: 'a key prefix that begins with a slash and does not end with one' })
      .default('/fencegate'),
    username: text('a user name').optional(),
    password: secret.optional(),
    tls: clientTls.optional(),
  },
  'a section with endpoints',
).refine((value) => (value.username === undefined) === (value.password === undefined), {
  error: 'username and password together, or neither',
})

const store = strict(
  {
    etcd: etcd.optional(),
    embedded: strict({ path: text('the path of a directory') }, 'a section with path').optional(),
  },
  'a section with either etcd or embedded',
).transform((value, context) => {
  if (value.etcd !== undefined && value.embedded === undefined)
    return { kind: 'etcd' as const, ...value.etcd }
  if (value.embedded !== undefined && value.etcd === undefined)
    return { kind: 'embedded' as const, ...value.embedded }
  context.addIssue({ code: 'custom', message: 'exactly one of etcd and embedded' })
  return z.NEVER
})

const credential = strict(
  {
    token: text(`a secret of at least 16 characters: file:PATH, \${NAME}, or the text itself`, 4096)
      .min(16, { error: `a secret of at least 16 characters: file:PATH, \${NAME}, or the text itself` })
      .transform((value) => new Secret(value))
      .optional(),
    /** Of a client's certificate. */
    certificate: text('the common name, DNS name or SHA-256 fingerprint of a certificate', 256).optional(),
    role: z.enum(['holder', 'operator', 'viewer'], { error: 'holder, operator or viewer' }),
    /** The only holder id that a `holder` may speak for; any where absent. */
    holder: text('a holder id', 256).optional(),
  },
  'a section with role and either token or certificate',
)
  .refine((value) => (value.token === undefined) !== (value.certificate === undefined), {
    error: 'either token or certificate',
  })
  .refine((value) => value.holder === undefined || value.role === 'holder', {
    error: 'holder only beside role: holder',
    path: ['holder'],
  })

const control = strict(
  {
    listen: listen.prefault('127.0.0.1:7070'),
    tls: serverTls.optional(),
    credentials: z
      .array(credential, { error: 'a list of sections with role and either token or certificate' })
      .max(1000, { error: 'at most 1000 credentials' })
      .default([]),
  },
  'a section with listen, tls and credentials',
)

const CALL_ID_EXPECTED = 'the name of a header field, such as Idempotency-Key'

const backend = strict(
  {
    listen,
    /** Further ways in, by name; each may be one holder's alone (`identify: [listener]`). */
    listeners: named(listen, 'addresses by name').default({}),
    tls: serverTls.optional(),
    /** Whether HTTP/2 is offered to clients where there is `tls`. */
    http2: flag.default(true),
    upstream,
    /** Which of several addresses takes a call: the first that is well, or the one with the fewest calls. */
    balance,
    /** Where absent: a connection is tried every 5 s where there are several addresses, and nobody looks at one alone. */
    health: health.optional(),
    upstreamTls: clientTls.optional(),
    policy: text('the name of a policy'),
    /** `false` is shadow mode: every verdict is computed, counted and logged, nothing is refused. */
    enforce: flag.default(true),
    /** In place of the policy's own `wait`. */
    wait: seconds(0, 3600).optional(),
    /** In place of the policy's own quiet time: after it an unknown call can do no more harm. */
    quiet: seconds(0, 604_800).optional(),
    limits: limits.prefault({}),
    upgrade,
    forwarded: forwarded.prefault({}),
    /** Fields by which clients name one call, so that it is known when it is sent again while it is under way. */
    callIds: z
      .array(
        z
          .string({ error: CALL_ID_EXPECTED })
          .regex(/^[A-Za-z0-9-]{1,64}$/, { error: CALL_ID_EXPECTED })
          .transform((name) => name.toLowerCase()),
        { error: 'a list of names of header fields' },
      )
      .max(4, { error: 'at most 4 names' })
      .default(['idempotency-key']),
    /** How callers that send no token are known; what a session is bound to counts in these ways only. */
    identify: z
      .array(z.enum(CALLER_WAYS, { error: `one of ${CALLER_WAYS.join(', ')}` }), {
        error: `a list of ${CALLER_WAYS.join(', ')}`,
      })
      .default([]),
    /** A known caller without a token counts as presenting the tokens that his session holds. */
    implicit: flag.default(false),
    /** The backend at which its callers log in, where that is another one: an identity service. */
    callersOf: text('the name of a backend').optional(),
    /** An account that only looks: asks this backend what became of jobs. */
    observer: strict(
      { username: text('a user name'), password: secret },
      'a section with username and password',
    ).optional(),
  },
  'a section with listen, upstream and policy',
).transform(({ wait, quiet, tls, upstream, upstreamTls, health: looks, observer, callersOf, ...rest }) => ({
  ...rest,
  callersOf: callersOf ?? null,
  upstreams: upstream,
  health: looks ?? (upstream.length > 1 ? health.parse({}) : null),
  tls: tls ?? null,
  upstreamTls: upstreamTls ?? null,
  observer: observer ?? null,
  waitMs: wait ?? null,
  quietMs: quiet ?? null,
}))

/** The driver's own schema judges what stands beside `driver`; all of it may be secret. */
const fencer = z
  .looseObject({ driver: text('the name of a fencing driver') }, { error: 'a section with driver' })
  .transform(({ driver, ...options }) => ({
    driver,
    options: new Secret<Readonly<Record<string, unknown>>>(options),
  }))

const sessions = strict(
  { ttlMin: seconds(0.1, 86_400).prefault(0.1), ttlMax: seconds(0.1, 86_400).prefault(3600) },
  'a section with ttlMin and ttlMax',
)
  .refine((value) => value.ttlMin <= value.ttlMax, {
    error: 'ttlMin not above ttlMax',
    path: ['ttlMin'],
  })
  .transform((value) => ({ ttlMsMin: value.ttlMin, ttlMsMax: value.ttlMax }))

const handover = strict(
  /** A call that has not ended this long after the seal is given up as unknown. */
  { drainLimit: seconds(0, 86_400).prefault(60) },
  'a section with drainLimit',
).transform((value) => ({ drainMsMax: value.drainLimit }))

const parking = strict(
  {
    /** Calls that wait for handovers, over all locks and backends; what comes on top is refused at once. */
    calls: whole(0, 1_000_000).default(4096),
    /** What they may keep in memory together. */
    bytes: whole(0, 1_099_511_627_776).default(67_108_864),
    /** The same for the calls that wait for one lock. */
    callsPerLock: whole(0, 1_000_000).default(256),
    bytesPerLock: whole(0, 1_099_511_627_776).default(16_777_216),
  },
  'a section with calls, bytes, callsPerLock or bytesPerLock',
)

const shutdown = strict(
  {
    /** After `/readyz` has turned red and before calls are refused, for load balancers to move away. */
    delay: seconds(0, 3600).optional(),
    /** What has not ended this long after that is broken off, and unknown. */
    limit: seconds(0, 86_400).prefault(30),
  },
  'a section with delay and limit',
)

const gateway = strict(
  /**
   * How long the others wait before they take this gateway for gone. Shorter, and a handover waits less for one that died;
   * longer, and a slow store or a stall of the machine ends fewer leases. etcd raises what is below 1.5 election time-outs.
   */
  { lease: seconds(2, 60).prefault(10) },
  'a section with lease',
).transform((value) => ({ leaseMs: value.lease }))

const signingKeyExpected = `a secret of at least 32 characters: file:PATH, \${NAME}, or the text itself`
const signing = strict(
  {
    key: text(signingKeyExpected)
      .min(32, { error: signingKeyExpected })
      .transform((value) => new Secret(value)),
    /** Refuse tokens without a signature. */
    required: flag.default(true),
  },
  'a section with key',
)

export const ConfigSchema = strict(
  {
    store: z.preprocess((value) => value ?? {}, store),
    /** Processes that share the ports; each is a gateway of its own towards the others. */
    workers: whole(1, 64).default(1),
    control: control.prefault({}),
    backends: named(backend, 'backends by name').default({}),
    policies: named(
      z.record(z.string(), z.unknown(), { error: 'a policy pack, or a section with extends' }),
      'policy packs by name',
    ).default({}),
    fencers: named(fencer, 'fencers by name').default({}),
    plans: named(plan, 'plans by name').default({}),
    /** Locks that others keep in etcd in a layout of their own. */
    sources: sourcesSection,
    /** For sessions that name no plan. */
    defaultPlan: text('the name of a plan').optional(),
    sessions: sessions.prefault({}),
    handover: handover.prefault({}),
    parking: parking.prefault({}),
    /** Over all plans. */
    brakes: brakesOfAll.prefault({}),
    /** Whether the fencers could do their job: asked at the start, and then on a schedule. */
    monitor: monitor.prefault({}),
    /** A file that says of each host how to reach it, for the `fenceInfo` of plans. */
    inventory: text('the path of a file').optional(),
    fences: fences.prefault({}),
    shutdown: shutdown.prefault({}),
    gateway: gateway.prefault({}),
    tokens: strict({ signing: signing.optional() }, 'a section with signing').default({}),
    log: strict(
      {
        level: z
          .enum(['debug', 'info', 'warn', 'error', 'silent'], {
            error: 'debug, info, warn, error or silent',
          })
          .default('info'),
      },
      'a section with level',
    ).prefault({}),
    /** Directory of what this gateway itself must not forget: its high-water mark. Not in the store. */
    state: text('the path of a directory').default('./state'),
  },
  'a section with store, backends, …',
).transform(({ defaultPlan, tokens, shutdown: { delay, limit }, ...rest }) => ({
  ...rest,
  // Where this is the only gateway, nobody has anywhere to move to.
  shutdown: { delayMs: delay ?? (rest.store.kind === 'etcd' ? DELAY_MS : 0), limitMs: limit },
  defaultPlan: defaultPlan ?? null,
  tokens: { signing: tokens.signing ?? null },
}))

/** Durations in milliseconds, paths absolute, secrets wrapped. */
export type Config = z.output<typeof ConfigSchema>
export type StoreConfig = Config['store']
export type ControlConfig = Config['control']
export type BackendConfig = Config['backends'][string]
export type FencerConfig = Config['fencers'][string]
export type PlanConfig = Config['plans'][string]
