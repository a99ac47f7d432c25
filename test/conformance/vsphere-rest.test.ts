// Holds the pack vsphere-rest to the whole of vCenter's REST APIs: every operation in the list has a rule of its own, the
// right effect, the lock of the object that it names, and a job where its answer names a task.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { invariant } from '../../gateway/core/invariant.ts'
import { compilePolicy, loadPolicies } from '../../gateway/policy/index.ts'
import { type Classification, callHead } from '../../gateway/spi/policy.ts'
import fc from '../support/fast-check.ts'
import { BODIES, LOCKS, OWN_STATE, READS, SESSIONS } from './operations/vsphere-rest-expectations.ts'

const root = join(import.meta.dirname, '../..')
const { packs } = loadPolicies(join(root, 'policies'))
const pack = packs.get('vsphere-rest')
invariant(pack !== undefined, 'there is no pack vsphere-rest')
const compiled = compilePolicy({ pack })
invariant(compiled.ok, 'the pack vsphere-rest has faults')
const policy = compiled.value

type Call = Extract<Classification, { kind: 'call' }>

interface Operation {
  /** Method and address as they stand in the list. */
  readonly name: string
  readonly method: string
  readonly path: string
  /** Its answer names a task. */
  readonly task: boolean
}

const operations: readonly Operation[] = readFileSync(
  join(import.meta.dirname, 'operations/vsphere-rest.txt'),
  'utf8',
)
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => {
    const [method = '', path = '', task] = line.split(' ')
    return { name: `${method} ${path}`, method, path, task: task === 'task' }
  })

/** Every parameter of a path has the value that its name says, so that a lock shows what it was filled with. */
function filled(path: string): string {
  return path.replace(/\{([^}]*)\}/g, (_, name: string) => value(name))
}

function value(name: string): string {
  return `${name.replaceAll('_', '-')}-7`
}

function bodyOf(operation: Operation): Buffer {
  const [path = ''] = operation.path.split('?')
  const own = BODIES.find(([pattern]) => pattern.test(path))?.[1] ?? {}
  return Buffer.from(JSON.stringify(own))
}

function classify(method: string, target: string, body: Buffer): Classification {
  const head = callHead(method, target, { 'content-type': 'application/json' })
  return policy.classify(head, policy.bodyBytesNeeded(head) > 0 ? body : null)
}

function decide(operation: Operation): Call {
  const found = classify(operation.method, filled(operation.path), bodyOf(operation))
  invariant(found.kind === 'call', found.kind === 'call' ? '' : `${operation.name}: ${found.refusal.detail}`)
  return found
}

/** What calls that make something say of where, and of what. */
const WHERE = { source: 'vm-12', folder: 'group-v3', parent: 'resgroup-8', placement: { folder: 'group-v3' } }
const PLACED = Buffer.from(JSON.stringify({ ...WHERE, spec: WHERE }))

const isInternal = (operation: Operation): boolean => operation.path.includes('/contentinternal/')

function effectOf(operation: Operation): Call['effect'] {
  if (SESSIONS.includes(operation.name)) return 'session'
  if (operation.method === 'GET' || READS.includes(operation.name)) return 'read'
  if (OWN_STATE.some((pattern) => pattern.test(operation.name))) return 'read'
  return isInternal(operation) ? 'deny' : 'mutate'
}

/** The locks that an operation's address names, as this test reads it. */
function locksOf(operation: Operation): readonly string[] {
  const [path = ''] = operation.path.split('?')
  return LOCKS.flatMap(([pattern, lock]) => {
    const name = pattern.exec(path)?.[1]
    return name === undefined ? [] : [`vmware/${lock}/${value(name)}`]
  })
}

const changes = operations.filter((one) => effectOf(one) === 'mutate')

describe('the pack vsphere-rest', () => {
  it('counts the operations of its list in its header', () => {
    const text = readFileSync(join(root, 'policies/vsphere-rest.yaml'), 'utf8')
    const header = text.split('\npolicy:')[0] ?? ''
    expect(operations.length).toBeGreaterThan(1600)
    expect(header).toContain(`All ${operations.length} operations`)
    expect(header).toContain('operations/vsphere-rest.txt')
  })

  it('has a rule for every operation, and none is among what nobody has listed', () => {
    const unlisted = ['default', 'unlisted', 'rest-unlisted-task']
    expect(operations.filter((one) => unlisted.includes(decide(one).rule)).map((one) => one.name)).toEqual([])
  })

  it('takes for a read what reads, and nothing else', () => {
    const wrong = operations.filter((one) => decide(one).effect !== effectOf(one))
    expect(wrong.map((one) => `${one.name}: ${decide(one).effect}`)).toEqual([])
    const names = new Set(operations.map((one) => one.name))
    expect([...READS, ...SESSIONS].filter((name) => !names.has(name))).toEqual([])
  })

  it('asks for the lock of the object that a changing call names in its address', () => {
    const wrong = changes.flatMap((one) => {
      const found: readonly string[] = decide(one).locks.map((lock) => lock.name)
      const missing = locksOf(one).filter((lock) => !found.includes(lock))
      return missing.length === 0 ? [] : [`${one.name}: ${found.join()}, not ${missing.join()}`]
    })
    expect(wrong).toEqual([])
    expect(changes.filter((one) => locksOf(one).length > 0).length).toBeGreaterThan(380)
  })

  it('puts under the default lock only what names no object with a lock of its own', () => {
    const wrong = changes.filter(
      (one) => locksOf(one).length > 0 && decide(one).locks.some((lock) => lock.name === 'vmware'),
    )
    expect(wrong.map((one) => one.name)).toEqual([])
  })

  it('waits for the task behind every answer that names one', () => {
    const started = changes.filter((one) => one.task)
    expect(started.length).toBeGreaterThan(100)
    const wrong = started.filter((one) => {
      const isApi = one.path.startsWith('/api/')
      const answer = Buffer.from(isApi ? '"t:1"' : '{"value":"t:1"}')
      const named = decide(one).job?.read(isApi ? 202 : 200, answer)
      const target = isApi ? '/api/cis/tasks/t%3A1' : '/rest/cis/tasks/t%3A1'
      return named?.kind !== 'job' || named.probe.kind !== 'http' || named.probe.target !== target
    })
    expect(wrong.map((one) => one.name)).toEqual([])
  })

  it('waits for a task wherever a call of /api is answered with 202, listed or not', () => {
    const wrong = changes.filter(
      (one) => one.path.startsWith('/api/') && decide(one).job?.appliesTo(202) !== true,
    )
    expect(wrong.map((one) => one.name)).toEqual([])
  })

  it('needs the same lock as the pack for SOAP, by whichever API a thing is spoken to', () => {
    const other = packs.get('vsphere')
    invariant(other !== undefined, 'there is no pack vsphere')
    const soap = compilePolicy({ pack: other })
    invariant(soap.ok, 'the pack vsphere has faults')
    const envelope = (method: string, type: string, id: string): Buffer =>
      Buffer.from(
        `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><${method} xmlns="urn:vim25"><_this type="${type}">${id}</_this></${method}></e:Body></e:Envelope>`,
      )
    const head = callHead('POST', '/sdk', { 'content-type': 'text/xml' })
    const pairs = [
      ['POST /api/vcenter/vm/vm-12/power?action=stop', 'PowerOffVM_Task', 'VirtualMachine', 'vm-12'],
      ['POST /rest/vcenter/vm/vm-12/power/stop', 'PowerOffVM_Task', 'VirtualMachine', 'vm-12'],
      ['DELETE /api/vcenter/vm/vm-12', 'Destroy_Task', 'VirtualMachine', 'vm-12'],
      ['POST /api/vcenter/host/host-9?action=disconnect', 'DisconnectHost_Task', 'HostSystem', 'host-9'],
      ['DELETE /api/vcenter/datacenter/datacenter-2', 'Destroy_Task', 'Datacenter', 'datacenter-2'],
      ['DELETE /api/vcenter/resource-pool/resgroup-8', 'Destroy_Task', 'ResourcePool', 'resgroup-8'],
      [
        'PATCH /api/esx/settings/clusters/domain-c8/x',
        'ReconfigureComputeResource_Task',
        'ClusterComputeResource',
        'domain-c8',
      ],
      ['POST /api/vcenter/vm', 'CreateVM_Task', 'Folder', 'group-v3'],
      ['POST /rest/vcenter/vm', 'CreateVM_Task', 'Folder', 'group-v3'],
      ['POST /api/vcenter/datacenter', 'CreateDatacenter', 'Folder', 'group-v3'],
      ['POST /api/vcenter/host', 'AddStandaloneHost_Task', 'Folder', 'group-v3'],
      ['POST /api/vcenter/resource-pool', 'CreateResourcePool', 'ResourcePool', 'resgroup-8'],
      ['POST /api/vcenter/vm?action=clone', 'CloneVM_Task', 'VirtualMachine', 'vm-12'],
      ['POST /rest/vcenter/vm?action=clone', 'CloneVM_Task', 'VirtualMachine', 'vm-12'],
    ] as const
    for (const [call, method, type, id] of pairs) {
      const [verb = '', target = ''] = call.split(' ')
      const rest = classify(verb, target, PLACED)
      const named = soap.value.classify(head, envelope(method, type, id))
      invariant(rest.kind === 'call' && named.kind === 'call', call)
      expect([call, rest.locks]).toEqual([call, named.locks])
    }
  })

  it('needs the lock of an object that it knows for what a newer version does to it, and the default lock for the rest', () => {
    const expected = [
      ['PUT /api/esx/settings/clusters/domain-c8/vms/solutions/s?vmw-task=true', 'vmware/cluster/domain-c8'],
      ['POST /api/esx/settings/hosts/host-9/new?action=run', 'vmware/host/host-9'],
      ['PATCH /api/vcenter/vm/vm-12/new/part', 'vmware/vm/vm-12'],
      ['PATCH /api/vcenter/namespaces/instances/v2/ns1', 'vmware/namespace/ns1'],
      ['POST /api/vcenter/cluster/modules', 'vmware'],
      ['POST /api/vcenter/new', 'vmware'],
      ['POST /api/new/thing', 'vmware'],
      ['GET /api/new/thing', 'vmware'],
      ['POST /rest/new/thing', 'vmware'],
      ['PROPFIND /api/vcenter/vm/vm-12', 'vmware'],
    ] as const
    for (const [call, lock] of expected) {
      const [method = '', target = ''] = call.split(' ')
      const found = classify(method, target, Buffer.from('{}'))
      invariant(found.kind === 'call', call)
      expect([call, found.effect, found.locks]).toEqual([call, 'mutate', [{ name: lock, mode: 'exclusive' }]])
      if (target.startsWith('/api') && method !== 'GET' && method !== 'PROPFIND')
        expect([call, found.job?.appliesTo(202)]).toEqual([call, true])
    }
  })

  it('never takes for a read a call that another operation is chosen in', () => {
    const choosing = fc.constantFrom('action', '~action', '~method', '%61ction', '~%61ction', '%7eaction')
    const chosen = fc.constantFrom('delete', 'DELETE', 'stop', 'create', 'POST', '')
    const reads = operations.filter(
      (one) => effectOf(one) === 'read' && OWN_STATE.every((own) => !own.test(one.name)),
    )
    fc.assert(
      fc.property(fc.constantFrom(...reads), choosing, chosen, fc.boolean(), (one, name, action, first) => {
        const [path = '', query] = filled(one.path).split('?')
        const members = query === undefined ? [] : [query]
        const member = `${name}=${action}`
        const target = `${path}?${(first ? [member, ...members] : [...members, member]).join('&')}`
        const found = classify(one.method, target, bodyOf(one))
        expect([target, found.kind === 'refused' || !['read', 'session'].includes(found.effect)]).toEqual([
          target,
          true,
        ])
      }),
      { numRuns: 3000 },
    )
  })

  it('asks for the same locks however an address is spelt, or refuses it', () => {
    const spelling = fc.constantFrom(
      (path: string) => `${path}/`,
      (path: string) => path.replace('/vcenter/', '/vcenter//'),
      (path: string) => path.replace('/api/', '/api/./'),
      (path: string) => path.replace('/vcenter', '/%76center'),
      (path: string) => path.replace('-7', '%2d7'),
      (path: string) => path.replace('-7', '-7%2f'),
      (path: string) => path.replace('-7', '-7;x=1'),
      (path: string) => path.replace('-7', '-7%00'),
      (path: string) => path.toUpperCase(),
      (path: string) => path.replace('id:', 'id%3A'),
    )
    fc.assert(
      fc.property(fc.constantFrom(...changes), spelling, (one, spell) => {
        const [path = '', query] = filled(one.path).split('?')
        const target = `${spell(path)}${query === undefined ? '' : `?${query}`}`
        const found = classify(one.method, target, bodyOf(one))
        if (found.kind === 'refused' || found.effect === 'deny') return
        const { locks } = decide(one)
        // In upper case the address is none of this API's; whatever it is, it is not let pass.
        if (spell(path) === path.toUpperCase()) expect([target, found.effect]).toEqual([target, 'mutate'])
        else expect([target, found.effect, found.locks]).toEqual([target, 'mutate', locks])
      }),
      { numRuns: 3000 },
    )
  })
})
