// What the control API takes and answers, once: requests are validated by these, answers written by them, and
// /openapi.json generated from them.

import { z } from 'zod'
import { BINDING_WAYS } from '../core/caller.ts'
import { FENCE_STATES } from '../core/fence-record.ts'
import { LOCK_NAME_BYTES_MAX } from '../core/names.ts'

const WAIT_SECONDS_MAX = 86_400
const TEXT_MAX = 4096

const seconds = z.number().describe('Seconds; may be fractional.')
const time = z.string().describe('RFC 3339, UTC.')
export const token = z
  .string()
  .regex(/^\d{1,16}$/, { error: 'expected a decimal number in a string, as the grant gave it' })
  .describe('A fencing token: a decimal number as a string.')
export const mode = z.enum(['exclusive', 'shared'])
const json = z.record(z.string(), z.unknown())
const line = z.string().trim().min(1).max(TEXT_MAX)

export const Holder = z
  .looseObject({ id: z.string().min(1).max(256) })
  .describe('Who holds the session: an id, and whatever else identifies the process.')

export const SessionId = z.string().max(64).describe('A session, as `POST /v1/sessions` answered it.')

export const SessionParams = z.object({ id: SessionId })
export const FenceParams = z.object({
  id: z.string().max(64).describe('A fence, as `GET /v1/fences` lists it.'),
})
export const LockParams = z.object({
  name: z
    .string()
    .describe(`A lock's name, percent-encoded, slashes too; at most ${LOCK_NAME_BYTES_MAX} bytes.`),
})

export const PageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  after: z.string().max(TEXT_MAX).optional().describe('`next` of the page before.'),
})
export const FencesQuery = PageQuery.extend({
  state: z
    .enum(['open', ...FENCE_STATES])
    .optional()
    .describe('Only fences in this state; `open`: all that are not closed.'),
})
export const LocksQuery = PageQuery.extend({ prefix: z.string().max(LOCK_NAME_BYTES_MAX).default('') })
export const ReleaseQuery = z.strictObject({
  session: SessionId,
  token: token
    .optional()
    .describe('Of the grant that is given back, or was before an upgrade; else whatever the session has.'),
})

export const OpenSession = z.strictObject({
  ttl: z.number().positive().describe('Seconds without a renewal after which the session is over.'),
  holder: Holder,
  fenceInfo: json.default({}).describe('What the plan’s fencers need to find and stop this holder.'),
  plan: z.string().min(1).max(64).optional().describe('A fence plan of the configuration; else its default.'),
})

export const AcquireLock = z.strictObject({
  session: SessionId,
  mode: mode.default('exclusive'),
  wait: z.number().min(0).max(WAIT_SECONDS_MAX).default(0).describe('Seconds to wait in the queue; 0: try.'),
  note: line.optional().describe('Shown beside the waiter and the owner, for people.'),
})

export const ChangeMode = z.strictObject({
  session: SessionId,
  token: token.describe('Of the grant that the session holds. A retry names the same one again.'),
  mode,
  wait: z
    .number()
    .min(0)
    .max(WAIT_SECONDS_MAX)
    .default(0)
    .describe('Seconds that an upgrade may wait for other readers; 0: try.'),
})

export const OperatorsWord = z.strictObject({
  by: line.describe('Who vouches.'),
  reason: line.describe('Why; stays in the record.'),
})
export const RetryWord = OperatorsWord.partial()
export const VouchForCalls = OperatorsWord.extend({
  gateways: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(256)
    .optional()
    .describe('Incarnations whose calls are vouched for; left out: whatever is unknown now.'),
  token: token.optional().describe('Only calls under this token.'),
})
export const FenceSession = OperatorsWord.extend({ plan: z.string().min(1).max(64).optional() })

export const BindSession = z.strictObject({
  backend: z.string().min(1).max(64).describe('A backend that knows its callers (`identify`).'),
  by: z
    .enum(BINDING_WAYS)
    .describe('`listener`: its name; `login`: a login name; `session`: a cookie or token of the backend.'),
  value: z.string().min(1).max(4096),
})
export const Bound = z.object({ backend: z.string(), by: z.enum(BINDING_WAYS) })

const afterFences = z
  .array(z.string())
  .readonly()
  .describe(
    'The fences that were closed before the lock was given; `GET /v1/fences/{id}` has their evidence. Absent: it was released.',
  )

const Grant = z.object({
  lock: z.string(),
  mode,
  token,
  signed: z.string().optional().describe('The token with its signature, ready for `Fencing-Token`.'),
  acquiredAt: time,
  afterFences: afterFences.optional(),
})

export { Grant }

export const KeptAlive = z.object({ ttl: seconds, expiresAt: time.nullable() })
export const OpenedSession = KeptAlive.extend({ session: z.string() })

export const Session = z.object({
  session: z.string(),
  ttl: seconds,
  expiresAt: time.nullable(),
  holder: Holder.nullable(),
  fenceInfo: json,
  plan: z.string().nullable(),
  openedAt: time.nullable(),
  bindings: z
    .array(Bound.extend({ value: z.string().optional().describe('Absent where it is a secret.') }))
    .describe('What its calls are known by.'),
  holds: z.array(z.object({ lock: z.string(), mode, token })),
  waitsFor: z.array(z.object({ lock: z.string(), mode })),
})

export const Owner = z.object({
  session: z.string(),
  holder: Holder.nullable(),
  mode,
  token,
  since: time,
  state: z
    .enum(['open', 'changing', 'sealed'])
    .describe('`changing`: exclusive once the session’s own shared calls are over.'),
  cause: z
    .enum(['released', 'expired', 'revoked', 'upgraded'])
    .optional()
    .describe('Why the grant ended, once sealed.'),
  fence: z.string().optional(),
  afterFences: afterFences.optional(),
  inFlight: z.number().int(),
  unknown: z.number().int(),
  jobs: z
    .array(z.object({ backend: z.string(), job: z.string(), since: time, incarnation: z.string() }))
    .optional()
    .describe('Jobs that hold up the handover past the drain limit.'),
  vouched: z
    .array(z.object({ by: z.string(), reason: z.string(), at: time, incarnations: z.array(z.string()) }))
    .optional()
    .describe('Operators’ words about its unknown calls.'),
})

const UnknownCalls = z.object({
  token,
  gateway: z.string(),
  incarnation: z.string(),
  calls: z.number().int().nullable().describe('Null where only that gateway could have counted them.'),
})

export const Vouched = z.object({
  lock: z.string(),
  by: z.string(),
  reason: z.string(),
  at: time,
  vouched: z.array(UnknownCalls),
})

export const Lock = z.object({
  lock: z.string(),
  phase: z.enum(['free', 'open', 'handover', 'blocked']),
  owners: z.array(Owner),
  waiters: z.array(
    z.object({
      session: z.string(),
      holder: Holder.nullable(),
      mode,
      token,
      waited: seconds.nullable(),
      note: z.string().optional(),
    }),
  ),
  highWater: z.string(),
  waitingOn: z.array(z.string()),
  inFlight: z.array(
    z.object({
      token,
      backend: z.string(),
      method: z.string(),
      target: z.string(),
      state: z.enum(['forwarded', 'job', 'unknown']),
      seconds,
      job: z.string().optional(),
      reason: z.string().optional(),
    }),
  ),
  unknown: z
    .array(UnknownCalls)
    .describe('Calls of which nobody knows what became of them, for which an operator may vouch.'),
  lastFences: z.array(z.string()),
})

const proof = z.enum(['no-new-calls', 'swept', 'blocks', 'flushed'])

export const Fence = z.object({
  id: z.string(),
  session: z.string(),
  state: z.enum(FENCE_STATES),
  outcome: z.enum(['fenced', 'confirmed', 'unfenced']).optional().describe('Once closed.'),
  level: z.number().int().optional().describe('From 0; while due or running.'),
  blocked: z
    .string()
    .optional()
    .describe('Why no level succeeded, or why none is tried (`held`); an operator must retry or confirm.'),
  closedAt: time.optional(),
  closedBy: z.string().optional(),
  closedReason: z.string().optional(),
  cause: z.enum(['expired', 'operator']),
  by: z.string().nullable(),
  reason: z.string().nullable(),
  holder: json.nullable(),
  fenceInfo: json,
  plan: z.string().nullable(),
  dryRun: z.boolean().optional().describe('Nobody is struck; only an operator closes it.'),
  shadow: z
    .boolean()
    .optional()
    .describe('All gateways were in shadow mode: nobody is struck, and it closes by itself as `unfenced`.'),
  levels: z.array(z.array(z.string())),
  targets: z.array(z.string()),
  createdAt: time,
  neighbours: z
    .array(z.object({ session: z.string(), holder: z.string(), locks: z.array(z.string()) }))
    .optional()
    .describe(
      'While it is not closed: living sessions that name the same host or target, and go down with it.',
    ),
  attempts: z.array(
    z.object({
      level: z.number().int(),
      fencer: z.string(),
      number: z.number().int(),
      startedAt: time,
      endedAt: time,
      outcome: z.enum(['verified', 'failed', 'timed-out', 'unknown', 'refused']),
      output: z.string(),
    }),
  ),
  callbacks: z
    .array(
      z.object({
        fencer: z.string(),
        attempt: z.number().int(),
        state: z.enum(['fenced', 'failed']),
        at: time,
        evidence: z.string(),
      }),
    )
    .optional()
    .describe('What fencers’ services have said by themselves.'),
  undone: z
    .array(
      z.object({
        fencer: z.string(),
        at: time,
        by: z.string(),
        reason: z.string(),
        outcome: z.enum(['undone', 'failed', 'timed-out']),
        output: z.string(),
      }),
    )
    .optional()
    .describe('What operators had undone once it was closed.'),
  proofs: z.array(
    z.object({
      fencer: z.string(),
      proves: z.array(proof),
      observedAt: time,
      observed: z.string(),
      request: z.string(),
    }),
  ),
})

export const PlanQuery = z.object({ plan: z.string().min(1).max(64).optional() })

export const FencePreview = z.object({
  session: z.string(),
  holder: json.nullable(),
  plan: z.string().nullable(),
  dryRun: z.boolean().describe('Nobody would be struck.'),
  fenceInfo: json,
  levels: z.array(
    z.object({
      after: seconds.describe('What is let pass before it begins.'),
      fencers: z.array(
        z.object({
          fencer: z.string(),
          driver: z.string().nullable(),
          proves: z.array(proof),
          power: z.boolean(),
          target: z.string().nullable().describe('Whom it would strike.'),
          fault: z.string().nullable().describe('Why it would strike nobody.'),
          health: z.enum(['unknown', 'healthy', 'unhealthy']),
          reason: z.string().nullable(),
        }),
      ),
    }),
  ),
  neighbours: z
    .array(z.object({ session: z.string(), holder: z.string(), locks: z.array(z.string()) }))
    .describe('Living sessions that name the same host or target, and go down with a power fence.'),
  heldBy: z.array(z.string()).describe('What would keep a level from striking; empty where nothing would.'),
})

export const FencerState = z.object({
  fencer: z.string(),
  driver: z.string(),
  state: z.enum(['unknown', 'healthy', 'unhealthy']).describe('`unknown`: nobody has asked it yet.'),
  reason: z.string().nullable(),
  monitoredAt: time.nullable().describe('When it was last asked.'),
  since: time.nullable().describe('When the state became what it is.'),
  lastResortOf: z.array(z.string()).describe('Plans that have nothing left to try where it fails.'),
})

export const Backend = z.object({
  backend: z.string(),
  policy: z.string(),
  enforced: z.boolean().describe('False in shadow mode.'),
  inFlight: z.int().describe('Calls between their head and their end at the backend, reads too.'),
  connections: z.int().describe('Of clients.'),
  jobs: z.int().describe('Jobs that are watched until they are over.'),
  shed: z.record(z.string(), z.int()).describe('Turned away since the start, by the limit that was met.'),
  upstreams: z.array(
    z.object({
      upstream: z.string(),
      healthy: z.boolean(),
      reason: z.string().nullable(),
      since: time.describe('When it became what it is.'),
      inFlight: z.int().describe('Calls that it has, or that wait for a connection to it.'),
    }),
  ),
})

export const FenceOrdered = z.object({ fence: z.string().describe('Its id, for `GET /v1/fences/{id}`.') })

export const Ready = z.object({
  ready: z.boolean(),
  reason: z.string().nullable(),
  unhealthyFencers: z.array(z.string()).optional().describe('See `GET /v1/fencers`.'),
})
export const Live = z.object({ live: z.literal(true) })

export const Problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
  })
  .describe('RFC 9457; further members belong to the type.')

export function listOf<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), next: z.string().optional().describe('`after` of the next page.') })
}
