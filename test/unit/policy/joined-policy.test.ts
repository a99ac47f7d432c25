import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { invariant } from '../../../gateway/core/invariant.ts'
import { compilePolicy, loadPolicies, makeCatalogue } from '../../../gateway/policy/index.ts'
import { joinPolicies } from '../../../gateway/policy/joined-policy.ts'
import { type CallHead, callHead, type Policy } from '../../../gateway/spi/policy.ts'
import fc from '../../support/fast-check.ts'

const { packs } = loadPolicies(join(import.meta.dirname, '../../../policies'))
const BOTH = { extends: 'vsphere', beside: { 'vsphere-rest': ['/api', '/rest'] } }

function builtIn(name: string): Policy {
  const pack = packs.get(name)
  invariant(pack !== undefined, `there is no pack ${name}`)
  const compiled = compilePolicy({ pack })
  invariant(compiled.ok, `the pack ${name} has faults`)
  return compiled.value
}

function joined(
  configured: Readonly<Record<string, Readonly<Record<string, unknown>>>>,
  name: string,
): Policy {
  const catalogue = makeCatalogue(packs, configured)
  expect(catalogue.faults).toEqual([])
  const policy = catalogue.policy(name, 'vcenter')
  invariant(policy !== null, `there is no policy ${name}`)
  return policy
}

const faultsOf = (configured: Readonly<Record<string, Readonly<Record<string, unknown>>>>) =>
  makeCatalogue(packs, configured).faults.map((fault) => `${fault.path.join('.')}: ${fault.message}`)

const soap = builtIn('vsphere')
const rest = builtIn('vsphere-rest')
const both = joined({ vcenter: BOTH }, 'vcenter')

const decide = (policy: Policy, head: CallHead, body: Buffer | null) =>
  policy.classify(head, policy.bodyBytesNeeded(head) > 0 ? body : null)

const POWER_OFF = Buffer.from(
  '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><PowerOffVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">vm-12</_this></PowerOffVM_Task></e:Body></e:Envelope>',
)

describe('policies beside one another', () => {
  it('decide each about its own paths, and need the same lock for the same thing', () => {
    const over = (target: string, type: string, body: Buffer) =>
      decide(both, callHead('POST', target, { 'content-type': type }), body)
    const bySoap = over('/sdk', 'text/xml', POWER_OFF)
    const byRest = over('/rest/vcenter/vm/vm-12/power/stop', 'application/json', Buffer.from('{}'))
    expect(bySoap).toMatchObject({
      effect: 'mutate',
      locks: [{ name: 'vmware/vm/vm-12', mode: 'exclusive' }],
    })
    expect(byRest).toMatchObject({ rule: 'rest-vm', dialect: 'vapi' })
    expect(bySoap.kind === 'call' && byRest.kind === 'call' && byRest.locks).toEqual(
      bySoap.kind === 'call' && bySoap.locks,
    )
    expect(bySoap.dialect).toBeUndefined()
  })

  it('say of a refusal what the API that was spoken says, and which policy it was', () => {
    const head = callHead('POST', '/api/vcenter/vm?action=clone', { 'content-type': 'application/json' })
    expect(decide(both, head, Buffer.from('{}'))).toMatchObject({ kind: 'refused', dialect: 'vapi' })
    const { trace } = both.explain(head, Buffer.from('{}'))
    expect(trace[0]).toBe('the policy vsphere-rest decides here')
    const dropped = callHead('POST', '/rest/vcenter/vm/vm-1%2fx', {})
    expect(decide(both, dropped, null)).toMatchObject({ kind: 'refused', dialect: 'vapi' })
  })

  it('have the longer quiet time, the shorter body, and all the names of logins', () => {
    expect([both.quietMs, both.bodyBytesMax]).toEqual([900_000, 1_048_576])
    const own = { 'own-rest': { extends: 'vsphere-rest', quiet: 1200 } }
    const slow = joined(
      { vcenter: { extends: 'vsphere', beside: { 'own-rest': ['/api'] } }, ...own },
      'vcenter',
    )
    expect(slow.quietMs).toBe(1_200_000)
    expect(both.loginKeys).toEqual(['login', 'userName'])
  })

  it('decide whatever the spelling of the first part, or refuse', () => {
    const part = fc.constantFrom(
      '/api',
      '//api',
      '/./api',
      '/x/../api',
      '/API',
      '/%61pi',
      '/%2561pi',
      '/%252561pi',
      '/api%2f',
      '/%2fapi',
      '/api;x',
      '/a%70i',
      '/rest',
      '/%72est',
      '/;/api',
      '/api%00',
      '/%5capi',
      '/\\api',
    )
    const rests = fc.constantFrom(
      '/vcenter/vm/vm-12',
      '/vcenter/vm/vm-12/power?action=stop',
      '',
      '?x=/sdk',
      '/sdk',
    )
    fc.assert(
      fc.property(part, rests, fc.constantFrom('GET', 'POST', 'DELETE'), (first, more, method) => {
        const head = callHead(method, first + more, {})
        const found = decide(both, head, null)
        const own = decide(rest, head, null)
        // Never the rules for SOAP, which know nothing of these paths: a default lock in place of the machine's.
        expect([first + more, found.kind, found.kind === 'call' && found.locks]).toEqual([
          first + more,
          own.kind,
          own.kind === 'call' && own.locks,
        ])
        expect(found.kind === 'refused' || found.dialect === 'vapi').toBe(true)
      }),
      { numRuns: 1500 },
    )
  })

  it('do not depend on the first of them being strict', () => {
    const lenient = {
      title: 'Lenient',
      dialect: 'problem',
      default_lock: 'vmware',
      quiet: 1,
      empty_segments: 'merge',
      double_encoding: 'allow',
      rules: [{ id: 'all', path: ['/{first+}', '/{first+}/{path...}'], effect: 'read' }],
    }
    const beside = makeCatalogue(packs, { lenient }).terms('lenient')
    invariant(beside !== null, 'the lenient pack is faulty')
    const other = compilePolicy({ pack: packs.get('vsphere-rest') ?? beside.pack })
    const main = compilePolicy(beside)
    invariant(main.ok && other.ok, 'both packs are sound')
    const policy = joinPolicies(main.value, new Map([['api', other.value]]))
    const targets = [
      '//api/vcenter/vm/vm-1',
      '/api%2Fvcenter%2Fvm/vm-1',
      '/%2561pi/vcenter/vm/vm-1',
      '/API/vcenter/vm/vm-1',
    ]
    for (const target of targets) {
      expect([target, main.value.classify(callHead('DELETE', target, {}), null)]).toMatchObject([
        target,
        { effect: 'read' },
      ])
      const found = policy.classify(callHead('DELETE', target, {}), null)
      expect([target, found.kind === 'refused' || found.effect]).not.toEqual([target, 'read'])
    }
  })

  it('leave every other path to the first of them', () => {
    const said = (policy: Policy, head: CallHead) => JSON.stringify(decide(policy, head, POWER_OFF))
    const targets = [
      '/',
      '/sdk',
      '/sdk/vimService',
      '/folder/a?dsName=d',
      '/apis',
      '/api%20',
      '/restful',
      '/x?/api',
      '/sdk/api',
      '*',
      '',
    ]
    for (const target of targets)
      for (const method of ['GET', 'POST', 'PUT']) {
        const head = callHead(method, target, { 'content-type': 'text/xml' })
        expect([target, said(both, head)]).toEqual([target, said(soap, head)])
      }
  })

  it('are faulty where one is not there, is there twice, stands beside others itself, or locks elsewhere', () => {
    expect(faultsOf({ v: { extends: 'vsphere', beside: { nobody: ['/api'] } } })).toEqual([
      expect.stringMatching(/^v\.beside\.nobody: there is no policy nobody; there are .*vsphere-rest/),
    ])
    expect(
      faultsOf({
        own: { extends: 'vsphere-rest' },
        v: { extends: 'vsphere', beside: { 'vsphere-rest': ['/api'], own: ['/API'] } },
      }),
    ).toEqual(['v.beside.own: /API is given to two policies'])
    expect(faultsOf({ both: BOTH, v: { extends: 'vsphere', beside: { both: ['/x'] } } })).toEqual([
      'v.beside.both: both has others beside it itself: name them here',
    ])
    expect(faultsOf({ v: { ...BOTH, variables: { root: 'east' } } })).toEqual([
      expect.stringMatching(
        /^v\.beside\.vsphere-rest: the default lock of vsphere-rest is vmware, not east: /,
      ),
    ])
    expect(faultsOf({ v: { ...BOTH, covering: ['*_base/*'] } })).toEqual([
      expect.stringMatching(/^v\.beside\.vsphere-rest: vsphere-rest declares other folders \(covering\): /),
    ])
    for (const locks of [
      { vm: '{root}/machine/{vm|moref}' },
      { host: '{root}' },
      { 'vm-file': '{root}/files' },
    ])
      expect(faultsOf({ v: { ...BOTH, locks } })).toEqual([
        expect.stringMatching(
          /^v\.beside\.vsphere-rest: the lock [a-z-]+ of vsphere-rest is vmware\/.*, not vmware/,
        ),
      ])
    const coarse = { locks: { host: '{root}', vm: '{root}/machine/{vm|moref}' } }
    const coarseRest = { 'coarse-rest': { extends: 'vsphere-rest', ...coarse } }
    expect(
      faultsOf({ v: { extends: 'vsphere', beside: { 'coarse-rest': ['/api'] }, ...coarse }, ...coarseRest }),
    ).toEqual([])
    const east = { variables: { root: 'east' } }
    const eastRest = { 'east-rest': { extends: 'vsphere-rest', ...east } }
    const own = joined(
      { v: { extends: 'vsphere', beside: { 'east-rest': ['/api'] }, ...east }, ...eastRest },
      'v',
    )
    const found = decide(own, callHead('DELETE', '/api/vcenter/vm/vm-12', {}), null)
    expect(found.kind === 'call' && found.locks).toEqual([{ name: 'east/vm/vm-12', mode: 'exclusive' }])
    expect(faultsOf({ v: { extends: 'vsphere', beside: { 'vsphere-rest': ['api'] } } })[0]).toContain(
      'such as /api',
    )
  })
})
