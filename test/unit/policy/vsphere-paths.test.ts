// Files and folders on datastores that calls to vSphere name: each family of calls, by whatever spelling; one path never leads to
// two locks, and what is no plain path leads to none of an image's.

import { describe, expect, it } from 'vitest'
import { callHead } from '../../../gateway/spi/policy.ts'
import fc from '../../support/fast-check.ts'
import { locksOf, vspherePolicy } from './vsphere-pack.ts'

const policy = vspherePolicy({ covering: ['*_base/*'] })
const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const at = (place: string, text: string) =>
  place.split('/').reduceRight((inner, name) => `<${name}>${inner}</${name}>`, escaped(text))
const VM = ['VirtualMachine', 'vm-1'] as const

const butTheLast = (locks: readonly string[] | string) =>
  typeof locks === 'string' ? locks : locks.slice(0, -1)

type Family = (path: string) => readonly string[] | string
const VM_LOCK = 'vmware/vm/vm-1'
/** The locks of files among those that a machine's settings need. */
const ofFiles = (locks: readonly string[] | string) =>
  typeof locks === 'string' ? locks : locks.filter((name) => name.includes('/datastore/'))

const FAMILIES: Readonly<Record<string, Family>> = {
  FileManager: (path) => locksOf(policy, { method: 'DeleteDatastoreFile_Task', args: at('name', path) }),
  MakeDirectory: (path) => locksOf(policy, { method: 'MakeDirectory', args: at('name', path) }),
  VirtualDiskManager: (path) => locksOf(policy, { method: 'ExtendVirtualDisk_Task', args: at('name', path) }),
  'a datastore browser': (path) => locksOf(policy, { method: 'DeleteFile', args: at('datastorePath', path) }),
  'a managed snapshot': (path) =>
    locksOf(policy, { method: 'ReleaseManagedSnapshot', args: at('vdisk', path) }),
  'a registration': (path) => locksOf(policy, { method: 'RegisterVM_Task', args: at('path', path) }),
}
const SHARING: Readonly<Record<string, Family>> = {
  'the source of a copy': (path) =>
    butTheLast(
      locksOf(policy, {
        method: 'CopyVirtualDisk_Task',
        args: at('sourceName', path) + at('destName', '[elsewhere] x/y'),
      }),
    ),
  'a device that is attached': (path) =>
    ofFiles(
      locksOf(policy, {
        method: 'ReconfigVM_Task',
        target: VM,
        args: at('spec/deviceChange/device/backing/fileName', path),
      }),
    ),
  'the parent of a device': (path) =>
    ofFiles(
      locksOf(policy, {
        method: 'ReconfigVM_Task',
        target: VM,
        args: at('spec/deviceChange/device/backing/parent/fileName', path),
      }),
    ),
  'the place of a new machine': (path) =>
    ofFiles(
      locksOf(policy, {
        method: 'CreateVM_Task',
        target: ['Folder', 'group-v1'],
        args: at('config/files/vmPathName', path),
      }),
    ),
  'a disk that is moved': (path) =>
    ofFiles(
      locksOf(policy, {
        method: 'RelocateVM_Task',
        target: VM,
        args: at('spec/disk/diskBackingInfo/fileName', path),
      }),
    ),
}
const shared = (locks: readonly string[] | string) =>
  typeof locks === 'string' ? locks : locks.map((name) => `~${name.replace(/^~/, '')}`)

function upload(target: string): readonly string[] | string {
  const found = policy.classify(callHead('PUT', target), null)
  if (found.kind === 'refused') return found.refusal.code
  return found.locks.map(({ name, mode }) => (mode === 'shared' ? `~${name}` : name))
}

describe('a path on a datastore', () => {
  const DEEP = ['~vmware/datastore/ds 1/n_base', 'vmware/datastore/ds 1/n_base/img']

  it.each(Object.entries(FAMILIES))('that %s is told needs the lock of its folder', (_, family) => {
    expect(family('[ds 1] n_base/img/img.vmdk')).toEqual(DEEP)
    expect(family('[ds 1]n_base/img/img.vmdk')).toEqual(DEEP)
    expect(family('[ds 1] n_base/img/')).toEqual(DEEP)
    expect(family('[ds 1] n_base')).toEqual(['vmware/datastore/ds 1/n_base'])
  })

  it.each(Object.entries(SHARING))('that names %s needs it shared', (_, family) => {
    expect(family('[ds 1] n_base/img/img.vmdk')).toEqual(shared(DEEP))
  })

  it('is the same over HTTP, by whatever encoding', () => {
    for (const target of [
      '/folder/n_base/img/img.vmdk?dcPath=dc&dsName=ds+1',
      '/folder/n_base/img/img.vmdk?dsName=ds%201',
      '/folder/n%5Fbase/%69mg/img.vmdk?dsName=%64s%201&dcPath=a%2fb',
    ])
      expect(upload(target)).toEqual(DEEP)
    expect(upload('/folder/n_base/img/img.vmdk?dcPath=dc')).toBe('bad-request')
    expect(upload('/folder/n_base/../other/img.vmdk?dsName=ds')).toBe('bad-request')
    expect(upload('/folder?dsName=ds')).toEqual(['vmware'])
  })

  it.each([
    'ds:///vmfs/volumes/52-11/n_base/img/img.vmdk',
    'https://vc.example/folder/n_base/img/img.vmdk?dcPath=dc&dsName=ds%201',
    '/vmfs/volumes/ds 1/n_base/img/img.vmdk',
    '[] /vmfs/volumes/ds 1/n_base/img/img.vmdk',
    '[] /usr/lib/vmware/../../../vmfs/volumes/ds 1/n_base/img.vmdk',
    '[ds 1] ../n_base/img.vmdk',
    '[ds 1] ./n_base/img.vmdk',
    '[ds 1] n_base//img.vmdk',
    '[ds 1] n_base\\img.vmdk',
    '[ds 1] /n_base/img.vmdk',
    '[ds 1]  n_base/img.vmdk',
    '[ds 1] n_base /img.vmdk',
    '[ ds 1] n_base/img.vmdk',
    '[[ds 1] n_base/img.vmdk',
    '[ds 1 n_base/img.vmdk',
    'n_base/img/img.vmdk',
  ])('is refused where it is written as %s', (path) => {
    for (const family of [...Object.values(FAMILIES), ...Object.values(SHARING)])
      expect(family(path)).toBe('bad-request')
  })

  it('goes under the default lock where a manager takes URLs and paths of other forms', () => {
    const url = 'https://vc.example/folder/n_base/img/img.vmdk?dsName=ds'
    expect(locksOf(policy, { method: 'RegisterDisk', args: at('path', url) })).toEqual(['vmware'])
    expect(locksOf(policy, { method: 'HostRegisterDisk', args: at('path', '[ds] a/b.vmdk') })).toEqual([
      'vmware/datastore/ds/a',
    ])
    expect(
      locksOf(policy, { method: 'DeleteDirectory', args: at('datastorePath', '/vmfs/volumes/52/n') }),
    ).toEqual(['vmware'])
  })

  it.each(['', '[ds 1]', '[] /usr/lib/vmware/isoimages/linux.iso', '/vmimages/tools-isoimages/linux.iso'])(
    'is none where the settings of a machine say %j',
    (path) => {
      for (const place of ['spec/deviceChange/device/backing/fileName', 'spec/files/vmPathName'])
        expect(locksOf(policy, { method: 'ReconfigVM_Task', target: VM, args: at(place, path) })).toEqual([
          VM_LOCK,
        ])
    },
  )

  it('is needed for each of many devices, exclusive where one of their files may be deleted', () => {
    const device = (path: string, operation = '') =>
      `<deviceChange><operation>add</operation>${operation === '' ? '' : `<fileOperation>${operation}</fileOperation>`}<device><backing><fileName>${path}</fileName></backing></device></deviceChange>`
    const reconfigure = (devices: string) =>
      locksOf(policy, { method: 'ReconfigVM_Task', target: VM, args: `<spec>${devices}</spec>` })
    expect(reconfigure(device('[ds] a/a.vmdk') + device('[ds] b/b.vmdk', 'create') + device('[ds]'))).toEqual(
      [VM_LOCK, '~vmware/datastore/ds/a', '~vmware/datastore/ds/b'],
    )
    for (const operation of ['destroy', 'replace', 'somethingNew'])
      expect(reconfigure(device('[ds] a/a.vmdk', 'create') + device('[ds] b/b.vmdk', operation))).toEqual([
        VM_LOCK,
        'vmware/datastore/ds/a',
        'vmware/datastore/ds/b',
      ])
    // Two `spec`: whichever of them the backend takes, its files are locked.
    const twice = `<spec>${device('[ds] a/a.vmdk')}</spec><spec>${device('[ds] b/b.vmdk')}</spec>`
    expect(locksOf(policy, { method: 'ReconfigVM_Task', target: VM, args: twice })).toEqual([
      VM_LOCK,
      '~vmware/datastore/ds/a',
      '~vmware/datastore/ds/b',
    ])
  })

  it('never reaches two locks, however it is spelled, nor one lock with another path', () => {
    const part = fc.stringMatching(/^[A-Za-z0-9._&%+-]{1,8}$/).filter((text) => !/^\.{1,2}$/.test(text))
    const spelling = fc.constantFrom(
      (ds: string, path: string) => `[${ds}] ${path}`,
      (ds: string, path: string) => `[${ds}]${path}`,
      (ds: string, path: string) => `[${ds}] ${path}/`,
    )
    const names = fc.constantFrom(...Object.keys(FAMILIES))
    fc.assert(
      fc.property(
        part,
        fc.array(part, { minLength: 1, maxLength: 4 }),
        part,
        spelling,
        spelling,
        names,
        (ds, path, other, one, two, name) => {
          const first = FAMILIES[name]?.(one(ds, path.join('/')))
          expect(FAMILIES[name]?.(two(ds, path.join('/')))).toEqual(first)
          expect(Array.isArray(first)).toBe(true)
          const segments = path.map(encodeURIComponent).join('/')
          const target = `/folder/${segments}?dcPath=x&dsName=${encodeURIComponent(ds)}`
          // A `%` before two digits is forwarded only where it cannot be decoded twice: refused, or the same.
          expect([first, 'bad-request']).toContainEqual(upload(target))
          if (other !== path[0])
            expect(FAMILIES[name]?.(one(ds, [other, ...path.slice(1)].join('/')))).not.toEqual(first)
        },
      ),
    )
  })
})
