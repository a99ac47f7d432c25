// The embedded store when its process is killed, meets another one, or gets no more room on the disk.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'

const WRITER = fileURLToPath(new URL('writer.ts', import.meta.url))

class Writer {
  readonly lines: string[] = []
  readonly ended: Promise<unknown>
  readonly #child: ChildProcess
  #errors = ''

  constructor(
    path: string,
    options: { readonly valueBytes?: number; readonly fileKilobytesMax?: number } = {},
  ) {
    const { valueBytes = 10, fileKilobytesMax } = options
    const limit = fileKilobytesMax === undefined ? '' : `ulimit -f ${fileKilobytesMax}; `
    const script = `${limit}exec "$0" "$@"`
    this.#child = spawn('bash', ['-c', script, process.execPath, WRITER, path, String(valueBytes)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child.stderr?.on('data', (text) => {
      this.#errors += String(text)
    })
    this.ended = once(this.#child, 'close')
    const { stdout } = this.#child
    if (stdout === null) throw new Error('the writer has no output')
    createInterface({ input: stdout }).on('line', (line) => this.lines.push(line))
  }

  get errors(): string {
    return this.#errors
  }

  async until(lines: number): Promise<void> {
    while (this.lines.length < lines && this.#child.exitCode === null)
      await new Promise((go) => setTimeout(go, 5))
    if (this.lines.length < lines) throw new Error(`the writer ended early: ${this.#errors}`)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  acknowledged(): readonly { readonly key: string; readonly revision: number }[] {
    return this.lines
      .map((line) => /^acknowledged (\S+) (\d+)$/.exec(line))
      .flatMap((match) => (match === null ? [] : [{ key: match[1] ?? '', revision: Number(match[2]) }]))
  }

  numbers(word: string): readonly number[] {
    return this.lines.filter((line) => line.startsWith(`${word} `)).map((line) => Number(line.split(' ')[1]))
  }
}

let path = ''
const writers: Writer[] = []
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fencegate-embedded-'))
})
afterEach(async () => {
  for (const writer of writers.splice(0)) await writer.kill()
  rmSync(path, { recursive: true, force: true })
})

function startWriter(options?: ConstructorParameters<typeof Writer>[1]): Writer {
  const writer = new Writer(path, options)
  writers.push(writer)
  return writer
}

test('everything that was acknowledged before a kill is there, and no revision comes twice', async () => {
  let highest = 0
  for (const lines of [50, 400, 1_500]) {
    const writer = startWriter()
    await writer.until(lines)
    await writer.kill()
    const store = openEmbeddedStore({ path, clock: systemClock })
    const { revision, items } = await store.read('/')
    const found = new Map(items.map((item) => [item.key, item]))
    const acknowledged = writer.acknowledged()
    expect(acknowledged.length).toBeGreaterThan(lines / 4)
    for (const { key, revision: written } of acknowledged) {
      expect(found.get(key)?.modRevision).toBe(written)
      expect(written).toBeGreaterThan(highest)
    }
    const told = Math.max(...writer.numbers('event'), ...acknowledged.map((item) => item.revision))
    expect(revision).toBeGreaterThanOrEqual(told)
    highest = revision
    expect((await store.transact({ compare: [], writes: [{ put: '/after', value: '' }] })).revision).toBe(
      highest + 1,
    )
    highest += 1
    await store.transact({ compare: [], writes: items.slice(0, 128).map(({ key }) => ({ delete: key })) })
    highest += 1
    await store.close()
  }
}, 60_000)

test('a second process that opens the same store is refused, and told why and where', async () => {
  const writer = startWriter()
  await writer.until(10)
  expect(() => openEmbeddedStore({ path, clock: systemClock })).toThrow(
    `cannot open the store ${join(path, 'fencegate.db')}: another gateway has it open`,
  )
  await writer.kill()
  const store = openEmbeddedStore({ path, clock: systemClock })
  const second = startWriter()
  await second.ended
  expect(second.errors).toContain('another gateway has it open')
  await store.close()
}, 30_000)

test('a disk that takes no more makes the store unavailable, and nobody hears of what it did not take', async () => {
  const writer = startWriter({ valueBytes: 20_000, fileKilobytesMax: 4_000 })
  await writer.ended
  expect(writer.errors).toBe('')
  const refusals = writer.lines.filter((line) => line.startsWith('unavailable'))
  expect(refusals).toHaveLength(4)
  for (const refusal of refusals) expect(refusal).toContain(join(path, 'fencegate.db'))
  const acknowledged = writer.acknowledged().map(({ revision }) => revision)
  expect(acknowledged.length).toBeGreaterThan(10)
  const sorted = acknowledged.toSorted((a, b) => a - b)
  expect(writer.numbers('event')).toEqual(sorted)
  // It still answers, from what it has, and the revision has not moved.
  expect(writer.numbers('revision')).toEqual([sorted.at(-1)])

  const store = openEmbeddedStore({ path, clock: systemClock })
  const { items } = await store.read('/')
  const found = new Set(items.map(({ modRevision }) => Number(modRevision)))
  for (const { key, revision } of writer.acknowledged()) {
    expect(items.find((item) => item.key === key)?.modRevision).toBe(revision)
    expect(found.has(revision)).toBe(true)
  }
  await store.close()
}, 60_000)
