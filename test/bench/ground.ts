// What every peer of a scenario stands on: the locks and their tokens, the backend, a folder, and keys for TLS.

import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Api, type BenchLock, lockName, plainTarget } from './calls.ts'
import { run, type StartedProcess, startAnnounced } from './processes.ts'
import type { UpstreamOptions } from './upstream/server.ts'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Built programs, installed peers and results; kept between runs. */
export const CACHE = path.join(ROOT, '.cache', 'bench')

export const LOCK_COUNT = 1_000
/** The one target of the streaming scenario that changes something. */
export const STREAM_UP = '/stream/up'
/** With `/<bytes>` behind it. */
export const STREAM_DOWN = '/stream/down'

export interface TlsMaterial {
  readonly certFile: string
  readonly keyFile: string
  /** Certificate and key in one file, as HAProxy wants them. */
  readonly bundleFile: string
}

export interface Ground {
  /** Of this scenario alone; removed when the harness ends. */
  readonly folder: string
  readonly api: Api
  readonly upstream: { readonly port: number; readonly pid: number }
  readonly locks: readonly BenchLock[]
  /** The lock of `STREAM_UP`. */
  readonly streamLock: BenchLock
  /** One line `<target> <token>` for each call that changes something: the whole knowledge of the peers. */
  readonly mapFile: string
  /** TLS on both sides where it is there. */
  readonly tls: TlsMaterial | null
}

export async function layGround(options: {
  readonly api: Api
  readonly delayMs: number | 'asked'
  readonly secure: boolean
}): Promise<{
  readonly ground: Ground
  readonly upstream: StartedProcess
}> {
  const folder = mkdtempSync(path.join(tmpdir(), 'fencegate-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const tls = options.secure ? await makeTls(folder) : null
  const { started, port } = await startUpstream({ delayMs: options.delayMs, tls })
  const { api } = options
  const locks = Array.from({ length: LOCK_COUNT }, (_, i): BenchLock => {
    const id = api === 'cinder' ? randomUUID() : `vm-${i + 1}`
    return { id, name: lockName(api, id), token: String(100_001 + i) }
  })
  const streamLock = { id: '', name: 'http/stream', token: '100000' }
  const mapFile = path.join(folder, 'tokens.map')
  const lines = locks.map((lock) => `${plainTarget(api, lock.id)} ${lock.token}`)
  writeFileSync(mapFile, `${[...lines, `${STREAM_UP} ${streamLock.token}`].join('\n')}\n`)
  return {
    ground: { folder, api, upstream: { port, pid: started.pid }, locks, streamLock, mapFile, tls },
    upstream: started,
  }
}

export async function startUpstream(options: UpstreamOptions): ReturnType<typeof startAnnounced> {
  return await startAnnounced({
    name: 'the backend',
    command: process.execPath,
    args: [fileURLToPath(new URL('./upstream/server.ts', import.meta.url)), JSON.stringify(options)],
  })
}

/** Compiles one file of Go with Debian's compiler and nothing but its standard library. */
export async function buildGo(name: string, source: URL): Promise<string> {
  mkdirSync(CACHE, { recursive: true })
  const program = path.join(CACHE, name)
  await run({
    name: `go build ${name}`,
    command: 'go',
    args: ['build', '-o', program, fileURLToPath(source)],
    env: { GO111MODULE: 'off', GOCACHE: path.join(CACHE, 'go-build'), CGO_ENABLED: '0' },
    timeoutMs: 300_000,
  })
  return program
}

/** Where `PATH` has this program, or null. */
export async function find(program: string): Promise<string | null> {
  try {
    const out = await run({
      name: 'sh',
      command: 'sh',
      args: ['-c', `PATH="$PATH:/usr/sbin:/sbin" command -v ${program}`],
      timeoutMs: 5_000,
    })
    return out.trim()
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('sh ended with')) return null
    throw error
  }
}

async function makeTls(folder: string): Promise<TlsMaterial> {
  const certFile = path.join(folder, 'cert.pem')
  const keyFile = path.join(folder, 'key.pem')
  const bundleFile = path.join(folder, 'bundle.pem')
  await run({
    name: 'openssl',
    command: 'sh',
    args: [
      '-c',
      'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost ' +
        '-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$1" -out "$2" && cat "$2" "$1" > "$3"',
      'sh',
      keyFile,
      certFile,
      bundleFile,
    ],
    timeoutMs: 20_000,
  })
  return { certFile, keyFile, bundleFile }
}
