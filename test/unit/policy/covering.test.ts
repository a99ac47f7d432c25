// Locks on folders: whoever touches a folder as a whole and whoever works below it have a lock in common that cannot be both.

import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readFolderPattern } from '../../../gateway/policy/covering.ts'
import { compilePolicy, loadPolicies } from '../../../gateway/policy/index.ts'
import { callHead, type Policy, type RequiredLock } from '../../../gateway/spi/policy.ts'
import fc from '../../support/fast-check.ts'

const { packs } = loadPolicies(join(import.meta.dirname, '../../../policies'))

function vsphere(covering: readonly string[]): Policy {
  const pack = packs.get('vsphere')
  if (pack === undefined) throw new Error('there is no pack vsphere')
  const compiled = compilePolicy({ pack, overrides: { extends: 'vsphere', covering: [...covering] } })
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.faults))
  return compiled.value
}

function locksOf(policy: Policy, method: string, args: string): readonly RequiredLock[] {
  const body = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><${method} xmlns="urn:vim25"><_this type="FileManager">FileManager</_this>${args}</${method}></e:Body></e:Envelope>`
  const head = callHead('POST', '/sdk', { 'content-type': 'text/xml' })
  const classified = policy.classify(head, Buffer.from(body))
  if (classified.kind === 'refused') throw new Error(classified.refusal.detail)
  return classified.locks
}

const deleting = (policy: Policy, path: string) =>
  locksOf(policy, 'DeleteDatastoreFile_Task', `<name>[ds] ${path}</name>`)
const copying = (policy: Policy, path: string) =>
  locksOf(
    policy,
    'CopyDatastoreFile_Task',
    `<sourceName>[ds] ${path}</sourceName><destinationName>[other] x/y</destinationName>`,
  )

const exclude = (one: readonly RequiredLock[], other: readonly RequiredLock[]): boolean =>
  one.some(({ name, mode }) =>
    other.some((lock) => lock.name === name && (mode === 'exclusive' || lock.mode === 'exclusive')),
  )
const written = (locks: readonly RequiredLock[]) =>
  locks.map(({ name, mode }) => `${name.replace('vmware/datastore/', '')} ${mode}`)

describe('a lock on a folder', () => {
  it('is the top folder of a datastore, where nothing else is declared', () => {
    const policy = vsphere([])
    expect(written(deleting(policy, 'vmware_base/image/image.vmdk'))).toEqual(['ds/vmware_base exclusive'])
  })

  it('is the declared folder, with those above it shared', () => {
    const policy = vsphere(['*_base/*'])
    expect(written(deleting(policy, 'vmware_base/image/image.vmdk'))).toEqual([
      'ds/vmware_base shared',
      'ds/vmware_base/image exclusive',
    ])
    expect(written(deleting(policy, 'vmware_base'))).toEqual(['ds/vmware_base exclusive'])
    expect(written(deleting(policy, 'vm-7/vm-7.vmdk'))).toEqual(['ds/vm-7 exclusive'])
    expect(written(copying(policy, 'vmware_base/image/image.vmdk'))).toEqual([
      'ds/vmware_base shared',
      'ds/vmware_base/image shared',
      'other/x exclusive',
    ])
    const put = policy.classify(callHead('PUT', '/folder/vmware_base/i/f?dcPath=dc&dsName=ds'), null)
    expect(put.kind === 'call' ? written(put.locks) : put).toEqual([
      'ds/vmware_base shared',
      'ds/vmware_base/i exclusive',
    ])
  })

  it('excludes everybody who touches what is below it, or above, at whatever depth locks are declared', () => {
    const part = fc.constantFrom('a', 'b', 'a_base', 'b_base', 'c%2fd')
    const pattern = fc
      .array(fc.constantFrom('*', 'a', '*_base', 'a*', '*a*'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join('/'))
    const path = fc.array(part, { minLength: 1, maxLength: 5 })
    let shared = 0
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 4 }), path, path, (covering, above, rest) => {
        const policy = vsphere(covering)
        const below = [...above, ...rest]
        const whole = deleting(policy, above.join('/'))
        for (const inner of [above, below]) {
          expect(exclude(whole, deleting(policy, inner.join('/')))).toBe(true)
          // A copier of something in it holds it off as well.
          expect(exclude(whole, copying(policy, inner.join('/')))).toBe(true)
        }
        // Two copiers never keep one another out of what they read.
        const readers = copying(policy, above.join('/')).filter(({ name }) => !name.includes('/other/'))
        expect(readers.every(({ mode }) => mode === 'shared')).toBe(true)
        shared += readers.length > 1 ? 1 : 0
      }),
      { numRuns: 150 },
    )
    expect(shared).toBeGreaterThan(5)
  })

  it.each(['', '/a', 'a//b', '../a', 'a/**', 'a/b/c/d/e/f/g/h/i', 'a*b*c*d'])(
    'cannot be declared as %j',
    (pattern) => {
      expect(readFolderPattern(pattern)).toEqual(expect.any(String))
    },
  )
})
