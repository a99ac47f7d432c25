import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openFileMark } from '../../../gateway/store/file-mark.ts'

const MEMORY = { revision: 4711, lineage: 'store-1', witness: { id: 'w', beat: 3 } }

describe('a high-water mark on disk', () => {
  let folder: string
  let path: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fencegate-mark-'))
    path = join(folder, 'state', 'mark')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('begins with nothing, and is what was saved once it is opened again', async () => {
    const mark = openFileMark(path)
    expect(mark.memory).toBeNull()
    await mark.save(MEMORY)
    expect([mark.memory, openFileMark(path).memory]).toEqual([MEMORY, MEMORY])
  })

  it('of a gateway that knew no epochs is its revision', () => {
    openFileMark(path)
    writeFileSync(path, '4711\n')
    expect(openFileMark(path).memory).toEqual({ revision: 4711, lineage: null, witness: null })
  })

  it('counts only what is on the disk', async () => {
    const mark = openFileMark(path)
    await mark.save(MEMORY)
    rmSync(join(folder, 'state'), { recursive: true })
    await expect(mark.save({ ...MEMORY, revision: 5000 })).rejects.toThrow('ENOENT')
    expect(mark.memory).toEqual(MEMORY)
  })

  it('is saved in order where it is saved twice at once, also after a failure', async () => {
    const mark = openFileMark(path)
    rmSync(join(folder, 'state'), { recursive: true })
    const failing = mark.save(MEMORY)
    await expect(failing).rejects.toThrow('ENOENT')
    openFileMark(path)
    await Promise.all([5000, 5001].map((revision) => mark.save({ ...MEMORY, revision })))
    expect(openFileMark(path).memory?.revision).toBe(5001)
  })

  it.each(['', 'x', '1.5', '-3', '9007199254740993', '12 ', '{}', '{"version":3,"revision":1}'])(
    'is not guessed from a file that holds %j',
    async (text) => {
      await openFileMark(path).save(MEMORY)
      writeFileSync(path, text)
      expect(() => openFileMark(path)).toThrow(/holds no high-water mark/)
      expect(readFileSync(path, 'utf8')).toBe(text)
    },
  )
})
