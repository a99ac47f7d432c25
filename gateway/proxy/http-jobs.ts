// Looks at a job over plain HTTP, with the credentials of the call that started it.

import type { JobProbe } from '../spi/policy.ts'
import type { ProbeFinding } from './jobs.ts'
import { probeRequest } from './probe-request.ts'
import { fieldValue } from './request-head.ts'
import type { Upstream } from './upstream.ts'

type HttpProbe = Extract<JobProbe, { kind: 'http' }>

/** The fields of a call that say who asks and which API is spoken; nothing else of it is repeated. */
const CREDENTIALS = [
  'host',
  'authorization',
  'x-auth-token',
  'x-service-token',
  'cookie',
  'openstack-api-version',
  'x-openstack-volume-api-version',
  'x-openstack-nova-api-version',
  'x-openstack-ironic-api-version',
  'x-csrf-token',
  'x-dot-svm-name',
  'ibasetoken',
  'vmware-api-session-id',
]

export function credentialsOf(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (const name of CREDENTIALS) {
    const value = fieldValue(headers, name)
    if (value !== null) kept.push(name, value)
  }
  return kept
}

export async function probeHttpJob(
  upstream: Upstream,
  probe: HttpProbe,
  credentials: readonly string[],
  probeMs: number,
): Promise<ProbeFinding> {
  const answer = await probeRequest(upstream.probes, {
    ...(probe.request === undefined
      ? { method: 'GET', headers: [...credentials, 'accept', 'application/json'] }
      : {
          method: 'POST',
          headers: [...credentials, 'content-type', probe.request.type],
          body: probe.request.body,
        }),
    path: probe.target,
    headersTimeout: probeMs,
    bodyTimeout: probeMs,
    servername: upstream.servername,
  })
  if (probe.terminalStatuses.includes(answer.status)) return { kind: 'over' }
  // Not found, or not allowed to look: it may pass (a node that lags, an identity service that restarts), but it proves
  // nothing, however often it comes.
  if (answer.status === 401 || answer.status === 403 || answer.status === 404 || answer.status === 410)
    return { kind: 'hidden', reason: `the backend answers ${answer.status} to ${probe.target}` }
  if (answer.status !== 200 || probe.pointer === null) return { kind: 'running' }
  return isOver(probe, answer.body) ? { kind: 'over' } : { kind: 'running' }
}

/** Whether the answer to a probe says that the job is over; what it does not say, it does not. */
export function isOver(probe: HttpProbe, body: string): boolean {
  const state = probe.stateOf === undefined ? valueAt(body, probe.pointer ?? '') : probe.stateOf(body)
  if (state === undefined) return false
  if (state === null) return probe.nullIsOver
  return probe.terminalValues === undefined
    ? !probe.runningValues.includes(state)
    : probe.terminalValues.includes(state)
}

/** The string (or number, or boolean, as text) or null at a JSON pointer (RFC 6901); undefined where there is none. */
export function valueAt(body: string, pointer: string): string | null | undefined {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return undefined
  }
  if (pointer !== '') {
    for (const part of pointer.slice(1).split('/')) {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
      value = Reflect.get(value, key)
    }
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : value === null
      ? null
      : undefined
}
