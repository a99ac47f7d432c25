import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { driversNamedIn } from '../../../gateway/config/index.ts'

function fileWith(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'fencegate-drivers-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'fencegate.yaml')
  writeFileSync(file, text)
  return file
}

test('the drivers of all fencers are named, with what is no driver left out', () => {
  const file = fileWith(
    'fencers: { a: { driver: process }, b: { driver: ./mine.mjs }, c: { driver: 5 }, d: 1 }\n',
  )
  expect(driversNamedIn(file)).toEqual(['process', './mine.mjs'])
})

test.each([
  ['no file', null],
  ['an empty file', ''],
  ['what is not YAML', 'a: ['],
  ['an alias to nothing', 'a: *none\n'],
  ['an alias inside of its own anchor', 'fencers: &a { b: *a }\n'],
  [
    'aliases that multiply past the limit',
    `a: &a [${'x,'.repeat(10)}]\nb: &b [${'*a,'.repeat(10)}]\nc: [${'*b,'.repeat(99)}]\n`,
  ],
])('%s names no driver, and is left to the loader to complain about', (_what, text) => {
  expect(driversNamedIn(text === null ? '/nowhere/fencegate.yaml' : fileWith(text))).toEqual([])
})
