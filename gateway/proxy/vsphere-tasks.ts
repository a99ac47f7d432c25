// Looks at a vSphere task through the property collector: with the session of the call that started it, and, once that
// session is gone, with a login of the gateway's own where one is configured.

import type { Clock } from '../spi/clock.ts'
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
  | { readonly kind: 'state'; readonly state: string }
  | { readonly kind: 'not-authenticated' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'unclear'; readonly reason: string }

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
  async probe(task: string, headers: readonly string[]): Promise<ProbeFinding> {
    const host = fieldValue(headers, 'host') ?? this.#upstreams.first.address.authority
    const cookie = fieldValue(headers, 'cookie')
    const content = await this.#serviceContent(host)
    if (content === null) return { kind: 'running' }
    const own = cookie === null ? NOT_AUTHENTICATED : await this.#read(content, task, { host, cookie })
    if (own.kind !== 'not-authenticated') return finding(own, task)
    if (this.#observer === null)
      return {
        kind: 'never',
        reason: `the session that started task ${task} is gone, and no observer is configured`,
      }
    return this.#observe(content, task, host)
  }

  async #observe(content: ServiceContent, task: string, host: string): Promise<ProbeFinding> {
    for (let attempt = 0; attempt < 2; attempt++) {
      const cookie = this.#observerCookie ?? (await this.#logIn(content, host))
      if (cookie === null) return { kind: 'running' }
      const reading = await this.#read(content, task, { host, cookie })
      if (reading.kind !== 'not-authenticated') return finding(reading, task)
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

  async #read(
    content: ServiceContent,
    task: string,
    as: { readonly host: string; readonly cookie: string },
  ): Promise<TaskReading> {
    const answer = await this.#call(
      '<RetrievePropertiesEx xmlns="urn:vim25">' +
        `<_this type="PropertyCollector">${escapeXml(content.propertyCollector)}</_this>` +
        '<specSet><propSet><type>Task</type><all>false</all><pathSet>info.state</pathSet></propSet>' +
        `<objectSet><obj type="Task">${escapeXml(task)}</obj><skip>false</skip></objectSet></specSet>` +
        '<options/></RetrievePropertiesEx>',
      as,
    )
    return readTask(answer, task)
  }

  #call(body: string, as: { readonly host: string; readonly cookie: string | null }): Promise<ProbeAnswer> {
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
      path: '/sdk',
      headers,
      body:
        '<?xml version="1.0" encoding="UTF-8"?>' +
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"' +
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">' +
        `<soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`,
      headersTimeout: this.#limits.probeMs,
      bodyTimeout: this.#limits.probeMs,
      servername: upstream.servername,
    })
  }
}

const NOT_AUTHENTICATED: TaskReading = { kind: 'not-authenticated' }

/** What an answer of RetrievePropertiesEx says of one task. Versions differ in whether a fault is in the body or the set. */
export function readTask(
  answer: { readonly status: number; readonly body: string },
  task: string,
): TaskReading {
  const faults = [
    ...(findElements(answer.body, 'Fault') ?? []),
    ...(findElements(answer.body, 'missingSet') ?? []),
  ]
  for (const fault of faults) {
    // Types stand as xsi:type or as the element's name (`NotAuthenticatedFault`), by version.
    if (/\bNotAuthenticated(?:Fault)?\b/.test(fault.inner)) return NOT_AUTHENTICATED
    if (/\bManagedObjectNotFound(?:Fault)?\b/.test(fault.inner)) return { kind: 'gone' }
  }
  if (faults.length > 0 || answer.status !== 200)
    return { kind: 'unclear', reason: `status ${answer.status} with a fault` }
  for (const object of findElements(answer.body, 'objects') ?? []) {
    if (elementText(object.inner, 'obj') !== task) continue
    for (const property of findElements(object.inner, 'propSet') ?? []) {
      const state = elementText(property.inner, 'val')
      if (elementText(property.inner, 'name') === 'info.state' && state !== null)
        return { kind: 'state', state }
    }
  }
  return { kind: 'unclear', reason: 'the answer does not show the state of the task' }
}

function finding(reading: TaskReading, task: string): ProbeFinding {
  switch (reading.kind) {
    case 'state':
      return reading.state === 'success' || reading.state === 'error' ? { kind: 'over' } : { kind: 'running' }
    case 'gone':
      // Finished tasks are purged after a while; but a task that cannot be found has not been seen to finish.
      return { kind: 'never', reason: `task ${task} is not known to the backend any more` }
    case 'not-authenticated':
    case 'unclear':
      return { kind: 'running' }
  }
}
