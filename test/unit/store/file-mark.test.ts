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

  it('of one worker begins where any of its family has been, and is written beside them', async () => {
    const at = (revision: number, id: string) => ({ revision, lineage: 'l', witness: { id, beat: 3 } })
    const [one, two] = [`${path}-worker-1`, `${path}-worker-2`]
    await openFileMark(path).save(at(7, 'w0'))
    await openFileMark(one, 'mark').save(at(9, 'w1'))
    const mark = openFileMark(two, 'mark')
    // Another's witness is not its own.
    expect(mark.memory).toEqual({ revision: 9, lineage: 'l', witness: null })
    await mark.save(at(12, 'w2'))
    expect(openFileMark(two, 'mark').memory).toEqual(at(12, 'w2'))
    // Back to one process: it knows what the workers have seen, and has its own witness still.
    expect(openFileMark(path, 'mark').memory).toEqual({ ...at(12, 'w0') })
  })

  it('of a worker keeps no witness of a store that others know to be another by now', async () => {
    await openFileMark(path).save({ revision: 7, lineage: 'old', witness: { id: 'w0', beat: 3 } })
    await openFileMark(`${path}-worker-1`).save({
      revision: 9,
      lineage: 'new',
      witness: { id: 'w1', beat: 1 },
    })
    expect(openFileMark(path, 'mark').memory).toEqual({ revision: 9, lineage: 'new', witness: null })
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
