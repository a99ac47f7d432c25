import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openFileMark } from '../../../gateway/store/file-mark.ts'

describe('a high-water mark on disk', () => {
  let folder: string
  let path: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fencegate-mark-'))
    path = join(folder, 'state', 'mark')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('begins at 0, and is what was raised once it is opened again', async () => {
    const mark = openFileMark(path)
    expect(mark.revision).toBe(0)
    await mark.raise(4711)
    expect([mark.revision, openFileMark(path).revision]).toEqual([4711, 4711])
  })

  it('is never lowered', async () => {
    const mark = openFileMark(path)
    await mark.raise(9)
    await mark.raise(5)
    expect(readFileSync(path, 'utf8')).toBe('9\n')
  })

  it('counts only what is on the disk', async () => {
    const mark = openFileMark(path)
    await mark.raise(9)
    rmSync(join(folder, 'state'), { recursive: true })
    await expect(mark.raise(10)).rejects.toThrow('ENOENT')
    expect(mark.revision).toBe(9)
  })

  it.each(['', 'x', '1.5', '-3', '9007199254740993', '12 '])(
    'is not guessed from a file that holds %j',
    async (text) => {
      await openFileMark(path).raise(1)
      writeFileSync(path, text)
      expect(() => openFileMark(path)).toThrow(/holds no revision/)
    },
  )
})
