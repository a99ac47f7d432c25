import { describe, expect, it } from 'vitest'
import { FILTERS } from '../../../gateway/policy/filter.ts'

function filtered(name: string, value: string): string | null {
  return FILTERS.get(name)?.apply([value])?.join(' | ') ?? null
}

describe('a filter', () => {
  it.each([
    ['lower', 'AbC', 'abc'],
    ['upper', 'AbC', 'ABC'],
    ['uuid', '5AA1F3D2-0000-4000-8000-000000000001', '5aa1f3d2-0000-4000-8000-000000000001'],
    ['uuid', '5AA1F3D2000040008000000000000001', null],
    ['uuid', '5aa1f3d2-0000-4000-8000-000000000001 ', null],
    ['integer', '0', '0'],
    ['integer', '012', null],
    ['integer', '-1', null],
    ['basename', 'a/b/c', 'c'],
    ['top', 'a/b/c', 'a'],
    ['parts', 'a/b', 'a | b'],
    ['parts', 'a/../b', null],
    ['parts', 'a//b', null],
    ['datastore-name', '[ds 1] a/b', 'ds 1'],
    ['datastore-folder', '[ds] a/b/c.vmdk', 'ds | a'],
    ['datastore-folder', '[ds]a/', 'ds | a'],
    ['datastore-folder', '[ds] a', 'ds | a'],
    ['datastore-folder', '[ds]', 'ds'],
    ['datastore-path', '[ds] a/b', 'ds | a | b'],
    ['datastore-folder', '[ds] a/../b', null],
    ['datastore-folder', '[ds] ./a', null],
    ['datastore-folder', '[ds] /a', null],
    ['datastore-folder', '[ds]  a', null],
    ['datastore-folder', '[ds] a\\b', null],
    ['datastore-folder', '[] a', null],
    ['datastore-folder', '[ds', null],
    ['datastore-folder', 'ds a', null],
    ['datastore-folder', 'ds:///vmfs/volumes/1/a', null],
    ['datastore-folder', 'https://host/folder/a?dsName=ds', null],
  ])('%s makes of %j: %j', (name, value, expected) => {
    expect(filtered(name, value)).toBe(expected)
  })
})
