// The pack for vSphere as a policy, and SOAP calls to put to it.

import { join } from 'node:path'
import { invariant } from '../../../gateway/core/invariant.ts'
import {
  type CompileTerms,
  compilePolicy,
  formatPolicyFault,
  loadPolicies,
} from '../../../gateway/policy/index.ts'
import { type Classification, callHead, type Policy } from '../../../gateway/spi/policy.ts'

const { packs } = loadPolicies(join(import.meta.dirname, '../../../policies'))

export function vspherePolicy(
  overrides: Omit<NonNullable<CompileTerms['overrides']>, 'extends'> = {},
): Policy {
  const pack = packs.get('vsphere')
  invariant(pack !== undefined, 'there is no pack vsphere')
  const compiled = compilePolicy({ pack, overrides: { extends: 'vsphere', ...overrides } })
  invariant(compiled.ok, compiled.ok ? '' : compiled.faults.map(formatPolicyFault).join('\n'))
  return compiled.value
}

export interface SoapCall {
  readonly method: string
  /** Type and id of `_this`. */
  readonly target?: readonly [type: string, id: string]
  readonly args?: string
  readonly path?: string
  readonly namespace?: string
  readonly headers?: Readonly<Record<string, string>>
  /** In the SOAP header. */
  readonly soapHeader?: string
}

export function classifySoap(policy: Policy, call: SoapCall): Classification {
  const { method, target: [type, id] = ['Thing', 'thing'], args = '', namespace = 'urn:vim25' } = call
  const header = call.soapHeader === undefined ? '' : `<e:Header>${call.soapHeader}</e:Header>`
  const body = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">${header}<e:Body><${method} xmlns="${namespace}"><_this type="${type}">${id}</_this>${args}</${method}></e:Body></e:Envelope>`
  const head = callHead('POST', call.path ?? '/sdk', { 'content-type': 'text/xml', ...call.headers })
  return policy.classify(head, Buffer.from(body))
}

/** `name` for exclusive, `~name` for shared; the refusal's code where it is refused. */
export function locksOf(policy: Policy, call: SoapCall): readonly string[] | string {
  const found = classifySoap(policy, call)
  return found.kind === 'refused'
    ? found.refusal.code
    : found.locks.map(({ name, mode }) => (mode === 'shared' ? `~${name}` : name))
}
