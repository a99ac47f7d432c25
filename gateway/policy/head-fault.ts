// What in a head makes another call of what its request line says, in front of backends that go by it.

import type { CallHead } from '../spi/policy.ts'

/** Headers by which a backend may take a call for another than its request line says. */
const OVERRIDING_HEADERS = [
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
] as const

export interface HeadRules {
  /** Overriding headers are refused. */
  readonly refusesOverrides: boolean
  /** So are bodies that are forms, or may be taken for one. */
  readonly refusesForms: boolean
}

/** Why the call must not be believed, or null. `body`: null where it was not sent, undefined where it is still to come. */
export function headFault(head: CallHead, body: Buffer | null | undefined, rules: HeadRules): string | null {
  if (rules.refusesOverrides)
    for (const name of OVERRIDING_HEADERS)
      if (head.header(name) !== undefined)
        return `the header ${name} would make another call of this one; leave it out`
  return rules.refusesForms && hasBody(head, body)
    ? formFault(head.header('content-type')?.trim() ?? '')
    : null
}

function hasBody(head: CallHead, body: Buffer | null | undefined): boolean {
  if (body !== null && body !== undefined) return body.length > 0
  return head.header('transfer-encoding') !== undefined || !/^0*$/.test(head.header('content-length') ?? '')
}

/** A form may stand in any of several types that one call names. */
const FORM_TYPE = /application\/x-www-form-urlencoded|multipart\//i

function formFault(type: string): string | null {
  if (type === '')
    return 'the body has no Content-Type, and may be taken for a form, whose members change what the call does: say application/json'
  return FORM_TYPE.test(type)
    ? 'the members of a form change here what the call does: send JSON, with the Content-Type application/json'
    : null
}
