// The high-water mark on this gateway's own disk: the store cannot tell that it was restored from an older backup, as a
// mark kept in it is restored with it.

import { mkdirSync, readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { HighWaterMark } from '../spi/high-water-mark.ts'

/** Reads the mark at `path`, 0 where there is none. Throws where the file holds anything else, or cannot be read. */
export function openFileMark(path: string): HighWaterMark {
  mkdirSync(dirname(path), { recursive: true })
  let revision = readMark(path)
  let writing: Promise<void> | null = null
  return {
    get revision() {
      return revision
    },
    async raise(to) {
      if (to <= revision) return
      // One write at a time; who comes meanwhile has a larger revision, and comes again.
      if (writing !== null) return await writing
      writing = writeMark(path, to).then(() => {
        revision = to
      })
      try {
        await writing
      } finally {
        writing = null
      }
    },
  }
}

function readMark(path: string): number {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0
    throw error
  }
  const revision = Number(text.trim())
  if (!/^\d+\n?$/.test(text) || !Number.isSafeInteger(revision))
    throw new Error(
      `${path} holds no revision: restore it, or delete it if you know that the store never went back`,
    )
  return revision
}

/** Whole or not at all, and on the disk before it counts. */
async function writeMark(path: string, revision: number): Promise<void> {
  const unfinished = `${path}.new`
  const file = await open(unfinished, 'w', 0o600)
  try {
    await file.writeFile(`${revision}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(unfinished, path)
}
