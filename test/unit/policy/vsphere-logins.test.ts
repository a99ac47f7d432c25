// Whose session a call to vSphere opens, out of real envelopes: a name where the call says one, and nobody's where it does not.

import { describe, expect, it } from 'vitest'
import { classifySoap, type SoapCall, vspherePolicy } from './vsphere-pack.ts'

const policy = vspherePolicy()
const STRANGER = { name: null, strict: true }

function login(call: SoapCall): unknown {
  const found = classifySoap(policy, call)
  if (found.kind === 'refused') return found.refusal.code
  expect([found.effect, found.locks]).toEqual(['session', []])
  const { name, strict } = found.login ?? {}
  return found.login === undefined ? null : { name, strict }
}

const SESSIONS = ['SessionManager', 'SessionManager'] as const
const assertion = (subject: string) =>
  `<wsse:Security xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"><wsu:Timestamp xmlns:wsu="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"><wsu:Created>2030-01-01T00:00:00.000Z</wsu:Created></wsu:Timestamp><saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1" Version="2.0"><saml2:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:entity">https://vc.example/websso</saml2:Issuer>${subject}<saml2:Conditions/></saml2:Assertion></wsse:Security>`
const subject = (name: string) =>
  `<saml2:Subject>${name}<saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:NameID>somebody@else</saml2:NameID></saml2:SubjectConfirmation></saml2:Subject>`
const nameId = (name: string) =>
  `<saml2:NameID Format="http://schemas.xmlsoap.org/claims/UPN">${name}</saml2:NameID>`
const byToken = (soapHeader: string): SoapCall => ({ method: 'LoginByToken', target: SESSIONS, soapHeader })

describe('a call to vSphere that opens a session', () => {
  it('is his whose name it has, also where a token has it', () => {
    const named = '<userName>VSPHERE.LOCAL\\nova-3</userName>'
    expect(login({ method: 'Login', target: SESSIONS, args: `${named}<password>x</password>` })).toEqual({
      name: 'VSPHERE.LOCAL\\nova-3',
      strict: false,
    })
    expect(login({ method: 'ImpersonateUser', target: SESSIONS, args: named })).toMatchObject({
      strict: false,
    })
    expect(login(byToken(assertion(subject(nameId('nova-3@vsphere.local')))))).toEqual({
      name: 'nova-3@vsphere.local',
      strict: false,
    })
  })

  it.each([
    ['has no header', { method: 'LoginByToken', target: SESSIONS }, STRANGER],
    ['has an encrypted token', byToken('<Security><EncryptedAssertion/></Security>'), STRANGER],
    ['has a token without a subject', byToken(assertion('')), STRANGER],
    ['has a token without a name', byToken(assertion(subject(''))), STRANGER],
    ['has an empty name', byToken(assertion(subject(nameId('')))), STRANGER],
    ['has a broken name', byToken(assertion(subject(nameId('nova<!-- -->-3')))), 'bad-request'],
    ['has two names', byToken(assertion(subject(nameId('a') + nameId('b')))), 'bad-request'],
    [
      'has two tokens',
      byToken(assertion(subject(nameId('a'))) + assertion(subject(nameId('a')))),
      'bad-request',
    ],
    [
      'hides a name deeper',
      byToken(`<Security><Other>${assertion(subject(nameId('a')))}</Other></Security>`),
      STRANGER,
    ],
    ['has another element around it', byToken(`<Other>${assertion(subject(nameId('a')))}</Other>`), STRANGER],
    ['has it in its body', { method: 'LoginByToken', args: assertion(subject(nameId('a'))) }, STRANGER],
    ['goes by SSPI', { method: 'LoginBySSPI', args: '<base64Token>YWJj</base64Token>' }, STRANGER],
    [
      'is an extension',
      { method: 'LoginExtensionByCertificate', args: '<extensionKey>e</extensionKey>' },
      STRANGER,
    ],
    ['is an extension’s subject', { method: 'LoginExtensionBySubjectName' }, STRANGER],
    ['has a clone ticket', { method: 'CloneSession', args: '<cloneTicket>cst-1</cloneTicket>' }, STRANGER],
    ['asks for a ticket', { method: 'AcquireCloneTicket' }, { name: null, strict: false }],
    ['goes on with a lease', { method: 'HttpNfcLeaseProgress' }, { name: null, strict: false }],
    ['logs out', { method: 'Logout' }, null],
  ] as const)('and that %s is nobody’s, or refused', (_, call, expected) => {
    expect(login(call)).toEqual(expected)
  })

  it('at /vslm with a token in its body is nobody’s', () => {
    const args = `<delegatedTokenXml>&lt;saml2:Assertion&gt;…</delegatedTokenXml>`
    expect(login({ method: 'VslmLoginByToken', namespace: 'urn:vslm', path: '/vslm/sdk', args })).toEqual(
      STRANGER,
    )
  })
})
