// What a policy decides of a call. Implemented by gateway/policy from the YAML packs; the data plane knows only this.

import type { CallerClaim } from '../core/caller.ts'
import type { LockMode, LockName } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import type { OpenedLogin } from './callers.ts'

export type Effect = 'read' | 'mutate' | 'session' | 'deny'

/** In whose words a refusal is said. */
export const DIALECTS = [
  'problem',
  'openstack',
  'soap',
  'ontap',
  'zapi',
  'jsonrpc',
  'oceanstor',
  'hitachi',
  'msa',
  'powerflex',
  'powerstore',
  'redfish',
  'vapi',
] as const
export type Dialect = (typeof DIALECTS)[number]

export interface CallHead {
  /** Upper case, as received. */
  readonly method: string
  /** Path and query as received, beginning with `/`. */
  readonly target: string
  /**
   * The value of a field, by its name in lower case; undefined where there is none. A repeated field has its values
   * joined by `, ` as RFC 9110 allows. A method, so that whoever reads requests need not build a table of all fields.
   */
  header(name: string): string | undefined
}

/** A head out of a table of fields with their names in lower case. */
export function callHead(
  method: string,
  target: string,
  headers: Readonly<Record<string, string | undefined>> = {},
): CallHead {
  return { method, target, header: (name) => (Object.hasOwn(headers, name) ? headers[name] : undefined) }
}

/** What a call that opens a session at the backend says of who opens it. */
export interface Login {
  /** As the call writes it; null where it says none. */
  readonly name: string | null
  /** Who it is cannot be told: then it waits while anybody is being fenced whose logins here are known. */
  readonly strict: boolean
  /** What its answer tells of the session that it opens. Absent: nothing. */
  readonly answer?: LoginAnswer
}

export interface AnswerFields {
  /** All values of a field, by its name in lower case, in the order in which they came. */
  all(name: string): readonly string[]
}

export type LoginReading =
  | {
      readonly kind: 'opened'
      /** `sessions` is empty where the session is the one that the login was sent on. */
      readonly opened: OpenedLogin
    }
  /** The login failed, in spite of its status: nothing is to be learnt. */
  | { readonly kind: 'not-opened' }
  | { readonly kind: 'unreadable'; readonly reason: string }

export interface LoginAnswer {
  /** Statuses of answers that open a session. */
  appliesTo(status: number): boolean
  readonly bodyBytesMax: number
  read(fields: AnswerFields, body: Buffer): LoginReading
}

export interface RequiredLock {
  readonly name: LockName
  readonly mode: LockMode
}

/** What goes on behind an answer of vSphere: the types of the objects that stand for it. */
export const VSPHERE_JOBS = ['Task', 'HttpNfcLease', 'SmsTask', 'VslmTask'] as const
export type VsphereJob = (typeof VSPHERE_JOBS)[number]

/** A managed object of vSphere that stands for work, by its id. */
export interface VsphereTaskProbe {
  readonly kind: 'vsphere-task'
  readonly task: string
  /** A Task where it is left out. */
  readonly type?: VsphereJob
  /** Of a task of another endpoint than /sdk: where the call was sent. */
  readonly target?: string
  /** Its result names further tasks, which go on by themselves. */
  readonly parts?: true
  /** The session that the call bears in its SOAP header. */
  readonly session?: string
}

/** How to find out whether the asynchronous work that a call started is over. */
export type JobProbe =
  /** Ask the backend over HTTP with the call's own credentials. */
  | {
      readonly kind: 'http'
      readonly target: string
      /** Terminal where the answer's status is one of these. */
      readonly terminalStatuses: readonly number[]
      /** Terminal where the string at this JSON pointer of a 200 answer is not one of `runningValues`. */
      readonly pointer: string | null
      readonly runningValues: readonly string[]
      /** Where it is there, terminal only where the state is one of these, whatever `runningValues` says. */
      readonly terminalValues?: readonly string[]
      /** A null that stands at the pointer is terminal; where nothing stands there, it never is. */
      readonly nullIsOver: boolean
      /** What is sent to ask, by POST; a GET where it is left out. */
      readonly request?: { readonly type: string; readonly body: string }
      /** The state in an answer that is no JSON, in place of `pointer`; undefined where there is none. */
      readonly stateOf?: (body: string) => string | undefined
    }
  | VsphereTaskProbe

/** Reads an answer and says which job it names. Compiled from a rule's `job:`. */
export interface JobRule {
  /** Statuses whose answers can name a job. */
  appliesTo(status: number): boolean
  /** At most this many bytes of the answer's body are needed. 0: none. */
  readonly bodyBytesMax: number
  /**
   * The job that this answer names. `none`: it names none, the call has ended. `unreadable`: it should name one but
   * cannot be read, so the call is unknown.
   */
  read(
    status: number,
    body: Buffer,
  ): { kind: 'job'; id: string; probe: JobProbe } | { kind: 'none' } | { kind: 'unreadable'; reason: string }
}

export type Classification =
  | {
      readonly kind: 'call'
      readonly effect: Effect
      /** Stable id of the rule, `default` where none matched. */
      readonly rule: string
      /** Empty for `read`, `session` and `deny`; never empty for `mutate`. */
      readonly locks: readonly RequiredLock[]
      /** How long such a call may be parked during a handover. */
      readonly waitMs: number
      readonly job: JobRule | null
      /** The one spelling of the target that was checked and that is forwarded. */
      readonly target: string
      /** Of a call with the effect `session` that opens one. */
      readonly login?: Login
      /** In whose words a refusal is said, where it is not the policy's own. */
      readonly dialect?: Dialect
      /** Ids of the JSON-RPC calls, as JSON text, for what is said of a refusal; one in an array for a batch. */
      readonly callId?: string
      /** Of a call that ends the backend's session on which it is sent. */
      readonly logout?: true
      /** What the call itself says of who sends it, where the backend asks for that. */
      readonly claims?: readonly CallerClaim[]
    }
  | {
      readonly kind: 'refused'
      readonly refusal: Refusal
      /** In whose words it is said, where it is not the policy's own. */
      readonly dialect?: Dialect
    }

export interface Policy {
  readonly name: string
  readonly dialect: Dialect
  /** How long after which an unknown call can do no more harm; null where nothing is known. */
  readonly quietMs: number | null
  /** Keys of a holder's fenceInfo under which his login name at this backend may stand. Absent: none. */
  readonly loginKeys?: readonly string[]
  /** `basic`: a change of nobody known, without Authorization, is asked for his name. Absent: `no`. */
  readonly asksLogin?: 'basic' | 'no'
  /**
   * How many bytes of the body `classify` needs for a call with this head. 0: none, it streams. A body that is
   * longer than that is `too-large`.
   */
  bodyBytesNeeded(head: CallHead): number
  /** A body up to this may be given to `classify` without asking whether it is needed. */
  readonly bodyBytesMax: number
  /** `body` is the whole body where `bodyBytesNeeded` was above 0; null where there is none. Never throws; bounded time. */
  classify(head: CallHead, body: Buffer | null): Classification
  /** As `classify`, with why other rules did not match. For `explain` and `/v1/check`; off the hot path. */
  explain(head: CallHead, body: Buffer | null): { classification: Classification; trace: readonly string[] }
}
