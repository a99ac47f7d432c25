// Drivers are found by looking: in fencers/, and where the configuration points.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { loadFencerRegistry } from '../../../gateway/fencing/registry.ts'

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'fencers-'))
  folders.push(folder)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

const SCHEMA = `const schema = { safeParse: (value) => ({ success: true, data: value }), parse: (value) => value }`
const DRIVER = `${SCHEMA}
export default { id: 'mine', summary: 's', options: schema, fenceInfo: schema, proves: () => [], target: () => 't',
  create: () => ({ fence: async () => {}, verify: async () => ({ state: 'unknown', reason: 'r' }), monitor: async () => {} }) }`

describe('the registry', () => {
  test('holds exactly the files of fencers/', async () => {
    const files = readdirSync(new URL('../../../fencers', import.meta.url)).filter((name) =>
      name.endsWith('.ts'),
    )
    expect(files.length).toBeGreaterThan(2)
    const registry = await loadFencerRegistry()
    expect(registry.ids).toEqual(files.map((name) => name.slice(0, -3)).sort())
    for (const id of registry.ids) expect(registry.driver(id)?.id).toBe(id)
  })

  test('takes a driver from a path that the configuration names', async () => {
    const from = folderWith({ 'my-fencer.mjs': DRIVER })
    const registry = await loadFencerRegistry({ named: ['./my-fencer.mjs', 'process'], from })
    expect(registry.driver('./my-fencer.mjs')?.summary).toBe('s')
    expect(registry.optionFaults('./my-fencer.mjs', {})).toEqual([])
  })

  test('names each option that a driver has not, and those that it has', async () => {
    const registry = await loadFencerRegistry()
    expect(registry.optionFaults('process', { grace: 3, graceMs: 1, sig: 9 })).toEqual([
      { path: ['grace'], message: 'there is no such option', expected: 'one of graceMs, kill' },
      { path: ['sig'], message: 'there is no such option', expected: 'one of graceMs, kill' },
    ])
  })

  test('takes a driver from a package', async () => {
    const from = folderWith({})
    const { mkdirSync } = await import('node:fs')
    mkdirSync(join(from, 'node_modules/fencegate-fencer-x'), { recursive: true })
    const packed = join(from, 'node_modules/fencegate-fencer-x')
    writeFileSync(
      join(packed, 'package.json'),
      '{"name":"fencegate-fencer-x","type":"module","main":"index.js"}',
    )
    writeFileSync(join(packed, 'index.js'), DRIVER)
    const registry = await loadFencerRegistry({ named: ['fencegate-fencer-x'], from })
    expect(registry.driver('fencegate-fencer-x')).not.toBeNull()
  })

  test('refuses a file that is no driver, and says which', async () => {
    const from = folderWith({ 'other.mjs': 'export default { id: "other" }' })
    await expect(loadFencerRegistry({ named: ['./other.mjs'], from })).rejects.toThrow(
      /other\.mjs has no fencing driver/,
    )
  })

  test('refuses a file whose driver has another name', async () => {
    const folder = folderWith({ 'yours.js': DRIVER, 'package.json': '{"type":"module"}' })
    await expect(loadFencerRegistry({ folder })).rejects.toThrow('yours.js calls itself mine')
  })

  test('leaves an unknown name unknown, and says so of its options', async () => {
    const registry = await loadFencerRegistry({ named: ['no-such-driver'] })
    expect(registry.driver('no-such-driver')).toBeNull()
    expect(registry.optionFaults('no-such-driver', {})).toMatchObject([
      { message: 'there is no driver no-such-driver' },
    ])
  })
})
