// Holds the pack for vSphere to the whole of its four services: every method in operations/ is known for a read or for a change, a change
// needs the lock of what the call names, and what starts work is followed to its end.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { invariant } from '../../gateway/core/invariant.ts'
import { compilePolicy, loadPolicies } from '../../gateway/policy/index.ts'
import { type Classification, callHead } from '../../gateway/spi/policy.ts'
import {
  MISNAMED,
  NO_LOCK_OF_ARGUMENT,
  NO_LOCK_OF_PLACE,
  NO_LOCK_OF_TARGET,
  READS_BY_NAME,
  SESSIONS,
} from './operations/vsphere-expectations.ts'

const SERVICES = { vim25: '/sdk', pbm: '/pbm', sms: '/sms', vslm: '/vslm' } as const
type Service = keyof typeof SERVICES

interface Method {
  readonly service: Service
  readonly name: string
  /** Null where nobody says. */
  readonly object: string | null
  readonly result: string
  /** Of its task. */
  readonly made: string
  readonly parameters: readonly (readonly [name: string, type: string])[]
  readonly places: readonly string[]
}

function methodsOf(service: Service): readonly Method[] {
  return readFileSync(join(import.meta.dirname, 'operations', `${service}.txt`), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [head = '', parameters = '', places = ''] = line.split('|').map((part) => part.trim())
      const [name = '', object = '', result = '', made = ''] = head.split(' ')
      return {
        service,
        name,
        object: object === '-' ? null : object,
        result,
        made,
        parameters: parameters
          .split(' ')
          .filter((one) => one !== '')
          .map((one) => {
            const [parameter = '', type = ''] = one.split(':')
            return [parameter, type.replaceAll('[]', '')] as const
          }),
        places: places.split(' ').filter((one) => one !== ''),
      }
    })
}

const all = (['vim25', 'pbm', 'sms', 'vslm'] as const).flatMap(methodsOf)

/** By type: an id, and the lock of that object. */
const OBJECTS: Readonly<Record<string, readonly [id: string, lock: string]>> = {
  VirtualMachine: ['vm-1', 'vmware/vm/vm-1'],
  HostSystem: ['host-2', 'vmware/host/host-2'],
  Folder: ['group-v3', 'vmware/folder/group-v3'],
  StoragePod: ['group-p4', 'vmware/folder/group-p4'],
  ClusterComputeResource: ['domain-c5', 'vmware/cluster/domain-c5'],
  ComputeResource: ['domain-s6', 'vmware/cluster/domain-s6'],
  ResourcePool: ['resgroup-7', 'vmware/resource-pool/resgroup-7'],
  VirtualApp: ['resgroup-v8', 'vmware/resource-pool/resgroup-v8'],
  Datacenter: ['datacenter-9', 'vmware/datacenter/datacenter-9'],
  Network: ['network-10', 'vmware/network/network-10'],
  DistributedVirtualPortgroup: ['dvportgroup-11', 'vmware/network/dvportgroup-11'],
  DistributedVirtualSwitch: ['dvs-12', 'vmware/switch/dvs-12'],
  VmwareDistributedVirtualSwitch: ['dvs-13', 'vmware/switch/dvs-13'],
  ManagedEntity: ['host-14', 'vmware/host/host-14'],
}
const DISK = '5aa1f3d2-0000-4000-8000-000000000001'

function argument(name: string, type: string): string {
  if (type === 'ID') return `<${name}><id>${DISK}</id></${name}>`
  const known = OBJECTS[type]
  return known === undefined ? '' : `<${name} type="${type}">${known[0]}</${name}>`
}

/** Elements one in the other, the text in the last. */
function nested(place: string, text: string): string {
  return place.split('/').reduceRight((inner, name) => `<${name}>${inner}</${name}>`, text)
}

const pack = loadPolicies(join(import.meta.dirname, '../../policies')).packs.get('vsphere')
invariant(pack !== undefined, 'there is no pack vsphere')
const compiled = compilePolicy({ pack })
invariant(compiled.ok, 'the pack vsphere has faults')
const policy = compiled.value

type Call = Extract<Classification, { kind: 'call' }>

function decide(method: Method, places: Readonly<Record<string, string>> = {}): Call {
  const target = OBJECTS[method.object ?? '']?.[0] ?? 'thing'
  const stated = new Map(method.places.map((place) => [place, '[ds] folder/file']))
  for (const [place, text] of Object.entries(places)) stated.set(place, text)
  const placed = [...stated].map(([place, text]) => nested(place, text))
  const named = method.parameters
    .filter(([name]) => !stated.has(name))
    .map(([name, type]) => argument(name, type))
  const inner = [...named, ...placed].join('')
  const body = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><${method.name} xmlns="urn:${method.service}"><_this type="${method.object ?? 'Thing'}">${target}</_this>${inner}</${method.name}></e:Body></e:Envelope>`
  const head = callHead('POST', SERVICES[method.service], { 'content-type': 'text/xml' })
  const found = policy.classify(head, Buffer.from(body))
  invariant(
    found.kind === 'call',
    `${method.name}: ${found.kind === 'refused' ? found.refusal.detail : 'is no call'}`,
  )
  return found
}

function effectOf({ name }: Method): Call['effect'] {
  if (name === 'TerminateSession') return 'deny'
  if (SESSIONS.includes(name)) return 'session'
  return MISNAMED.includes(name) !== READS_BY_NAME.test(name) ? 'read' : 'mutate'
}
const changes = all.filter((method) => effectOf(method) === 'mutate')
const namesOf = (call: Call): readonly string[] => call.locks.map(({ name }) => name)

describe('the pack vsphere', () => {
  it('counts the methods of each service in its header', () => {
    const text = readFileSync(join(import.meta.dirname, '../../policies/vsphere.yaml'), 'utf8')
    const header = text.split('\npolicy:')[0] ?? ''
    for (const service of ['vim25', 'pbm', 'sms', 'vslm'] as const) {
      const count = methodsOf(service).length
      expect(count).toBeGreaterThan(30)
      expect(header).toContain(`${count} of ${service}`)
      expect(header).toContain('operations/')
    }
  })

  it('takes for a read what reads, and nothing else', () => {
    const wrong = all.filter((method) => decide(method).effect !== effectOf(method))
    expect(wrong.map((method) => `${method.name}: ${decide(method).effect}`)).toEqual([])
    const known = new Set(all.map(({ name }) => name))
    expect([...MISNAMED, ...SESSIONS].filter((name) => !known.has(name))).toEqual([])
  })

  it('knows only methods that vSphere has', () => {
    const known = new Set(all.map(({ name }) => name))
    const written = pack.source.rules.flatMap(({ soap }) => soap?.method ?? []).flat()
    expect(written.length).toBeGreaterThan(400)
    expect(written.filter((name) => !known.has(name))).toEqual([])
  })

  it('asks for the lock of the object that a change is sent to', () => {
    const wrong = changes.flatMap((method) => {
      const lock = OBJECTS[method.object ?? '']?.[1]
      return lock === undefined || namesOf(decide(method)).includes(lock) ? [] : [method.name]
    })
    expect(wrong).toEqual(NO_LOCK_OF_TARGET)
  })

  it('asks for the locks of the objects that a change names, but for those that it does not change', () => {
    const wrong = changes.flatMap((method) =>
      method.parameters.flatMap(([name, type]) => {
        const lock = type === 'ID' ? `vmware/disk/${DISK}` : OBJECTS[type]?.[1]
        // A snapshot of a disk has no lock of its own.
        if (lock === undefined || name === 'snapshotId') return []
        return namesOf(decide(method)).includes(lock) ? [] : [`${method.name} ${name}`]
      }),
    )
    expect(wrong).toEqual(NO_LOCK_OF_ARGUMENT)
  })

  it('asks for the lock of each folder that a change names a file in', () => {
    let seen = 0
    const wrong = changes.flatMap((method) =>
      method.places.flatMap((place) => {
        const lock = 'vmware/datastore/other/place'
        seen++
        return namesOf(decide(method, { [place]: '[other] place/file' })).includes(lock)
          ? []
          : [`${method.name} ${place}`]
      }),
    )
    expect(seen).toBeGreaterThan(100)
    expect(wrong.filter((one) => !NO_LOCK_OF_PLACE.some((known) => known.test(one)))).toEqual([])
    expect(NO_LOCK_OF_PLACE.filter((known) => !wrong.some((one) => known.test(one)))).toEqual([])
  })

  it('follows the work that a change starts, under whatever name', () => {
    const reading = (method: Method, inner: string) => {
      const body = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><${method.name}Response xmlns="urn:${method.service}">${inner}</${method.name}Response></e:Body></e:Envelope>`
      return decide(method).job?.read(200, Buffer.from(body)) ?? { kind: 'none' }
    }
    const works = /^(?:Task|SmsTask|VslmTask|HttpNfcLease)$/
    const starters = changes.filter(({ result }) => works.test(result))
    expect(starters.length).toBeGreaterThan(200)
    for (const method of starters) {
      const answer = `<returnval type="${method.result}">t-1</returnval>`
      expect([method.name, reading(method, answer)]).toMatchObject([method.name, { kind: 'job', id: 't-1' }])
      expect([method.name, reading(method, '').kind]).toEqual([method.name, 'unreadable'])
    }
    const groups = changes.filter(({ made }) =>
      /^(?:ClusterPowerOnVm|FaultToleranceSecondaryOp)Result$/.test(made),
    )
    expect(groups.length).toBeGreaterThan(3)
    for (const method of starters)
      expect([method.name, reading(method, '<returnval type="Task">t-1</returnval>')]).toEqual([
        method.name,
        method.result !== 'Task'
          ? expect.anything()
          : {
              kind: 'job',
              id: 't-1',
              probe: {
                kind: 'vsphere-task',
                task: 't-1',
                ...(groups.includes(method) ? { parts: true } : {}),
              },
            },
      ])
    for (const method of changes.filter(({ result }) => !works.test(result))) {
      if (['RunScheduledTask', 'ApplyRecommendation'].includes(method.name)) continue
      expect([method.name, reading(method, '').kind]).toEqual([method.name, 'none'])
      expect([method.name, reading(method, '<returnval type="Folder">group-v3</returnval>').kind]).toEqual([
        method.name,
        'none',
      ])
    }
  })

  it('never says that work is over which no answer names', () => {
    for (const name of ['RunScheduledTask', 'ApplyRecommendation']) {
      const method = changes.find((one) => one.name === name)
      invariant(method !== undefined, `there is no ${name}`)
      expect(decide(method).job?.read(200, Buffer.from('')).kind).toBe('unreadable')
    }
  })
})
