// What a refusal says in each backend's dialect, so that an unmodified client prints a sensible message, does not repeat
// what cannot succeed, and repeats what can. Towards vSphere never NotAuthenticated and never a dropped connection: its
// clients take those for "log in and repeat".

import { REFUSALS, type Refusal } from '../core/verdict.ts'
import type { Dialect } from '../spi/policy.ts'

interface Said {
  readonly refusal: Refusal
  readonly status: number
  /** Ids of JSON-RPC calls, as JSON text. */
  readonly callId: string
}

/** The status that a client of this API finds the body under. */
export function dialectStatus(refusal: Refusal, dialect: Dialect): number {
  const status = refusal.status ?? REFUSALS[refusal.code].status
  if (isFraming(refusal)) return status
  if (refusal.challenge !== undefined) return 401
  switch (dialect) {
    case 'soap':
      return 500
    case 'zapi':
    case 'oceanstor':
      // These clients throw the body away where the status is an error, and with it every reason.
      return 200
    case 'hitachi':
      // Cinder's driver repeats a call for minutes at any 5xx, which is right only for what was not sent.
      return refusal.code === 'backend-down' && status !== 503 ? 409 : status
    case 'powerflex':
      // Cinder's driver logs in again at a 403 and repeats the call.
      return status === 403 ? 409 : status
    case 'vapi':
      // govmomi, and with it govc and Terraform, shows what the body says at a 400 alone.
      return status < 500 ? 400 : status
    default:
      return status
  }
}

function isFraming(refusal: Refusal): boolean {
  return refusal.code === 'bad-request' || refusal.code === 'too-large'
}

export function renderBody(said: Said, dialect: Dialect): { type: string; text: string } {
  switch (dialect) {
    case 'problem':
      return { type: 'application/problem+json', text: JSON.stringify(problem(said)) }
    case 'soap':
      return { type: 'text/xml; charset=utf-8', text: soapFault(said.refusal) }
    case 'zapi':
      return { type: 'text/xml; charset=utf-8', text: zapiResults(said.refusal) }
    case 'msa':
      return { type: 'text/xml; charset=utf-8', text: msaResponse(said) }
    case 'jsonrpc':
      return { type: 'application/json', text: jsonRpc(said) }
    default:
      return { type: 'application/json', text: JSON.stringify(JSON_BODIES[dialect](said)) }
  }
}

const JSON_BODIES: Readonly<
  Record<
    Exclude<Dialect, 'problem' | 'soap' | 'zapi' | 'msa' | 'jsonrpc'>,
    (said: Said) => Record<string, unknown>
  >
> = {
  openstack,
  ontap,
  oceanstor,
  hitachi,
  powerflex,
  powerstore,
  redfish,
  vapi,
}

function problem({ refusal, status }: Said): Record<string, unknown> {
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
function openstack({ refusal, status }: Said): Record<string, unknown> {
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

/** `code` is a text there; none of ONTAP's own, as clients take some of those for success. */
function ontap({ refusal }: Said): Record<string, unknown> {
  return {
    error: { message: sentence(refusal), code: `fencing.${refusal.code}`, target: refusal.lock ?? '' },
    ...facts(refusal),
  }
}

/** Insufficient privileges: what Cinder's driver raises at once, with the reason, and does not repeat. */
function zapiResults(refusal: Refusal): string {
  return (
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<netapp version="1.15" xmlns="http://www.netapp.com/filer/admin">' +
    `<results status="failed" errno="13003" reason="${escapeXml(sentence(refusal))}"/></netapp>\n`
  )
}

/**
 * One error for each call. Cinder's SolidFire driver repeats a call whose error has the name of one that passes, which is
 * said only where nothing was sent and the same call may succeed.
 */
function jsonRpc({ refusal, status, callId }: Said): string {
  const passes = refusal.code === 'handover' || refusal.code === 'view-not-current'
  const error = JSON.stringify({
    code: status,
    name: passes ? 'xNotReadyForIO' : `xFencing${pascal(refusal.code)}`,
    message: sentence(refusal),
    data: facts(refusal),
  })
  const answer = (id: string): string => `{"jsonrpc":"2.0","id":${id},"error":${error}}`
  return callId.startsWith('[') ? `[${idsIn(callId).map(answer).join(',')}]` : answer(callId)
}

/** The ids of a batch, as they were written: a number of 20 digits must not be rounded. */
function idsIn(batch: string): readonly string[] {
  return batch.match(/"(?:[^"\\]|\\.)*"|[^",[\]]+/g) ?? []
}

/** Cinder's Huawei driver logs in again at -401 and -403 and repeats the call; any other code but 0 it raises. */
function oceanstor({ refusal }: Said): Record<string, unknown> {
  return {
    data: {},
    error: {
      code: refusal.status ?? REFUSALS[refusal.code].status,
      description: sentence(refusal),
      ...facts(refusal),
    },
  }
}

function hitachi({ refusal }: Said): Record<string, unknown> {
  const { title, remedy } = REFUSALS[refusal.code]
  return {
    errorSource: 'fencegate',
    messageId: `FENCING-${refusal.code.toUpperCase()}-E`,
    message: sentence(refusal),
    cause: title,
    solution: remedy,
    solutionType: 'SEE_ERROR_DETAIL',
    errorCode: {},
    ...facts(refusal),
  }
}

/**
 * The array's own form of an error. Cinder's driver takes an answer without one for a broken connection, logs in, sends the
 * call again, and then goes on as if it had succeeded. Codes of the array are large, and some are "it is done already".
 */
function msaResponse({ refusal, status }: Said): string {
  const property = (name: string, type: string, value: string): string =>
    `<PROPERTY name="${name}" type="${type}">${escapeXml(value)}</PROPERTY>`
  const properties = [
    property('response-type', 'string', 'Error'),
    property('response-type-numeric', 'uint32', '1'),
    property('response', 'string', sentence(refusal)),
    property('return-code', 'sint32', `-${status}`),
    property('component-id', 'string', `fencing.${refusal.code}`),
  ]
  return (
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' +
    `<RESPONSE VERSION="L100"><OBJECT basetype="status" name="status" oid="1">${properties.join('')}</OBJECT></RESPONSE>\n`
  )
}

/** The array's own codes are no negative numbers; Cinder's driver takes some of them for success. */
function powerflex({ refusal, status }: Said): Record<string, unknown> {
  return { message: sentence(refusal), httpStatusCode: status, errorCode: -status, ...facts(refusal) }
}

/** Cinder's driver writes all of this to its log, and raises without the reason. */
function powerstore({ refusal }: Said): Record<string, unknown> {
  const message = {
    code: `fencing.${refusal.code}`,
    severity: 'Error',
    message_l10n: sentence(refusal),
    arguments: [refusal.lock ?? ''],
  }
  return { messages: [message], ...facts(refusal) }
}

function redfish({ refusal, status }: Said): Record<string, unknown> {
  const { remedy } = REFUSALS[refusal.code]
  const message = sentence(refusal)
  const kind =
    status === 503 ? 'ServiceTemporarilyUnavailable' : isFraming(refusal) ? 'GeneralError' : 'AccessDenied'
  return {
    error: {
      code: `Base.1.0.${kind}`,
      message,
      '@Message.ExtendedInfo': [
        {
          '@odata.type': '#Message.v1_0_0.Message',
          MessageId: `Base.1.0.${kind}`,
          Message: message,
          MessageArgs: [refusal.lock ?? ''],
          Severity: 'Critical',
          Resolution: remedy,
          Oem: { Fencegate: facts(refusal) },
        },
      ],
    },
  }
}

/**
 * The error of /api, with that of /rest around it: each reader finds his own. Never UNAUTHENTICATED, which clients take for
 * "log in and repeat".
 */
function vapi({ refusal, status }: Said): Record<string, unknown> {
  const type = status >= 500 ? 'SERVICE_UNAVAILABLE' : isFraming(refusal) ? 'INVALID_REQUEST' : 'UNAUTHORIZED'
  const error = {
    error_type: type,
    messages: [{ id: `fencing.${refusal.code}`, default_message: sentence(refusal), args: [] }],
  }
  return {
    ...error,
    type: `com.vmware.vapi.std.errors.${type.toLowerCase()}`,
    value: error,
    ...facts(refusal),
  }
}

function pascal(code: string): string {
  return code.replace(/(?:^|-)([a-z])/g, (_, letter: string) => letter.toUpperCase())
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
