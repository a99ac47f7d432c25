// What a backend's section says of the way through the data plane: where the backend is, and every bound on the way there.

import { isIP } from 'node:net'
import { z } from 'zod'
import { seconds, strict, text, whole } from './fields.ts'

const UPSTREAM_EXPECTED = 'an http:// or https:// URL without user name, query and fragment'
const UPSTREAMS_MAX = 16

function isUpstream(value: unknown): value is string {
  if (typeof value !== 'string' || !URL.canParse(value)) return false
  const { protocol, username, password, search, hash } = new URL(value)
  return [username, password, search, hash].every((part) => part === '') && /^https?:$/.test(protocol)
}

/** One address, or several where any of them can take any call. */
export const upstream = z.unknown().transform((value, context): readonly string[] => {
  const fault = (message: string, path: readonly number[] = []): void =>
    context.addIssue({ code: 'custom', message, path: [...path] })
  if (!Array.isArray(value)) {
    if (isUpstream(value)) return [value]
    fault(UPSTREAM_EXPECTED)
    return z.NEVER
  }
  const all: string[] = []
  for (const [index, address] of value.entries()) {
    if (isUpstream(address)) all.push(address)
    else fault(UPSTREAM_EXPECTED, [index])
  }
  if (value.length === 0 || value.length > UPSTREAMS_MAX) fault(`1 to ${UPSTREAMS_MAX} URLs`)
  if (new Set(all).size !== all.length) fault('URLs that differ')
  return all
})

export const balance = z.enum(['first', 'least'], { error: 'first or least' }).default('first')

/** How the addresses are looked after. */
export const health = strict(
  {
    /** Asked with GET; a status from 200 to 399 is well. A connection is enough where absent. */
    path: text('a path such as /healthcheck')
      .regex(/^\/[\x21-\x7e]*$/, { error: 'a path such as /healthcheck' })
      .optional(),
    /** 0: nobody looks. */
    every: seconds(0, 3600).prefault(5),
    timeout: seconds(0.1, 60).prefault(2),
    /** So many looks in a row, and an address is not well, or well again. */
    failures: whole(1, 100).default(2),
    successes: whole(1, 100).default(2),
  },
  'a section with path, every, timeout, failures and successes',
).transform(({ path, every, timeout, ...rest }) => ({
  ...rest,
  path: path ?? null,
  everyMs: every,
  timeoutMs: timeout,
}))

/** Protocols to which a client may change its connection. */
export const upgrade = z
  .array(
    z
      .string({ error: 'the name of a protocol, such as websocket' })
      .regex(/^[A-Za-z][A-Za-z0-9.-]{0,63}$/, { error: 'the name of a protocol, such as websocket' })
      // HTTP again, with calls that nobody would check.
      .refine((name) => !/^(h2c|http)/i.test(name), { error: 'a protocol other than HTTP' })
      .transform((name) => name.toLowerCase()),
    { error: 'a list of protocols, such as [websocket]' },
  )
  .max(8, { error: 'at most 8 protocols' })
  .default([])

const RANGE_EXPECTED = 'a list of IP addresses or ranges, such as [10.0.0.0/8]'

function isRange(value: string): boolean {
  const [address = '', bits, ...rest] = value.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

/** What the backend is told of the client. Nothing is added, and nothing of the client's taken away, where absent. */
export const forwarded = strict(
  {
    send: z
      .array(z.enum(['x-forwarded', 'forwarded'], { error: 'x-forwarded or forwarded' }), {
        error: 'a list of x-forwarded and forwarded',
      })
      .default([]),
    /** Proxies before this one, whose own such fields are kept and added to. */
    trust: z
      .array(z.string({ error: RANGE_EXPECTED }).refine(isRange, { error: RANGE_EXPECTED }), {
        error: RANGE_EXPECTED,
      })
      .max(1000, { error: 'at most 1000 addresses' })
      .default([]),
  },
  'a section with send and trust',
)

export const limits = strict(
  {
    /** Request line and header fields. */
    headerBytes: whole(1024, 1_048_576).default(65_536),
    /** Of a body that the policy has to read; bodies that it has not are streamed. */
    inspectedBytes: whole(1024, 67_108_864).optional(),
    /** Header fields of one request. */
    headers: whole(10, 2000).default(200),
    /** Of a request's body; 0: none. */
    bodyBytes: whole(0, 1_099_511_627_776).default(0),
    /** Of clients, in all and of one address; half of them where absent. 0 of one address: no bound of its own. */
    connections: whole(1, 100_000).default(4096),
    connectionsPerAddress: whole(0, 100_000).optional(),
    /** Calls between their head and their end at the backend; of them, changes under the grants of one session. */
    calls: whole(1, 100_000).default(4096),
    callsPerSession: whole(0, 100_000).default(1024),
    /** Of the bodies that are held before their calls go on, together. */
    bodiesBytes: whole(67_108_864, 1_099_511_627_776).default(268_435_456),
    /** Calls at a time on one connection of HTTP/2. */
    streams: whole(1, 10_000).default(100),
    /** To each address of the backend. */
    upstreamConnections: whole(1, 10_000).default(256),
    /** Calls of this backend that wait for a handover. */
    parked: whole(0, 100_000).default(1024),
    /** What they may keep in memory together. */
    parkedBytes: whole(0, 1_099_511_627_776).default(33_554_432),
    /** Until the request's header fields are complete. */
    headTimeout: seconds(0.1, 3600).prefault(30),
    /** While a request's body does not move. */
    bodyTimeout: seconds(0.1, 3600).prefault(60),
    /** While a client's connection has nothing to do. */
    idleTimeout: seconds(1, 3600).prefault(65),
    /** While a client takes nothing of what waits for it. */
    readTimeout: seconds(1, 3600).prefault(300),
    /** While nothing moves on a connection that has changed its protocol (`upgrade`). */
    tunnelIdle: seconds(1, 604_800).prefault(3600),
    /** Until the backend begins its answer, and between two pieces of it. */
    answerTimeout: seconds(0.1, 86_400).prefault(300),
    connectTimeout: seconds(0.1, 300).prefault(10),
    /** After that long a connection to the backend is used for no further call: its name may lead elsewhere. 0: never. */
    upstreamAge: seconds(0, 86_400).prefault(300),
  },
  'a section of limits',
).transform(
  ({
    headTimeout,
    bodyTimeout,
    idleTimeout,
    readTimeout,
    answerTimeout,
    connectTimeout,
    upstreamAge,
    tunnelIdle,
    ...rest
  }) => ({
    ...rest,
    /** In place of the policy's own limit. */
    inspectedBytes: rest.inspectedBytes ?? null,
    connectionsPerAddress: rest.connectionsPerAddress ?? Math.ceil(rest.connections / 2),
    headTimeoutMs: headTimeout,
    bodyTimeoutMs: bodyTimeout,
    idleTimeoutMs: idleTimeout,
    readTimeoutMs: readTimeout,
    answerTimeoutMs: answerTimeout,
    connectTimeoutMs: connectTimeout,
    upstreamAgeMs: upstreamAge,
    tunnelIdleMs: tunnelIdle,
  }),
)
