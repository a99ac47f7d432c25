// The records as they stand in the store: JSON, versioned, checked by schema on the way in. What cannot be read is never
// guessed at: the caller gets null and must treat the lock or fence as damaged, which admits nothing.
//
// Two adjacent versions of the gateway run side by side. `version` is the format that the writer wrote. A format that only
// adds fields which an older gateway may leave alone says so with `readableFrom`, the oldest format whose readers may take
// it; fields that a reader does not know stay in the record when it is rewritten, at every depth. All else that is newer
// than the reader is unreadable.

import { z } from 'zod'
import { BINDING_WAYS, type BindingWay } from '../core/caller.ts'
import type { FenceRecord } from '../core/fence-record.ts'
import { invariant } from '../core/invariant.ts'
import type { LockRecord } from '../core/lock-record.ts'
import {
  asLeaseId,
  asLockName,
  type IncarnationId,
  type LeaseId,
  type LockName,
  type Revision,
  type SessionId,
} from '../core/names.ts'
import type { HolderIdentity } from '../spi/control-plane.ts'
import { fenceFields } from './fence-fields.ts'
import { plainLockRecord, plainWatermark } from './plain-record.ts'

/** Of this version of the gateway: the newest format that it reads, and the one that it writes. */
export const FORMATS: Formats = { reads: 1, writes: 1 }

export interface Formats {
  readonly reads: number
  readonly writes: number
}

const version = z.int().min(1)
const revision = z
  .int()
  .min(1)
  .transform((number) => number as Revision)
const lease = z.string().transform((text, context): LeaseId => {
  const id = asLeaseId(text)
  if (id !== null) return id
  context.addIssue({ code: 'custom', message: 'not a lease id' })
  return z.NEVER
})
const lockName = z.string().transform((text, context): LockName => {
  const name = asLockName(text)
  if (name !== null) return name
  context.addIssue({ code: 'custom', message: 'not a lock name' })
  return z.NEVER
})
const incarnation = z
  .string()
  .min(1)
  .transform((text) => text as IncarnationId)
const anything = z.record(z.string(), z.unknown())
const holder = z.looseObject({ id: z.string() })

const vouch = z.looseObject({
  scope: z.enum(['sealed', 'narrowed']),
  incarnations: z.array(incarnation),
  by: z.string(),
  reason: z.string(),
  at: z.string(),
})

const overdueJob = z.looseObject({
  scope: z.enum(['sealed', 'narrowed']),
  incarnation,
  backend: z.string(),
  job: z.string(),
  since: z.string(),
})

const grantFields = {
  key: z.string(),
  createRevision: revision,
  session: lease,
  mode: z.enum(['exclusive', 'shared']),
  openedAt: z.string(),
  replaced: revision.exactOptional(),
  formerMode: z.literal('exclusive').exactOptional(),
  afterFences: z.array(z.string()).exactOptional(),
  vouched: z.array(vouch).exactOptional(),
  jobs: z.array(overdueJob).exactOptional(),
}

const lockRecord = z.looseObject({
  version,
  lock: lockName,
  highWater: z.int().min(0),
  closedFences: z.array(z.string()).exactOptional(),
  grants: z.array(
    z.discriminatedUnion('state', [
      z.looseObject({ ...grantFields, state: z.literal('open') }),
      z.looseObject({ ...grantFields, state: z.literal('changing') }),
      z.looseObject({
        ...grantFields,
        state: z.literal('sealed'),
        cause: z.enum(['released', 'expired', 'revoked', 'upgraded']),
        sealedAt: z.string(),
        fence: z.string().nullable(),
        drainedAt: z.array(incarnation).exactOptional(),
      }),
    ]),
  ),
})

const proofKind = z.enum(['no-new-calls', 'swept', 'blocks', 'flushed'])

const fenceRecord = z.looseObject({
  version,
  id: lease,
  cause: z.enum(['expired', 'operator']),
  by: z.string().nullable(),
  reason: z.string().nullable(),
  holder: anything.nullable(),
  fenceInfo: anything,
  plan: z.string().nullable(),
  levels: z.array(z.array(z.string())),
  targets: z.array(z.string()),
  createdAt: z.string(),
  storm: z.string().optional(),
  released: z.boolean().optional(),
  delaysMs: z.array(z.number().min(0)).optional(),
  dryRun: z.boolean().optional(),
  shadow: z.boolean().optional(),
  callbacks: fenceFields.callbacks,
  undone: fenceFields.undone,
  progress: z.discriminatedUnion('state', [
    z.looseObject({ state: z.literal('due'), level: z.int() }),
    z.looseObject({
      state: z.literal('running'),
      level: z.int(),
      claim: z.looseObject({ incarnation, lease: lease.nullable() }),
    }),
    z.looseObject({ state: z.literal('blocked'), reason: z.string(), held: z.boolean().optional() }),
    z.looseObject({
      state: z.literal('closed'),
      outcome: z.enum(['fenced', 'confirmed', 'unfenced']),
      closedAt: z.string(),
      by: z.string().nullable(),
      reason: z.string().nullable(),
    }),
  ]),
  attempts: fenceFields.attempts,
  proofs: z.array(
    z.looseObject({
      fencer: z.string(),
      proves: z.array(proofKind),
      sealedThrough: z.union([z.literal(0), revision]),
      observedAt: z.string(),
      observed: z.string(),
      request: z.string(),
    }),
  ),
})

const recordedBinding = z.looseObject({
  realm: z.string(),
  by: z.enum(BINDING_WAYS),
  digest: z.string(),
  value: z.string().exactOptional(),
  collect: z.record(z.string(), z.string()).exactOptional(),
  note: z.record(z.string(), z.string()).exactOptional(),
  at: z.string(),
})

/** What a session is bound to. It stays when the lease is over: it says what there is to fence. */
export interface RecordedBinding {
  readonly realm: string
  readonly by: BindingWay
  readonly digest: string
  /** Absent where it is a secret: of a backend's session. */
  readonly value?: string
  /** What the login that opened it says for the `fenceInfo` (spi/callers.ts). */
  readonly collect?: Readonly<Record<string, string>>
  readonly note?: Readonly<Record<string, string>>
  readonly at: string
}

const bindingRecord = z.looseObject({ version, session: lease })

/** Of a binding's own key, on the session's lease. */
export interface BindingRecord {
  readonly session: SessionId
}

const sessionRecord = z.looseObject({
  version,
  holder,
  fenceInfo: anything,
  plan: z.string().nullable(),
  targets: z.array(z.string()),
  ttlMs: z.number().positive(),
  openedAt: z.string(),
  bindings: z.array(recordedBinding).exactOptional(),
})

/** What a session's record says. It is not on the lease: it tells a restarted gateway whom to fence. */
export interface SessionRecord {
  readonly holder: HolderIdentity
  readonly fenceInfo: Readonly<Record<string, unknown>>
  readonly plan: string | null
  readonly targets: readonly string[]
  readonly ttlMs: number
  readonly openedAt: string
  /** Absent: none. */
  readonly bindings?: readonly RecordedBinding[]
}

const formats = z.looseObject({ reads: version, writes: version })

const gatewayRecord = z.looseObject({
  version,
  formats: formats.default({ reads: 1, writes: 1 }),
  state: z.enum(['serving', 'gone']),
  /** Longest quiet time of its backends; null where one of them has none. */
  quietMs: z.number().min(0).nullable(),
  name: z.string(),
  startedAt: z.string(),
  sources: z.string().optional(),
  shadow: z.boolean().optional(),
})

/**
 * One registration of one gateway. `serving`: it may have calls open. `gone`: its lease is over and it did not say
 * "nothing open"; the record's mod revision is then the end of what it can have admitted.
 */
export interface GatewayRecord {
  readonly state: 'serving' | 'gone'
  readonly quietMs: number | null
  readonly name: string
  readonly startedAt: string
  /** What that process can read, and what it writes at most. */
  readonly formats: Formats
  /** The `sources:` that it was started with, as text to compare; absent: none. */
  readonly sources?: string | undefined
  /** None of its backends refuses anything. */
  readonly shadow?: boolean | undefined
}

/** Of a registration that cannot be read: whoever it is may have calls open, and may read nothing newer than the first. */
export const UNREADABLE_GATEWAY: GatewayRecord = {
  state: 'serving',
  quietMs: null,
  name: 'unknown',
  startedAt: '',
  formats: { reads: 1, writes: 1 },
}

/** The newest format that every registered gateway can read: nothing newer may be written while they are there. */
export function formatReadByAll(gateways: Iterable<GatewayRecord>): number {
  let newest = FORMATS.writes
  for (const { formats: theirs } of gateways) newest = Math.min(newest, theirs.reads)
  return newest
}

const watermark = z.looseObject({
  version,
  beat: z.int().min(0),
  sealed: z.int().min(0),
  open: z.array(z.tuple([z.string(), z.int(), z.enum(['draining', 'unknown'])])),
  tokens: z.looseObject({ draining: z.array(z.int()), unknown: z.array(z.int()) }).exactOptional(),
  more: z.boolean().exactOptional(),
})

/** What a gateway reports of itself: applied up to `sealed`, drained but for `open` ([lock, token, how]). */
export interface Watermark {
  /** Counts up; its coming back through the watch shows that the watch lives. */
  readonly beat: number
  readonly sealed: number
  readonly open: readonly (readonly [lock: string, createRevision: number, how: 'draining' | 'unknown'])[]
  /** Where they are very many: the rest of them by create revision alone. */
  readonly tokens?: { readonly draining: readonly number[]; readonly unknown: readonly number[] }
  /** Where even that is not enough: whatever is not named otherwise counts as draining. */
  readonly more?: boolean
}

type Codec<Value> = {
  encode(value: Value): string
  /** Null where the text is not such a record, or of a version that this gateway does not know. */
  decode(text: string): Value | null
}

const envelope = z.looseObject({ version, readableFrom: version.optional() })

/** Whether a newer version of the gateway can make sense of a record that this one cannot. */
export function isOfNewerFormat(text: string): boolean {
  const written = envelopeOf(text)
  return written !== null && (written.readableFrom ?? written.version) > FORMATS.reads
}

function envelopeOf(text: string): z.output<typeof envelope> | null {
  try {
    return envelope.safeParse(JSON.parse(text)).data ?? null
  } catch {
    return null
  }
}

/** `plain`: reads, without the schema, what this version writes; null where it is not sure that the schema would say the same. */
function codec<Value extends object>(
  schema: z.ZodType<Value & { version: number }>,
  plain: (json: unknown, version: number) => Value | null = () => null,
): Codec<Value> {
  return {
    encode(value) {
      const text = JSON.stringify({ ...value, version: FORMATS.writes })
      // What could not be read back would be damage that we did ourselves.
      const json: unknown = JSON.parse(text)
      if (plain(json, FORMATS.writes) !== null) return text
      const check = schema.safeParse(json)
      invariant(check.success, `a record that nobody could read: ${text} (${check.error?.message})`)
      return text
    },
    decode(text) {
      let json: unknown
      try {
        json = JSON.parse(text)
      } catch {
        return null
      }
      const known = plain(json, FORMATS.writes)
      if (known !== null) return known
      const written = envelope.safeParse(json).data
      if (written === undefined || (written.readableFrom ?? written.version) > FORMATS.reads) return null
      const parsed = schema.safeParse(json)
      if (!parsed.success) return null
      // Whoever rewrites it writes his own.
      const { version: _, readableFrom: __, ...value } = { readableFrom: null, ...parsed.data }
      return value as unknown as Value
    },
  }
}

export const lockRecords: Codec<LockRecord> = codec<LockRecord>(lockRecord, plainLockRecord)
export const fenceRecords: Codec<FenceRecord> = codec<FenceRecord>(fenceRecord)
export const sessionRecords: Codec<SessionRecord> = codec<SessionRecord>(sessionRecord)
export const bindingRecords: Codec<BindingRecord> = codec<BindingRecord>(bindingRecord)
export const gatewayRecords: Codec<GatewayRecord> = codec<GatewayRecord>(gatewayRecord)
export const watermarks: Codec<Watermark> = codec<Watermark>(watermark, plainWatermark)

export type { SessionId }
