// What this gateway remembers of its store, on its own disk: the store cannot tell that it was restored from an older
// backup, as a mark kept in it is restored with it.

import { mkdirSync, readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { z } from 'zod'
import type { StoreMark, StoreMemory } from '../spi/high-water-mark.ts'

const memorySchema = z.strictObject({
  version: z.literal(2),
  revision: z.int().min(0),
  lineage: z.string().nullable(),
  witness: z.strictObject({ id: z.string().min(1), beat: z.int().min(0) }).nullable(),
})

/** Reads the mark at `path`; nothing is remembered where there is none. Throws where the file holds anything else. */
export function openFileMark(path: string): StoreMark {
  mkdirSync(dirname(path), { recursive: true })
  let memory = readMark(path)
  let writing: Promise<void> = Promise.resolve()
  return {
    get memory() {
      return memory
    },
    async save(next) {
      const write = async () => {
        await writeMark(path, next)
        memory = next
      }
      // One write at a time, in order; one that failed says nothing of the next.
      writing = writing.then(write, write)
      await writing
    },
  }
}

function readMark(path: string): StoreMemory | null {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
  const memory = /^\d+\n?$/.test(text) ? ofVersion1(Number(text)) : ofVersion2(text)
  if (memory === null)
    throw new Error(
      `${path} holds no high-water mark: restore it, or delete it if you know that the store never went back`,
    )
  return memory
}

/** A revision alone. */
function ofVersion1(revision: number): StoreMemory | null {
  return Number.isSafeInteger(revision) ? { revision, lineage: null, witness: null } : null
}

function ofVersion2(text: string): StoreMemory | null {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return null
  }
  const parsed = memorySchema.safeParse(json)
  if (!parsed.success) return null
  const { version: _, ...memory } = parsed.data
  return memory
}

/** Whole or not at all, and on the disk before it counts. */
async function writeMark(path: string, memory: StoreMemory): Promise<void> {
  const unfinished = `${path}.new`
  const file = await open(unfinished, 'w', 0o600)
  try {
    await file.writeFile(`${JSON.stringify({ version: 2, ...memory })}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(unfinished, path)
}
