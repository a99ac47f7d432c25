// Says a refusal in the words of the backend's dialect, so that an unmodified client prints a sensible message.
// Towards vSphere never NotAuthenticated and never a dropped connection: its clients take those for "log in and repeat".

import { REFUSALS, type Refusal } from '../core/verdict.ts'
import type { Dialect } from '../spi/policy.ts'

export interface RefusalAnswer {
  readonly status: number
  /** Names and values in turn; Content-Length is among them. */
  readonly headers: string[]
  readonly body: Buffer
}

export const GOING_AWAY: Refusal = {
  code: 'view-not-current',
  detail: 'nothing of the call was sent: this gateway is shutting down',
}

export const TOO_MANY: Refusal = {
  code: 'backend-down',
  status: 503,
  detail: 'nothing of the call was sent: too many calls are in flight to this backend',
}

export const TOO_MANY_COPIES: Refusal = {
  code: 'backend-down',
  status: 503,
  detail:
    'nothing of this copy was sent: the same call is under way, and too many copies wait for its answer already',
}

export const JOINED_TOO_LATE: Refusal = {
  code: 'backend-down',
  detail:
    'this gateway is shutting down while the first copy of this call is under way; it may or may not have happened',
}

/** For a copy of a call whose first copy was answered with more than is kept. */
export function tooLargeForTwo(status: number): Refusal {
  return {
    code: 'backend-down',
    detail: `the first copy of this call was answered with status ${status}, and that answer is too large to be given twice`,
  }
}

export function renderRefusal(refusal: Refusal, dialect: Dialect): RefusalAnswer {
  const terms = REFUSALS[refusal.code]
  const tableStatus = refusal.status ?? terms.status
  const status = dialect === 'soap' && !isFraming(refusal) ? 500 : tableStatus
  const retryAfterSeconds = refusal.retryAfterSeconds ?? terms.retryAfterSeconds
  const { type, text } = renderBody(refusal, status, dialect)
  const body = Buffer.from(text, 'utf8')
  const headers = [
    'Content-Type',
    type,
    'Content-Length',
    String(body.length),
    'Fencing-Verdict',
    refusal.code,
  ]
  if (retryAfterSeconds !== null)
    headers.push('Retry-After', String(Math.max(1, Math.ceil(retryAfterSeconds))))
  headers.push('Cache-Control', 'no-store')
  return { status, headers, body }
}

/** The whole refusal in one sentence or two: what, which lock, which token, who owns it, what to do. */
export function sentence(refusal: Refusal): string {
  const terms = REFUSALS[refusal.code]
  const facts: string[] = []
  if (refusal.lock !== undefined) facts.push(`lock ${refusal.lock}`)
  if (refusal.token !== undefined) facts.push(`token ${refusal.token}`)
  if (refusal.owner !== undefined) {
    const { token, holder, since } = refusal.owner
    facts.push(`owner ${holder ?? 'unknown'} with token ${token}${since === null ? '' : ` since ${since}`}`)
  }
  const where = facts.length === 0 ? '' : ` (${facts.join(', ')})`
  return `${terms.title}: ${refusal.detail}${where}. What to do: ${terms.remedy}. [fencing verdict: ${refusal.code}]`
}

function isFraming(refusal: Refusal): boolean {
  return refusal.code === 'bad-request' || refusal.code === 'too-large'
}

function renderBody(refusal: Refusal, status: number, dialect: Dialect): { type: string; text: string } {
  switch (dialect) {
    case 'problem':
      return { type: 'application/problem+json', text: JSON.stringify(problem(refusal, status)) }
    case 'openstack':
      return { type: 'application/json', text: JSON.stringify(openstack(refusal, status)) }
    case 'soap':
      return { type: 'text/xml; charset=utf-8', text: soapFault(refusal) }
  }
}

function problem(refusal: Refusal, status: number): Record<string, unknown> {
  const terms = REFUSALS[refusal.code]
  return {
    type: `urn:fencegate:verdict:${refusal.code}`,
    title: terms.title,
    status,
    detail: `${refusal.detail}. What to do: ${terms.remedy}`,
    ...facts(refusal),
  }
}

/**
 * keystoneauth looks for `error.message`, python-cinderclient and novaclient for `message` in the first member, so the
 * one key that all of them read is `error`. python-ironicclient reads `error_message` alone, and openstacksdk passes it
 * over where it is a text that is no JSON.
 */
function openstack(refusal: Refusal, status: number): Record<string, unknown> {
  return {
    error: {
      code: status,
      title: REFUSALS[refusal.code].title,
      message: sentence(refusal),
      ...facts(refusal),
    },
    error_message: sentence(refusal),
  }
}

function facts(refusal: Refusal): Record<string, unknown> {
  return {
    verdict: refusal.code,
    ...(refusal.lock === undefined ? {} : { lock: refusal.lock }),
    ...(refusal.token === undefined ? {} : { token: refusal.token }),
    ...(refusal.owner === undefined
      ? {}
      : {
          owner: { token: refusal.owner.token, holder: refusal.owner.holder },
          since: refusal.owner.since,
        }),
  }
}

/** A NoPermission fault: the one that oslo.vmware and others raise at once, on a login too, and never repeat. */
function soapFault(refusal: Refusal): string {
  const text = escapeXml(sentence(refusal))
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"' +
    ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">' +
    '<soapenv:Body><soapenv:Fault><faultcode>ServerFaultCode</faultcode>' +
    `<faultstring>${text}</faultstring>` +
    '<detail><NoPermissionFault xmlns="urn:vim25" xsi:type="NoPermission">' +
    '<object type="ServiceInstance">ServiceInstance</object>' +
    `<privilegeId>Fencing.${refusal.code}</privilegeId>` +
    '</NoPermissionFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>\n'
  )
}

/** Text for an element or attribute; what XML 1.0 cannot hold becomes a question mark. */
export function escapeXml(text: string): string {
  let escaped = ''
  for (const character of text.toWellFormed()) {
    const point = character.codePointAt(0) ?? 0
    if (character === '&') escaped += '&amp;'
    else if (character === '<') escaped += '&lt;'
    else if (character === '>') escaped += '&gt;'
    else if (character === '"') escaped += '&quot;'
    else if (character === "'") escaped += '&apos;'
    else if (
      (point < 0x20 && point !== 9 && point !== 10 && point !== 13) ||
      point === 0xfffe ||
      point === 0xffff
    )
      escaped += '?'
    else escaped += character
  }
  return escaped
}
