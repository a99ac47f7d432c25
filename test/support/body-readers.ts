// Readers of JSON and XML bodies as backends in Python and in Go have them, each a process.

import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { buildGo, ForeignClient, isAvailable, PYTHON } from './foreign-clients.ts'

const PYTHON_PROGRAM = fileURLToPath(new URL('body-readers.py', import.meta.url))
const GO_SOURCE = fileURLToPath(new URL('go-bodies/', import.meta.url))

export interface BodyTask {
  readonly format: string
  readonly body: string
  /** JSON pointers, or paths below a SOAP method. */
  readonly places: readonly string[]
}

export interface BodyReaders {
  /** For each task what each reader finds, by the reader's name; false where it reads nothing. */
  read(tasks: readonly BodyTask[]): Promise<readonly Readonly<Record<string, unknown>>[]>
  close(): Promise<void>
}

/** False where Go, or Python's lxml, is not installed. Under `CI=true` it throws instead. */
export function bodyReadersAvailable(): boolean {
  return isAvailable(
    spawnSync('go', ['version']).error === undefined &&
      spawnSync(PYTHON, ['-c', 'import lxml.etree']).status === 0,
    'golang-go or python3-lxml is not installed',
  )
}

export async function startBodyReaders(): Promise<BodyReaders> {
  const program = await buildGo('go-bodies', GO_SOURCE)
  const readers = [new ForeignClient(PYTHON, [PYTHON_PROGRAM]), new ForeignClient(program, [])]
  return {
    async read(tasks) {
      const found: Record<string, unknown>[] = tasks.map(() => ({}))
      for (const { body, ...task } of tasks) {
        const line = JSON.stringify({ ...task, body: Buffer.from(body).toString('base64') })
        for (const reader of readers) reader.tell(line)
      }
      for (const reader of readers)
        for (const into of found) Object.assign(into, JSON.parse(await reader.next(60_000)))
      return found
    },
    async close() {
      await Promise.all(readers.map((reader) => reader.kill()))
      rmSync(program, { force: true })
    },
  }
}
