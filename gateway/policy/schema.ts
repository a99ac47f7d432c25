// The language of policy packs: every key, every default. Strict: an unknown key is a fault.

import { z } from 'zod'
import { DIALECTS, VSPHERE_JOBS } from '../spi/policy.ts'

const scalar = z.union([z.string(), z.number(), z.boolean()], {
  error: 'expected a text, a number or a boolean',
})
const scalars = z.union([scalar, z.array(scalar).min(1)], {
  error: 'expected one value, or a list of values',
})
const strings = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
  error: 'expected a text, or a list of texts',
})
const captureName = z.string().regex(/^[a-z][a-z0-9_]*$/, 'a name is lower case, with digits and underscores')
const seconds = z
  .number({ error: 'expected a number of seconds, without a unit' })
  .min(0, 'expected no less than 0 seconds')
  .max(604_800, 'expected no more than 604800 seconds (a week)')
const jsonValue = z.json()

/** Conditions on, and captures from, one part of a call. The keys of the records are names, pointers or paths. */
const facetShape = {
  /** Present once, with this value or one of these. */
  match: z.record(z.string(), scalars).optional(),
  /** Present, with whatever value; JSON's null counts as absent. */
  has: z.array(z.string()).optional(),
  absent: z.array(z.string()).optional(),
  /** Capture name → where its value stands; several places, for `each`, give their values one after the other. */
  capture: z.record(captureName, strings).optional(),
}

export const facetSchema = z.strictObject(facetShape)

export const soapFacetSchema = z.strictObject({
  /** The method: local name of the first element of the SOAP body. */
  method: strings.optional(),
  /** In place of `method`: an RE2 pattern that the whole name matches. */
  matches: z.string().optional(),
  /** In place of the pack's `soap_namespace`. */
  namespace: z.string().min(1).optional(),
  ...facetShape,
})

/** Calls that name their method in a ZAPI or JSON-RPC body. */
export const methodFacetSchema = z.strictObject({
  method: strings.optional(),
  /** In place of `method`: an RE2 pattern that the whole name matches. */
  matches: z.string().optional(),
  ...facetShape,
})

export const jsonFacetSchema = z.strictObject({
  /** The only key of the body's object. A body with more keys is refused. */
  key: strings.optional(),
  /** Pointer of an object → the one key that it has, or one of these. */
  only: z.record(z.string(), strings).optional(),
  /** `optional`: an empty body reads as `{}`. */
  body: z.literal('optional').optional(),
  ...facetShape,
})

export const jobSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('http'),
    /** Statuses of answers that name a job. */
    statuses: z.array(z.number().int().min(200).max(299)).min(1).default([202]),
    /**
     * JSON pointer to the job's id in the answer, captured as `{id}` (`""`: the whole answer); without one the request
     * names it all. Not beginning with a slash it is a path below the `results` of a ZAPI answer.
     */
    id: z.string().optional(),
    /** Where to ask: a template of a target. A segment `{name?}` falls away where the call has no such capture. */
    probe: z.string(),
    /** JSON pointer to the state in the probe's answer, or a path as in `id`. */
    pointer: z.string().optional(),
    /** While the state is one of these, the job runs. */
    running: z.array(z.string()).default([]),
    /** In place of `running`: only in one of these states the job is over. */
    terminal: z.array(z.string()).min(1).optional(),
    /** What is sent to ask, by POST: JSON, in whose texts `{id}` and captures are filled in. Without: a GET. */
    probe_json: z.json().optional(),
    /** As `probe_json`: a ZAPI method in its envelope. */
    probe_zapi: z.string().optional(),
    /** A null at the pointer means that the job is over; without, it runs. */
    null_is_over: z.boolean().default(false),
    /** Statuses of the probe's answer that mean that it is over. */
    terminal_statuses: z.array(z.number().int().min(100).max(599)).default([404]),
    /** An answer without the id names no job, in place of being unreadable. */
    optional: z.boolean().default(false),
  }),
  z.strictObject({
    kind: z.literal('vsphere-task'),
    statuses: z.array(z.number().int().min(200).max(299)).min(1).default([200]),
    /** Path of the Task's reference below the answer's first element. */
    path: z.string().default('returnval'),
    /** Of the reference: a lease of NFC, or a task of another endpoint, which is asked about there. */
    type: z.enum(VSPHERE_JOBS).default('Task'),
    /** The task's result names further tasks, which go on by themselves. */
    parts: z.literal(true).optional(),
    /** The element of the SOAP header in which calls of that endpoint bear the session. */
    session_header: z.string().optional(),
    /** RE2 over the call's method: answers to all others name a task only where there is one in them. */
    methods: z.string().optional(),
    optional: z.boolean().default(false),
  }),
  z.strictObject({
    /** Work goes on behind such an answer, and nothing names it: the call is unknown. */
    kind: z.literal('untracked'),
    statuses: z.array(z.number().int().min(200).max(299)).min(1).default([202]),
  }),
])

const fieldName = z
  .string()
  .regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}$/, 'not the name of a field or a cookie')

/** One place in an answer. */
const answerPlaceSchema = z.union(
  [
    z.strictObject({ cookie: fieldName }),
    z.strictObject({ header: fieldName }),
    z.strictObject({ json: z.string() }),
    z.strictObject({ soap: z.string() }),
    /** Of a plain XML answer: the element at this path below the root whose attribute `name` is `named`. */
    z.strictObject({ xml: z.string(), named: z.string().min(1) }),
  ],
  { error: 'expected {cookie}, {header}, {json}, {soap} or {xml, named}' },
)

/** Where calls bear the backend's session. */
const callerPlaceSchema = z.union(
  [
    z.strictObject({ cookie: fieldName }),
    z.strictObject({ header: fieldName }),
    z.strictObject({ soap_header: z.string().regex(/^[A-Za-z_][\w.-]*$/, 'not the name of an element') }),
    /** What stands behind this scheme in Authorization; of Basic the password. */
    z.strictObject({ credentials: fieldName }),
  ],
  { error: 'expected {cookie}, {header}, {soap_header} or {credentials}' },
)

const loginSchema = z.strictObject({
  /** The capture that holds the login name. */
  name: captureName.optional(),
  /** The name is the user of the Authorization field. */
  basic: z.boolean().default(false),
  /** Of `basic`: the capture that the backend goes by, a digest of name, underscore and password. Another's names nobody. */
  digest: captureName.optional(),
  /** Of a call that says no name: it is refused while anybody is being fenced whose login name is known. */
  strict: z.boolean().default(false),
  /** Answers with these statuses open a session. */
  statuses: z.array(z.number().int().min(200).max(299)).min(1).default([200, 201]),
  /** Of an answer that says elsewhere than in its status whether a session was opened: where, and in which words. */
  opened_if: z.strictObject({ place: answerPlaceSchema, value: z.string() }).optional(),
  /** Where the answer says by what later calls name the session. Where it says nothing, it is the one it was sent on. */
  session: z.array(answerPlaceSchema).default([]),
  /** Of the answer, for the holder's fenceInfo: name → place; all values of a name become a list. */
  collect: z.record(z.string().min(1).max(64), answerPlaceSchema).default({}),
  /** The same, of which the last counts, and only where the holder has not said it himself. */
  note: z.record(z.string().min(1).max(64), answerPlaceSchema).default({}),
})

const lockSchema = z.union(
  [
    z.string().min(1),
    z.strictObject({
      /** Name of a template under `locks:`, or a template. */
      lock: z.string().min(1),
      mode: z.enum(['exclusive', 'shared']).default('exclusive'),
      /** An array capture: one lock for each of its values. */
      each: captureName.optional(),
      /** Needed only where the call says what it is filled with. */
      optional: z.boolean().default(false),
    }),
  ],
  { error: 'expected the name of a lock, a template, or {lock, mode, each, optional}' },
)

export const ruleSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9]+(?:[.-][a-z0-9]+)*$/, 'an id is lower case, with hyphens'),
  /** Without: every method. */
  method: strings.optional(),
  path: strings,
  query: facetSchema.optional(),
  header: facetSchema.optional(),
  soap: soapFacetSchema.optional(),
  zapi: methodFacetSchema.optional(),
  jsonrpc: methodFacetSchema.optional(),
  form: facetSchema.optional(),
  json: jsonFacetSchema.optional(),
  /** Capture → RE2 pattern that its whole value matches; named groups are captures themselves. */
  where: z.record(captureName, z.string()).optional(),
  effect: z.enum(['read', 'mutate', 'session', 'deny']),
  /** Of a `session` that opens one at the backend: how the call says who opens it. */
  login: loginSchema.optional(),
  /** Of a `session` that ends the one on which it is sent. */
  logout: z.literal(true).optional(),
  locks: z.union([lockSchema, z.array(lockSchema).min(1)]).optional(),
  /** What becomes of a call whose lock's name cannot be filled. */
  unfilled: z.enum(['refuse', 'default_lock']).default('refuse'),
  /** Name of a job under `jobs:`, or a job. */
  job: z.union([z.string().min(1), jobSchema]).optional(),
  wait: seconds.optional(),
  /** In place of the pack's, where a backend speaks two. */
  dialect: z.enum(DIALECTS).optional(),
  /** Why; for `deny` it is what `explain` says. */
  reason: z.string().optional(),
})

const exampleLock = z.union([
  z.string(),
  z.strictObject({ name: z.string(), mode: z.enum(['exclusive', 'shared']) }),
])

export const exampleSchema = z.strictObject({
  /** Method and target. */
  call: z.string().regex(/^\S+ \S+$/, 'expected a method, a space and a target'),
  headers: z.record(z.string(), z.string()).optional(),
  /** The body: a text as it is, anything else as JSON. */
  body: jsonValue.optional(),
  /** The method element of a SOAP body; the envelope is put around it. */
  soap: z.string().optional(),
  /** As `soap`, in ZAPI's envelope. */
  zapi: z.string().optional(),
  expect: z.strictObject({
    rule: z.string().optional(),
    effect: z.enum(['read', 'mutate', 'session', 'deny']).optional(),
    locks: z.array(exampleLock).optional(),
    target: z.string().optional(),
    refused: z.enum(['bad-request', 'too-large']).optional(),
    /** The name in a call that opens a session; `strict` where nobody can tell whose it is. */
    login: z.string().optional(),
    /** Whether the policy has to see the body. */
    inspects: z.boolean().optional(),
  }),
  /** An answer of the backend, and the job that it names. */
  answer: z
    .strictObject({
      status: z.number().int(),
      body: jsonValue.optional(),
      soap: z.string().optional(),
      zapi: z.string().optional(),
      /** The probe's target or the task; `none` or `unreadable`. */
      job: z.string(),
    })
    .optional(),
})

const settings = {
  default_lock: z.string().min(1),
  wait: seconds,
  quiet: seconds,
  body_limit: z.number().int().min(1024).max(67_108_864),
  path_prefixes: z
    .array(z.string().regex(/^(?:\/[A-Za-z0-9_-]+)+$/, 'a prefix is a path such as /volume, of plain names'))
    .max(16),
  login_keys: z.array(z.string().min(1).max(64)).max(16),
  callers: z.array(callerPlaceSchema).max(8),
  asks_login: z.enum(['basic', 'no']),
  covering: z.array(z.string().min(1).max(256)).max(64),
  variables: z.record(captureName, z.string()),
  locks: z.record(z.string().regex(/^[a-z][a-z0-9-]*$/, 'a lock template has a lower-case name'), z.string()),
  jobs: z.record(z.string().regex(/^[a-z][a-z0-9-]*$/, 'a job has a lower-case name'), jobSchema),
} as const

export const packSchema = z.strictObject({
  /** The file's name without its ending. */
  policy: z.string().regex(/^[a-z][a-z0-9-]*$/, 'a policy has a lower-case name with hyphens'),
  /** The API and its version. */
  title: z.string().min(1),
  /** Where the API is documented. */
  documentation: z.array(z.string()).default([]),
  notes: z.string().optional(),
  dialect: z.enum(DIALECTS),
  default_lock: settings.default_lock,
  wait: settings.wait.default(30),
  quiet: settings.quiet.optional(),
  body_limit: settings.body_limit.default(1_048_576),
  /** Keys of a holder's fenceInfo under which his login name may stand. */
  login_keys: settings.login_keys.default(['login']),
  /** Where calls bear the backend's session: by it a caller without a token is known. */
  callers: settings.callers.default([]),
  /** `basic`: a change that says nothing of its sender is asked for his name, as the backend itself would ask. */
  asks_login: settings.asks_login.default('no'),
  /** Folders that have a lock of their own, covering what is below them, beside those at the top: `vmware_base/*`. */
  covering: settings.covering.default([]),
  /** `refuse`: headers that change method or path behind the gateway's back are a bad request. */
  overriding_headers: z.enum(['refuse', 'ignore']).default('refuse'),
  /** `refuse`: the backend takes the members of a form for more than the body, such as the method. */
  form_bodies: z.enum(['refuse', 'pass']).default('pass'),
  /** Whether paths may hold `%25` before two hex digits. */
  double_encoding: z.enum(['refuse', 'allow']).default('refuse'),
  /** Media types of JSON or SOAP bodies besides the usual ones. */
  media_types: z.array(z.string()).default([]),
  /** The API may stand below one of these, too: paths of rules and probes are below it then. */
  path_prefixes: settings.path_prefixes.default([]),
  /** `merge`: `//` in a path is one slash, and is forwarded as one. */
  empty_segments: z.enum(['refuse', 'merge']).default('refuse'),
  /** `fold`: the backend takes the literal parts of a path in any case. They are forwarded as they came. */
  path_case: z.enum(['exact', 'fold']).default('exact'),
  soap_namespace: z.string().min(1).optional(),
  variables: settings.variables.default({}),
  locks: settings.locks.default({}),
  jobs: settings.jobs.default({}),
  rules: z.array(ruleSchema).min(1),
  examples: z.array(exampleSchema).default([]),
})

/** `{extends: cinder, …}` in an operator's configuration. */
export const overridesSchema = z.strictObject({
  extends: z.string(),
  /** Other policies of the same backend: by name, the first parts of the paths at which they decide. */
  beside: z
    .record(
      z.string(),
      z.array(z.string().regex(/^\/[A-Za-z0-9_-]+$/, 'the first part of a path, such as /api')).min(1),
    )
    .optional(),
  default_lock: settings.default_lock.optional(),
  wait: settings.wait.optional(),
  quiet: settings.quiet.optional(),
  body_limit: settings.body_limit.optional(),
  path_prefixes: settings.path_prefixes.optional(),
  login_keys: settings.login_keys.optional(),
  callers: settings.callers.optional(),
  asks_login: settings.asks_login.optional(),
  covering: settings.covering.optional(),
  variables: settings.variables.optional(),
  locks: settings.locks.optional(),
  jobs: settings.jobs.optional(),
  /** Tried before the pack's own rules, whatever their paths. */
  rules_before: z.array(ruleSchema).optional(),
  /** Tried where the pack has no rule, before the default lock. */
  rules_after: z.array(ruleSchema).optional(),
  examples: z.array(exampleSchema).optional(),
})

export type PackSource = z.infer<typeof packSchema>
export type RuleSource = z.infer<typeof ruleSchema>
export type FacetSource = z.infer<typeof facetSchema>
export type JobSource = z.infer<typeof jobSchema>
export type ExampleSource = z.infer<typeof exampleSchema>
export type Overrides = z.infer<typeof overridesSchema>
export type LoginSource = z.infer<typeof loginSchema>
export type AnswerPlaceSource = z.infer<typeof answerPlaceSchema>
export type CallerPlaceSource = z.infer<typeof callerPlaceSchema>
