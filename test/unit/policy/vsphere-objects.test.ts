// Which object's lock a call to vSphere needs: the one that it is sent to, or names as an argument; never a guess.

import { describe, expect, it } from 'vitest'
import { locksOf, type SoapCall, vspherePolicy } from './vsphere-pack.ts'

const policy = vspherePolicy()

const OBJECTS: readonly (readonly [type: string, id: string, lock: string])[] = [
  ['VirtualMachine', 'vm-12', 'vmware/vm/vm-12'],
  ['HostSystem', 'host-9', 'vmware/host/host-9'],
  ['Folder', 'group-v3', 'vmware/folder/group-v3'],
  ['StoragePod', 'group-p8', 'vmware/folder/group-p8'],
  ['ClusterComputeResource', 'domain-c7', 'vmware/cluster/domain-c7'],
  ['ComputeResource', 'domain-s7', 'vmware/cluster/domain-s7'],
  ['ResourcePool', 'resgroup-8', 'vmware/resource-pool/resgroup-8'],
  ['VirtualApp', 'resgroup-v8', 'vmware/resource-pool/resgroup-v8'],
  ['Datacenter', 'datacenter-2', 'vmware/datacenter/datacenter-2'],
  ['Network', 'network-7', 'vmware/network/network-7'],
  ['OpaqueNetwork', 'network-o7', 'vmware/network/network-o7'],
  ['DistributedVirtualPortgroup', 'dvportgroup-7', 'vmware/network/dvportgroup-7'],
  ['VmwareDistributedVirtualSwitch', 'dvs-7', 'vmware/switch/dvs-7'],
]

const ref = (name: string, type: string, id: string) => `<${name} type="${type}">${id}</${name}>`

describe('a call to vSphere', () => {
  it.each(OBJECTS)(
    'that is sent to a %s such as %s needs its lock, whatever type is written',
    (type, id, lock) => {
      for (const method of ['Destroy_Task', 'Rename_Task', 'Reload', 'setCustomValue'])
        for (const written of [type, 'ManagedEntity', 'VirtualMachine', 'HostSystem', 'Folder'])
          expect([method, written, locksOf(policy, { method, target: [written, id] })]).toEqual([
            method,
            written,
            [lock],
          ])
    },
  )

  it.each([
    ['VirtualMachine', '42', 'vmware/vm/42'],
    ['HostSystem', 'ha-host', 'vmware/host/ha-host'],
    ['Folder', 'ha-folder-vm', 'vmware/folder/ha-folder-vm'],
    ['ComputeResource', 'ha-compute-res', 'vmware/cluster/ha-compute-res'],
    ['ResourcePool', 'ha-root-pool', 'vmware/resource-pool/ha-root-pool'],
    ['Datacenter', 'ha-datacenter', 'vmware/datacenter/ha-datacenter'],
    ['Network', 'HaNetwork-VM Network', 'vmware/network/HaNetwork-VM Network'],
    ['HostNetworkSystem', 'networkSystem-9', 'vmware'],
    ['Datastore', 'datastore-10', 'vmware'],
    ['VirtualMachineSnapshot', 'snapshot-3', 'vmware'],
    ['Task', 'task-3', 'vmware'],
  ])('that is sent to a %s of another form, %s, goes by the type', (type, id, lock) => {
    expect(locksOf(policy, { method: 'NotYetInvented_Task', target: [type, id] })).toEqual([lock])
  })

  it('is refused where the number of an id has leading zeros', () => {
    for (const [type, id] of OBJECTS) {
      const spelled = id.replace(/[0-9]+$/, '0$&')
      expect([id, locksOf(policy, { method: 'Reload', target: [type, spelled] })]).toEqual([
        id,
        'bad-request',
      ])
      const entity = ref('entity', type, spelled)
      expect([id, locksOf(policy, { method: 'SetField', args: entity })]).toEqual([id, 'bad-request'])
    }
  })

  it.each([
    ['VirtualMachine', 'VM-12'],
    ['VirtualMachine', 'Vm-12'],
    ['VirtualMachine', '012'],
    ['VirtualMachine', 'vm-\uff11\uff12'],
    ['VirtualMachine', 'vm-012'],
    ['Network', 'NETWORK-O7'],
  ])('is refused where a %s is spelt as %s', (type, id) => {
    for (const method of ['Destroy_Task', 'Reload'])
      expect(locksOf(policy, { method, target: [type, id] })).toBe('bad-request')
    expect(locksOf(policy, { method: 'StartProgramInGuest', args: ref('vm', type, id) })).toBe('bad-request')
  })

  it.each(OBJECTS)(
    'that is sent to a %s such as %s needs its lock, whatever machine is written beside it',
    (type, id, lock) => {
      const args = ref('vm', 'VirtualMachine', 'vm-99')
      for (const method of ['Destroy_Task', 'NotYetInvented'])
        expect(locksOf(policy, { method, target: [type, id], args })).toEqual([lock, 'vmware/vm/vm-99'])
    },
  )

  it('to a manager needs the lock of the machines that it names', () => {
    const call = {
      method: 'StartProgramInGuest',
      target: ['GuestProcessManager', 'guestOperations'],
    } as const
    const args = ref('vm', 'VirtualMachine', 'vm-1')
    expect(locksOf(policy, { ...call, args })).toEqual(['vmware/vm/vm-1'])
  })

  it.each(OBJECTS)('that moves a %s such as %s needs its lock, or one for all', (type, id, lock) => {
    const call = { method: 'MoveIntoFolder_Task', target: ['Folder', 'group-x4'] } as const
    const list = ref('list', type, id)
    expect(locksOf(policy, { ...call, args: list })).toEqual([lock])
    const others = [ref('list', 'Datastore', 'datastore-3'), ref('list', 'Folder', 'folder-3')]
    for (const other of others) expect(locksOf(policy, { ...call, args: list + other })).toEqual(['vmware'])
  })

  it.each(OBJECTS)('that writes something at a %s such as %s needs its lock', (type, id, lock) => {
    for (const method of ['SetEntityPermissions', 'RemoveEntityPermission', 'SetField', 'CreateAlarm'])
      expect(locksOf(policy, { method, args: ref('entity', type, id) })).toEqual([lock])
  })

  const NAMING: readonly (readonly [SoapCall, readonly string[]])[] = [
    [
      {
        method: 'CreateVM_Task',
        target: ['Folder', 'group-v3'],
        args: ref('pool', 'ResourcePool', 'resgroup-8'),
      },
      ['~vmware/folder/group-v3'],
    ],
    [{ method: 'CreateFolder', target: ['Folder', 'ha-folder-root'] }, ['~vmware/folder/ha-folder-root']],
    [
      {
        method: 'CreateVApp',
        target: ['ResourcePool', 'resgroup-8'],
        args: ref('vmFolder', 'Folder', 'group-v3'),
      },
      ['~vmware/resource-pool/resgroup-8', '~vmware/folder/group-v3'],
    ],
    [
      { method: 'CreateResourcePool', target: ['ResourcePool', 'resgroup-8'] },
      ['~vmware/resource-pool/resgroup-8'],
    ],
    [
      {
        method: 'MoveInto_Task',
        target: ['ClusterComputeResource', 'domain-c7'],
        args: ref('host', 'HostSystem', 'host-1') + ref('host', 'HostSystem', 'host-2'),
      },
      ['vmware/cluster/domain-c7', 'vmware/host/host-1', 'vmware/host/host-2'],
    ],
    [
      {
        method: 'BatchAddHostsToCluster_Task',
        target: ['Folder', 'group-h4'],
        args:
          ref('cluster', 'ClusterComputeResource', 'domain-c7') +
          ref('existingHosts', 'HostSystem', 'host-1'),
      },
      ['vmware/cluster/domain-c7', 'vmware/host/host-1'],
    ],
    [
      {
        method: 'MergeDvs_Task',
        target: ['DistributedVirtualSwitch', 'dvs-1'],
        args: ref('dvs', 'DistributedVirtualSwitch', 'dvs-2'),
      },
      ['vmware/switch/dvs-1', 'vmware/switch/dvs-2'],
    ],
    [
      {
        method: 'MoveIntoFolder_Task',
        target: ['Folder', 'group-h4'],
        args: ref('list', 'HostSystem', 'host-1'),
      },
      ['vmware/host/host-1'],
    ],
    [
      {
        method: 'MoveIntoFolder_Task',
        target: ['Folder', 'group-v4'],
        args: ref('list', 'VirtualMachine', 'vm-1') + ref('list', 'VirtualMachine', 'vm-2'),
      },
      ['vmware/vm/vm-1', 'vmware/vm/vm-2'],
    ],
    [{ method: 'ApplyHostConfig_Task', args: ref('host', 'HostSystem', 'host-1') }, ['vmware/host/host-1']],
    [
      { method: 'CreateIpPool', args: ref('dc', 'Datacenter', 'datacenter-2') },
      ['vmware/datacenter/datacenter-2'],
    ],
    [
      { method: 'ConfigureStorageDrsForPod_Task', args: ref('pod', 'StoragePod', 'group-p8') },
      ['vmware/folder/group-p8'],
    ],
    [{ method: 'UpdateReferenceHost', args: ref('host', 'HostSystem', 'host-1') }, ['vmware']],
  ]
  it.each(NAMING.map(([call, locks]) => [call.method, call, locks] as const))(
    'of %s needs the locks of what it changes',
    (_, call, locks) => {
      expect(locksOf(policy, call)).toEqual(locks)
    },
  )

  it('goes back to one lock for all of the inventory where an operator says so', () => {
    const names = ['host', 'folder', 'cluster', 'resource-pool', 'datacenter', 'network', 'switch', 'disk']
    const coarse = vspherePolicy({ locks: Object.fromEntries(names.map((name) => [name, '{root}'])) })
    for (const [type, id] of OBJECTS.slice(1))
      expect(locksOf(coarse, { method: 'Destroy_Task', target: [type, id] })).toEqual(['vmware'])
    expect(locksOf(coarse, { method: 'Destroy_Task', target: ['VirtualMachine', 'vm-12'] })).toEqual([
      'vmware/vm/vm-12',
    ])
  })
})
