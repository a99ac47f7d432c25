// The inventory file: judged with the configuration, and read again where it has changed.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openInventory } from '../../../gateway/config/index.ts'
import { readInventory } from '../../../gateway/config/inventory.ts'
import { faultsOf, MINIMAL } from './read.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fencegate-inventory-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('an inventory', () => {
  test('is asked by host, and read again once it has changed', async () => {
    const path = join(folder, 'bmc.yaml')
    const faults: string[] = []
    await writeFile(path, 'hosts: { nova-1: { address: 10.0.0.11 } }\n')
    const inventory = openInventory(path, (message) => faults.push(message))
    expect(inventory('nova-1')).toEqual({ address: '10.0.0.11' })
    expect(inventory('nova-22')).toBeNull()
    expect(inventory('toString')).toBeNull()
    await writeFile(path, 'hosts: { nova-22: { address: 10.0.0.22 } }\n')
    expect(inventory('nova-22')).toEqual({ address: '10.0.0.22' })
    expect(inventory('nova-1')).toBeNull()
    expect(faults).toEqual([])
  })

  test('that breaks is told once, and what it said before stands until it is mended', async () => {
    const path = join(folder, 'bmc.yaml')
    const faults: string[] = []
    await writeFile(path, 'hosts: { nova-1: { address: 10.0.0.11 } }\n')
    const inventory = openInventory(path, (message) => faults.push(message))
    inventory('nova-1')
    await writeFile(path, 'hosts: { nova-1: [ }\n')
    for (let times = 0; times < 3; times++) expect(inventory('nova-1')).toEqual({ address: '10.0.0.11' })
    expect(faults).toEqual([expect.stringContaining('what it said before stands')])
    await rm(path)
    for (let times = 0; times < 3; times++) expect(inventory('nova-1')).toEqual({ address: '10.0.0.11' })
    expect(faults).toEqual([expect.anything(), expect.stringContaining('ENOENT')])
    await writeFile(path, 'hosts: { nova-1: { address: 10.0.0.12 } }\n')
    expect(inventory('nova-1')).toEqual({ address: '10.0.0.12' })
  })

  test.each([
    ['hosts: { a: { b: [1] } }\n', 'hosts.a.b: '],
    ['nodes: {}\n', 'hosts: '],
    ['', ': '],
  ])('%j is none', (text, fault) => {
    expect(readInventory(text)).toEqual({ hosts: null, fault: expect.stringContaining(fault) })
  })
})

test('a configuration whose inventory cannot be read, and a template that asks none, are faults', () => {
  expect(faultsOf(`${MINIMAL}inventory: ./bmc.yaml\n`)).toContain(
    '/etc/fencegate/bmc.yaml cannot be read (ENOENT) — expected a YAML file such as',
  )
  const plan = 'store: { embedded: { path: d } }\nfencers: { k: { driver: process } }\ndefaultPlan: p\n'
  expect(
    faultsOf(
      `${plan}plans: { p: { levels: [[k]], fenceInfo: { plug: "{{host.plug}}", a: "{{hots.b}}" } } }\n`,
    ),
  ).toMatch(
    /plans\.p\.fenceInfo\.plug: it asks the inventory, and there is none.*\n.*plans\.p\.fenceInfo\.a: "{{hots\.b}}" is no such template/s,
  )
})
