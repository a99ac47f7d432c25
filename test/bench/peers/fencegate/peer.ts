// fencegate itself, as it ships: its own process, the embedded store, one session that takes every lock through the
// control API. The call is classified by its JSON body, which no other peer looks at.

import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { BenchLock } from '../../calls.ts'
import { type Ground, ROOT } from '../../ground.ts'
import { freePort, startServer } from '../../processes.ts'
import type { Peer } from '../peer.ts'

const SESSION_TTL_SECONDS = 120
const RENEW_MS = 20_000
const ACQUISITIONS_AT_ONCE = 16

export const fencegatePeer: Peer = {
  id: 'fencegate',
  title: 'fencegate',
  checks: true,
  prepare: async () => null,
  start: async (ground) => {
    const ports = { checked: await freePort(), stream: await freePort(), control: await freePort() }
    const folder = path.join(ground.folder, 'fencegate')
    mkdirSync(folder)
    const file = path.join(folder, 'fencegate.yaml')
    writeFileSync(file, configuration(ground, ports, folder))
    const started = await startServer({
      name: 'fencegate',
      command: process.execPath,
      args: [path.join(ROOT, 'gateway', 'main.ts'), 'serve', '-c', file],
      port: ports.checked,
    })
    try {
      const holder = await holdAll(ports.control, [...ground.locks, ground.streamLock])
      const [streamLock, ...locks] = holder.locks.toReversed()
      if (streamLock === undefined) throw new Error('no lock was acquired')
      return {
        port: ports.checked,
        streamPort: ports.stream,
        readsBodies: true,
        roots: [started.pid],
        locks: locks.toReversed(),
        streamLock,
        stop: async () => {
          holder.letGo()
          await started.stop()
        },
      }
    } catch (error) {
      const last = started.output()
      await started.stop()
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${last}`, { cause: error })
    }
  },
}

interface Ports {
  readonly checked: number
  readonly stream: number
  readonly control: number
}

// A backend of its own for the streaming scenario, because neither API has a call with a large body.
function configuration({ api, upstream, tls }: Ground, ports: Ports, folder: string): string {
  const upstreamUrl = `${tls === null ? 'http' : 'https'}://127.0.0.1:${upstream.port}`
  const both = [
    `upstream: "${upstreamUrl}"`,
    'quiet: 60',
    ...(tls === null
      ? []
      : [`tls: { cert: "${tls.certFile}", key: "${tls.keyFile}" }`, 'upstreamTls: { verify: false }']),
  ].join(', ')
  return `store: { embedded: { path: "${folder}/store" } }
state: "${folder}/state"
control: { listen: "127.0.0.1:${ports.control}" }
log: { level: warn }
backends:
  checked: { listen: "127.0.0.1:${ports.checked}", policy: ${api}, ${both} }
  stream: { listen: "127.0.0.1:${ports.stream}", policy: http-any, ${both} }
`
}

/** Opens one session, acquires every lock in it, and keeps it alive until \x. */
async function holdAll(
  controlPort: number,
  wanted: readonly BenchLock[],
): Promise<{ readonly locks: readonly BenchLock[]; letGo(): void }> {
  const opened = await ask(controlPort, '/v1/sessions', {
    ttl: SESSION_TTL_SECONDS,
    holder: { id: 'bench' },
  })
  const session = textOf(opened, 'session')
  const renewal = setInterval(() => {
    ask(controlPort, `/v1/sessions/${session}/keepalive`, {}).catch((error: unknown) => {
      process.stderr.write(`fencegate's session was not renewed: ${String(error)}\n`)
    })
  }, RENEW_MS)
  const letGo = (): void => clearInterval(renewal)
  const locks: BenchLock[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < wanted.length; i = next++) {
      const lock = wanted[i]
      if (lock === undefined) return
      const grant = await ask(controlPort, `/v1/locks/${encodeURIComponent(lock.name)}`, { session })
      locks[i] = { ...lock, token: textOf(grant, 'token') }
    }
  }
  try {
    await Promise.all(Array.from({ length: ACQUISITIONS_AT_ONCE }, worker))
    return { locks, letGo }
  } catch (error) {
    letGo()
    throw error
  }
}

async function ask(port: number, target: string, body: object): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${port}${target}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`POST ${target}: ${response.status} ${text}`)
  return JSON.parse(text)
}

function textOf(answer: unknown, name: string): string {
  const value = Object.entries(answer ?? {}).find(([key]) => key === name)?.[1]
  if (typeof value !== 'string') throw new Error(`an answer without ${name}: ${JSON.stringify(answer)}`)
  return value
}
