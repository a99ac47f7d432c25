// What this gateway remembers of its store, on its own disk: the store cannot tell that it was restored from an older
// backup, as a mark kept in it is restored with it.

import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import type { StoreMark, StoreMemory } from '../spi/high-water-mark.ts'

const memorySchema = z.strictObject({
  version: z.literal(2),
  revision: z.int().min(0),
  lineage: z.string().nullable(),
  witness: z.strictObject({ id: z.string().min(1), beat: z.int().min(0) }).nullable(),
})

const UNFINISHED = '.new'

/**
 * Reads the mark at `path`, and what others beside it remember, whose names begin with `family`; nothing is remembered
 * where there is none. Only `path` is written. Throws where a file holds anything else.
 */
export function openFileMark(path: string, family: string = basename(path)): StoreMark {
  const folder = dirname(path)
  mkdirSync(folder, { recursive: true })
  const beside = readdirSync(folder).filter((name) => name.startsWith(family) && !name.endsWith(UNFINISHED))
  let memory = newestOf(
    readMark(path),
    beside.flatMap((name) => readMark(join(folder, name)) ?? []),
  )
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

/** The witness is each one's own, and stands for nothing in a store of another lineage. */
function newestOf(own: StoreMemory | null, others: readonly StoreMemory[]): StoreMemory | null {
  let newest = own
  for (const other of others) if (newest === null || other.revision > newest.revision) newest = other
  if (newest === null || newest === own) return own
  return { ...newest, witness: own?.lineage === newest.lineage ? own.witness : null }
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
  const unfinished = path + UNFINISHED
  const file = await open(unfinished, 'w', 0o600)
  try {
    await file.writeFile(`${JSON.stringify({ version: 2, ...memory })}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(unfinished, path)
}
