// Looks at what goes on at a vSphere: tasks and leases through the property collector, tasks of /sms and /vslm where the call
// was sent. With the session of the call that started it, and, once that is gone, with a login of the gateway's own where
// one is configured.

import type { Clock } from '../spi/clock.ts'
import type { VsphereTaskProbe } from '../spi/policy.ts'
import { escapeXml } from './dialects.ts'
import type { ProbeFinding } from './jobs.ts'
import type { ProxyLimits } from './limits.ts'
import { type ProbeAnswer, probeRequest } from './probe-request.ts'
import { fieldValue } from './request-head.ts'
import type { Upstreams } from './upstreams.ts'
import { elementText, findElements } from './xml-text.ts'

export interface ObserverCredentials {
  readonly username: string
  readonly password: string
}

interface ServiceContent {
  readonly propertyCollector: string
  readonly sessionManager: string
}

type TaskReading =
  | {
      readonly kind: 'state'
      readonly state: string
      /** Tasks that its result names, each of which goes on by itself. */
      readonly parts: readonly string[]
    }
  | { readonly kind: 'not-authenticated' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'unclear'; readonly reason: string }

/** Under whose session, and by what name of the backend, it is asked. */
interface Asker {
  readonly host: string
  readonly cookie: string
  /** As the call wrote it in its SOAP header. */
  readonly session?: string | undefined
}

/** A login that failed is not tried again before this, so that a wrong password locks no account. */
const LOGIN_PAUSE_MS = 60_000

export class VsphereTasks {
  readonly #upstreams: Upstreams
  readonly #limits: ProxyLimits
  readonly #clock: Clock
  readonly #observer: ObserverCredentials | null
  #content: ServiceContent | null = null
  #observerCookie: string | null = null
  #login: Promise<string | null> | null = null
  #noLoginBeforeMs = 0

  constructor(options: {
    readonly upstreams: Upstreams
    readonly limits: ProxyLimits
    readonly clock: Clock
    readonly observer: ObserverCredentials | null
  }) {
    this.#upstreams = options.upstreams
    this.#limits = options.limits
    this.#clock = options.clock
    this.#observer = options.observer
  }

  /** `headers` are those of the call. Rejects where the backend does not answer. */
  async probe(job: VsphereTaskProbe, headers: readonly string[]): Promise<ProbeFinding> {
    const host = fieldValue(headers, 'host') ?? this.#upstreams.first.address.authority
    const cookie =
      fieldValue(headers, 'cookie') ?? (job.session === undefined ? null : `${SESSION_COOKIE}=${job.session}`)
    const content = await this.#serviceContent(host)
    if (content === null) return { kind: 'running' }
    const own =
      cookie === null
        ? NOT_AUTHENTICATED
        : await this.#read(content, job, { host, cookie, session: job.session })
    // A lease is there until it is done, aborted or timed out, but only its own session can see it.
    if (own.kind === 'gone' && job.type === 'HttpNfcLease') return { kind: 'over' }
    if (own.kind !== 'not-authenticated') return finding(own, job)
    if (this.#observer === null)
      return {
        kind: 'never',
        reason: `the session that started ${called(job)} is gone, and no observer is configured`,
      }
    return this.#observe(content, job, host)
  }

  async #observe(content: ServiceContent, job: VsphereTaskProbe, host: string): Promise<ProbeFinding> {
    for (let attempt = 0; attempt < 2; attempt++) {
      const cookie = this.#observerCookie ?? (await this.#logIn(content, host))
      if (cookie === null) return { kind: 'running' }
      const reading = await this.#read(content, job, { host, cookie })
      if (reading.kind !== 'not-authenticated') return finding(reading, job)
      if (this.#observerCookie === cookie) this.#observerCookie = null
    }
    return { kind: 'running' }
  }

  /** The observer's cookie; one login at a time, whatever the number of tasks. Null where there is none to be had now. */
  #logIn(content: ServiceContent, host: string): Promise<string | null> {
    this.#login ??= this.#loginNow(content, host).finally(() => {
      this.#login = null
    })
    return this.#login
  }

  async #loginNow(content: ServiceContent, host: string): Promise<string | null> {
    const observer = this.#observer
    if (observer === null || this.#clock.monotonicMs() < this.#noLoginBeforeMs) return null
    const answer = await this.#call(
      `<Login xmlns="urn:vim25"><_this type="SessionManager">${escapeXml(content.sessionManager)}</_this>` +
        `<userName>${escapeXml(observer.username)}</userName>` +
        `<password>${escapeXml(observer.password)}</password></Login>`,
      { host, cookie: null },
    )
    const pair = answer.cookies
      .map((cookie) => cookie.split(';', 1)[0] ?? '')
      .find((text) => text.includes('='))
    if (answer.status !== 200 || pair === undefined) {
      this.#noLoginBeforeMs = this.#clock.monotonicMs() + LOGIN_PAUSE_MS
      return null
    }
    this.#observerCookie = pair
    return pair
  }

  /** The managed objects that the backend names, learned once; RetrieveServiceContent needs no session. */
  async #serviceContent(host: string): Promise<ServiceContent | null> {
    if (this.#content !== null) return this.#content
    const answer = await this.#call(
      '<RetrieveServiceContent xmlns="urn:vim25"><_this type="ServiceInstance">ServiceInstance</_this></RetrieveServiceContent>',
      { host, cookie: null },
    )
    const propertyCollector = elementText(answer.body, 'propertyCollector')
    const sessionManager = elementText(answer.body, 'sessionManager')
    if (answer.status !== 200 || propertyCollector === null || sessionManager === null) return null
    this.#content = { propertyCollector, sessionManager }
    return this.#content
  }

  /** A task together with those that its result names: it is over when all of them are. */
  async #read(content: ServiceContent, job: VsphereTaskProbe, as: Asker): Promise<TaskReading> {
    const first = await this.#readOne(content, job, as)
    if (first.kind !== 'state' || first.state !== 'success' || first.parts.length === 0) return first
    if (first.parts.length > PARTS_MAX)
      return { kind: 'unclear', reason: `its result names more than ${PARTS_MAX} tasks` }
    for (const task of first.parts) {
      const part = await this.#readOne(content, { kind: 'vsphere-task', task }, as)
      if (part.kind !== 'state' || !isOver(part.state)) return part
    }
    return first
  }

  async #readOne(content: ServiceContent, job: VsphereTaskProbe, as: Asker): Promise<TaskReading> {
    const type = job.type ?? 'Task'
    const own = OWN_QUERIES[type]
    if (own !== undefined) {
      const request = `<${own.method} xmlns="${own.namespace}"><_this type="${type}">${escapeXml(job.task)}</_this></${own.method}>`
      const answer = await this.#call(request, { ...as, path: job.target ?? own.path, isOwn: true })
      return readOwnTask(answer, own.method)
    }
    const state = STATES[type] ?? ''
    const places = job.parts === true ? [state, 'info.result'] : [state]
    const answer = await this.#call(
      '<RetrievePropertiesEx xmlns="urn:vim25">' +
        `<_this type="PropertyCollector">${escapeXml(content.propertyCollector)}</_this>` +
        `<specSet><propSet><type>${type}</type><all>false</all>${places.map((place) => `<pathSet>${place}</pathSet>`).join('')}</propSet>` +
        `<objectSet><obj type="${type}">${escapeXml(job.task)}</obj><skip>false</skip></objectSet></specSet>` +
        '<options/></RetrievePropertiesEx>',
      as,
    )
    return readTask(answer, job.task, state)
  }

  #call(
    body: string,
    as: Omit<Asker, 'cookie'> & {
      readonly cookie: string | null
      readonly path?: string
      /** Of an endpoint that goes by the session in the SOAP header. */
      readonly isOwn?: true
    },
  ): Promise<ProbeAnswer> {
    const session = as.isOwn === true ? (as.session ?? sessionIn(as.cookie ?? '')) : null
    const header =
      session === null
        ? ''
        : `<soapenv:Header><vcSessionCookie>${escapeXml(session)}</vcSessionCookie></soapenv:Header>`
    const headers = [
      'host',
      as.host,
      'content-type',
      'text/xml; charset=utf-8',
      'soapaction',
      '"urn:vim25/6.0"',
    ]
    if (as.cookie !== null) headers.push('cookie', as.cookie)
    const upstream = this.#upstreams.first
    return probeRequest(upstream.probes, {
      method: 'POST',
      path: as.path ?? '/sdk',
      headers,
      body:
        '<?xml version="1.0" encoding="UTF-8"?>' +
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"' +
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">' +
        `${header}<soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`,
      headersTimeout: this.#limits.probeMs,
      bodyTimeout: this.#limits.probeMs,
      servername: upstream.servername,
    })
  }
}

const NOT_AUTHENTICATED: TaskReading = { kind: 'not-authenticated' }
const SESSION_COOKIE = 'vmware_soap_session'
/** Of one task; a cluster powers on fewer machines at once. */
const PARTS_MAX = 256

/** By type: where the property collector finds the state. */
const STATES: Readonly<Record<string, string>> = { Task: 'info.state', HttpNfcLease: 'state' }

/** By type: the method by which a task of another endpoint is asked, and where, if the call does not say. */
const OWN_QUERIES: Readonly<Record<string, { method: string; namespace: string; path: string }>> = {
  SmsTask: { method: 'QuerySmsTaskInfo', namespace: 'urn:sms', path: '/sms/sdk' },
  VslmTask: { method: 'VslmQueryInfo', namespace: 'urn:vslm', path: '/vslm/sdk' },
}

/** Of a task, and of a lease. */
function isOver(state: string): boolean {
  return state === 'success' || state === 'error' || state === 'done'
}

function called({ type = 'Task', task }: VsphereTaskProbe): string {
  return `${type === 'HttpNfcLease' ? 'lease' : 'task'} ${task}`
}

function sessionIn(cookie: string): string | null {
  for (const pair of cookie.split(';')) {
    const [name = '', ...value] = pair.trim().split('=')
    if (name === SESSION_COOKIE) return value.join('=').replace(/^"(.*)"$/, '$1')
  }
  return null
}

type Answer = Pick<ProbeAnswer, 'status' | 'body'>

/** What a fault says of a task; null where there is none. */
function readFaults({ status, body }: Answer): TaskReading | null {
  const faults = [...(findElements(body, 'Fault') ?? []), ...(findElements(body, 'missingSet') ?? [])]
  for (const fault of faults) {
    // Types stand as xsi:type or as the element's name (`NotAuthenticatedFault`), by version.
    if (/\bNotAuthenticated(?:Fault)?\b/.test(fault.inner)) return NOT_AUTHENTICATED
    if (/\bManagedObjectNotFound(?:Fault)?\b/.test(fault.inner)) return { kind: 'gone' }
  }
  return faults.length > 0 || status !== 200
    ? { kind: 'unclear', reason: `status ${status} with a fault` }
    : null
}

/** What an answer of RetrievePropertiesEx says of one task. Versions differ in whether a fault is in the body or the set. */
export function readTask(answer: Answer, task: string, place = 'info.state'): TaskReading {
  const fault = readFaults(answer)
  if (fault !== null) return fault
  for (const object of findElements(answer.body, 'objects') ?? []) {
    if (elementText(object.inner, 'obj') !== task) continue
    const properties = findElements(object.inner, 'propSet') ?? []
    const propertyOf = (name: string) => properties.find(({ inner }) => elementText(inner, 'name') === name)
    const state = elementText(propertyOf(place)?.inner ?? '', 'val')
    const parts = tasksIn(propertyOf('info.result')?.inner ?? '')
    if (state !== null) return { kind: 'state', state, parts }
  }
  return { kind: 'unclear', reason: 'the answer does not show the state of the task' }
}

function tasksIn(result: string): readonly string[] {
  return (findElements(result, 'task') ?? []).flatMap(({ inner, attributes }) =>
    /\btype="Task"/.test(attributes) && !inner.includes('<') ? [inner.trim()] : [],
  )
}

/** What /sms and /vslm answer to a question after one of their own tasks. */
export function readOwnTask(answer: Answer, method: string): TaskReading {
  const fault = readFaults(answer)
  if (fault !== null) return fault
  const [response] = findElements(answer.body, `${method}Response`) ?? []
  const state = elementText(response?.inner ?? '', 'state')
  return state === null
    ? { kind: 'unclear', reason: 'the answer does not show the state of the task' }
    : { kind: 'state', state, parts: [] }
}

function finding(reading: TaskReading, job: VsphereTaskProbe): ProbeFinding {
  switch (reading.kind) {
    case 'state':
      return isOver(reading.state) ? { kind: 'over' } : { kind: 'running' }
    case 'gone':
      // Finished tasks are purged after a while; but a task that cannot be found has not been seen to finish.
      return { kind: 'never', reason: `${called(job)} is not known to the backend any more` }
    case 'not-authenticated':
    case 'unclear':
      return { kind: 'running' }
  }
}
