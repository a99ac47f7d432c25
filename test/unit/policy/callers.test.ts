// What a call bears of its sender, and what the answer to a login tells, as the packs say where.

import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { CallerWay } from '../../../gateway/core/caller.ts'
import { invariant } from '../../../gateway/core/invariant.ts'
import { compilePolicy, formatPolicyFault, loadPolicies } from '../../../gateway/policy/index.ts'
import { type CallHead, type Classification, callHead, type Policy } from '../../../gateway/spi/policy.ts'
import { packOf } from './small-pack.ts'

const { packs } = loadPolicies(join(import.meta.dirname, '../../../policies'))
const BOTH: readonly CallerWay[] = ['login', 'session']

function policy(name: string, identify: readonly CallerWay[] = BOTH): Policy {
  const pack = packs.get(name)
  invariant(pack !== undefined, name)
  const compiled = compilePolicy({ pack, identify })
  invariant(compiled.ok, name)
  return compiled.value
}

const envelope = (body: string, header = '') =>
  Buffer.from(
    `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/">${header}<e:Body>${body}</e:Body></e:Envelope>`,
  )
const soapHead = (target: string, headers: Readonly<Record<string, string>> = {}): CallHead =>
  callHead('POST', target, { 'content-type': 'text/xml', ...headers })
const FOLDER =
  '<CreateFolder xmlns="urn:vim25"><_this type="Folder">group-v3</_this><name>n</name></CreateFolder>'
const PBM = '<PbmDelete xmlns="urn:pbm"><_this type="PbmProfileProfileManager">m</_this></PbmDelete>'
const cookieHeader = (...values: readonly string[]) =>
  `<e:Header>${values.map((value) => `<vcSessionCookie>${value}</vcSessionCookie>`).join('')}</e:Header>`

const claimsOf = (found: Classification) =>
  found.kind === 'refused' ? found.refusal.code : found.claims?.map(({ by, value }) => `${by} ${value}`)

describe('a call to vCenter bears its session', () => {
  const vsphere = policy('vsphere')

  it.each([
    [
      'in its cookie',
      soapHead('/sdk', { cookie: 'a=1; vmware_soap_session="52-a"; b=2' }),
      FOLDER,
      '',
      ['session 52-a'],
    ],
    [
      'and no cookie that is only named alike',
      soapHead('/sdk', { cookie: 'xvmware_soap_session=52' }),
      FOLDER,
      '',
      [],
    ],
    [
      'in one spelling, however often',
      soapHead('/sdk', { cookie: 'vmware_soap_session=5; vmware_soap_session=5' }),
      FOLDER,
      '',
      ['session 5'],
    ],
    [
      'in one cookie, or it is refused',
      soapHead('/sdk', { cookie: 'vmware_soap_session=5; vmware_soap_session=6' }),
      FOLDER,
      '',
      'bad-request',
    ],
    ['in the SOAP header of PBM', soapHead('/pbm'), PBM, cookieHeader('52-b'), ['session 52-b']],
    [
      'in one SOAP header, or it is refused',
      soapHead('/pbm'),
      PBM,
      cookieHeader('52-b', '52-c'),
      'bad-request',
    ],
    [
      'in both, which the gate compares',
      soapHead('/pbm', { cookie: 'vmware_soap_session=5' }),
      PBM,
      cookieHeader('6'),
      ['session 5', 'session 6'],
    ],
    [
      'and its login name',
      soapHead('/sdk', { authorization: `Basic ${btoa('nova:x')}` }),
      FOLDER,
      '',
      ['login nova'],
    ],
  ])('%s', (_, head, body, header, expected) => {
    expect(claimsOf(vsphere.classify(head, envelope(body, header)))).toEqual(expected)
  })

  it('only where the backend asks for it', () => {
    const head = soapHead('/sdk', { cookie: 'vmware_soap_session=5' })
    expect(claimsOf(policy('vsphere', []).classify(head, envelope(FOLDER)))).toBeUndefined()
    expect(claimsOf(policy('vsphere', ['address']).classify(head, envelope(FOLDER)))).toBeUndefined()
    expect(claimsOf(policy('vsphere', ['login']).classify(head, envelope(FOLDER)))).toEqual([])
  })

  it('also where no rule covers it', () => {
    const head = callHead('POST', '/rest/vcenter/vm', { 'vmware-api-session-id': 'r-1' })
    expect(claimsOf(vsphere.classify(head, null))).toEqual(['session r-1'])
  })
})

describe('a call to OpenStack bears its token', () => {
  it.each(['cinder', 'nova', 'ironic'])('at %s', (name) => {
    const head = callHead('DELETE', '/v9/x', { 'x-auth-token': 'gAAA' })
    expect(claimsOf(policy(name).classify(head, null))).toEqual(['session gAAA'])
  })
})

describe('a call to an array bears its session', () => {
  const basic = (pair: string) => `Basic ${btoa(pair)}`
  it.each([
    ['hpe-msa', { sessionkey: 'k1' }, ['session k1']],
    ['hpe-msa', { cookie: 'wbiusername=a; wbisessionkey=k1' }, ['session k1']],
    ['oceanstor', { ibasetoken: 't', cookie: 'session=ismsession=c' }, ['session t', 'session ismsession=c']],
    ['hitachi', { authorization: 'Session b4-c' }, ['session b4-c']],
    ['hitachi', { authorization: 'session  b4-c' }, ['session b4-c']],
    ['hitachi', { authorization: 'Sessions b4-c' }, []],
    ['hitachi', { authorization: 'Session b4-c d' }, []],
    ['hitachi', { authorization: basic('cinder:p') }, ['login cinder']],
    ['powerflex', { authorization: basic('cinder:t:1') }, ['session t:1', 'login cinder']],
    ['powerstore', { cookie: 'auth_cookie=a1' }, ['session a1']],
    ['powerstore', { authorization: basic('cinder:p') }, ['login cinder']],
    ['powermax', { authorization: basic('cinder:p') }, ['login cinder']],
    ['ontap', { authorization: basic('cinder:p') }, ['login cinder']],
  ])('at %s %j', (name, headers, expected) => {
    expect(claimsOf(policy(name).classify(callHead('DELETE', '/any', headers), null))).toEqual(expected)
  })
})

describe('the answer to a login', () => {
  function answer(
    of: Policy,
    head: CallHead,
    request: Buffer | null,
    fields: Readonly<Record<string, readonly string[]>>,
    body: string,
  ) {
    const found = of.classify(head, request)
    invariant(found.kind === 'call' && found.login?.answer !== undefined, JSON.stringify(found))
    return found.login.answer.read({ all: (name) => fields[name] ?? [] }, Buffer.from(body))
  }
  const LOGIN = envelope(
    '<Login xmlns="urn:vim25"><_this type="SessionManager">s</_this><userName>nova</userName><password>p</password></Login>',
  )
  const told = (key: string) =>
    envelope(
      `<LoginResponse xmlns="urn:vim25"><returnval><key>${key}</key><userName>VSPHERE\\nova</userName></returnval></LoginResponse>`,
    ).toString()

  it('of vCenter tells the cookie, the key and the user', () => {
    const cookies = { 'set-cookie': ['other=1', 'vmware_soap_session="c-1"; Path=/; HttpOnly'] }
    expect(answer(policy('vsphere'), soapHead('/sdk'), LOGIN, cookies, told('k-1'))).toEqual({
      kind: 'opened',
      opened: { sessions: ['"c-1"'], collect: { sessionKeys: 'k-1' }, note: { userName: 'VSPHERE\\nova' } },
    })
    expect(answer(policy('vsphere'), soapHead('/sdk'), LOGIN, {}, told('k-1'))).toMatchObject({
      opened: { sessions: [] },
    })
  })

  it.each([
    ['two cookies', { 'set-cookie': ['vmware_soap_session=a', 'vmware_soap_session=b'] }, told('k')],
    ['no XML', {}, 'nonsense'],
    ['two bodies', {}, told('k') + told('k')],
  ])('of vCenter with %s is unreadable', (_, fields, body) => {
    expect(answer(policy('vsphere'), soapHead('/sdk'), LOGIN, fields, body)).toMatchObject({
      kind: 'unreadable',
    })
  })

  it.each([
    ['/api/session', '"r-1"'],
    ['/rest/com/vmware/cis/session', '{"value": "r-1"}'],
  ])('of vCenter’s REST at %s tells the session', (target, body) => {
    const head = callHead('POST', target, { authorization: `Basic ${btoa('nova:x')}` })
    expect(answer(policy('vsphere'), head, null, {}, body)).toMatchObject({ opened: { sessions: ['r-1'] } })
  })

  const MSA = callHead('GET', '/api/login/90179aff79570344d01768dfa0699a84', {
    authorization: `Basic ${btoa('cinder:p')}`,
  })
  const msa = (numeric: string, more = '') =>
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<RESPONSE VERSION="L100" REQUEST="login">\n' +
    '  <COMP G="0" P="1"/>\n  <OBJECT basetype="status" name="status" oid="1">\n' +
    '    <PROPERTY name="response-type" type="string">Success</PROPERTY>\n' +
    `    <PROPERTY name="response-type-numeric" type="uint32">${numeric}</PROPERTY>\n` +
    `    <PROPERTY name="response" type="string">k&amp;1</PROPERTY>${more}\n  </OBJECT>\n</RESPONSE>\n`

  it('of an MSA tells the key, with a name and without', () => {
    const opened = { kind: 'opened', opened: { sessions: ['k&1'], collect: {}, note: {} } }
    expect(answer(policy('hpe-msa'), MSA, null, {}, msa('0'))).toEqual(opened)
    expect(
      answer(
        policy('hpe-msa'),
        callHead('GET', '/api/login/90179aff79570344d01768dfa0699a84', {}),
        null,
        {},
        msa('0'),
      ),
    ).toEqual(opened)
  })

  it.each([
    ['no key in it', '<RESPONSE><OBJECT/></RESPONSE>', 'not-opened'],
    ['the array’s refusal', msa('1'), 'not-opened'],
    ['two keys', msa('0', '<PROPERTY name="response">k2</PROPERTY>'), 'unreadable'],
    ['a value without a name', msa('0', '<PROPERTY>k2</PROPERTY>'), 'unreadable'],
    ['two documents', msa('0') + msa('0'), 'unreadable'],
    ['a document type', `<!DOCTYPE RESPONSE>${msa('0')}`, 'unreadable'],
    ['no XML', 'Forbidden', 'unreadable'],
  ])('of an MSA with %s opens nothing', (_, body, kind) => {
    expect(answer(policy('hpe-msa'), MSA, null, {}, body)).toMatchObject({ kind })
  })

  it('of an OceanStor tells token and cookie, and nothing where its code is another than 0', () => {
    const head = callHead('POST', '/deviceManager/rest/xx/sessions', { 'content-type': 'application/json' })
    const request = Buffer.from('{"username":"cinder","password":"p"}')
    const cookies = { 'set-cookie': ['session=ismsession=c;path=/deviceManager/rest/1'] }
    const body = (code: number | string) => JSON.stringify({ data: { iBaseToken: 't' }, error: { code } })
    for (const code of [0, '0'])
      expect(answer(policy('oceanstor'), head, request, cookies, body(code))).toMatchObject({
        opened: { sessions: ['t', 'ismsession=c'] },
      })
    for (const code of [1077949061, -401, '00'])
      expect(answer(policy('oceanstor'), head, request, cookies, body(code))).toEqual({ kind: 'not-opened' })
  })

  it.each([
    [
      'hitachi',
      'POST',
      '/ConfigurationManager/v1/objects/storages/1/sessions',
      {},
      '{"token":"b4","sessionId":3}',
      ['b4'],
    ],
    ['powerflex', 'GET', '/api/login', {}, '"t1"', ['t1']],
    [
      'powerstore',
      'GET',
      '/api/rest/login_session',
      { 'set-cookie': ['auth_cookie=a1; Secure'] },
      '[]',
      ['a1'],
    ],
  ])('of %s tells the session', (name, method, target, fields, body, sessions) => {
    const head = callHead(method, target, { authorization: `Basic ${btoa('cinder:p')}` })
    expect(answer(policy(name), head, null, fields, body)).toMatchObject({ opened: { sessions } })
  })

  it('of an identity service tells the token, by a policy of an operator', () => {
    const text = `policy: small
title: Keystone, tokens alone
dialect: openstack
default_lock: keystone
callers: [{ header: X-Auth-Token }]
rules:
  - id: token
    method: POST
    path: /v3/auth/tokens
    json: { capture: { user: /auth/identity/password/user/name } }
    effect: session
    login: { name: user, session: [{ header: X-Subject-Token }] }`
    const compiled = compilePolicy({ pack: packOf(text), identify: BOTH })
    invariant(compiled.ok, compiled.ok ? '' : compiled.faults.map(formatPolicyFault).join())
    const head = callHead('POST', '/v3/auth/tokens', { 'content-type': 'application/json' })
    const body = Buffer.from(
      JSON.stringify({ auth: { identity: { methods: ['password'], password: { user: { name: 'nova' } } } } }),
    )
    const found = compiled.value.classify(head, body)
    expect(found).toMatchObject({ effect: 'session', login: { name: 'nova' } })
    expect(answer(compiled.value, head, body, { 'x-subject-token': ['gAAA'] }, '{}')).toMatchObject({
      opened: { sessions: ['gAAA'] },
    })
  })
})
