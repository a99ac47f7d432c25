// The holder of a benchmark: one session at the control API that takes every lock, and is renewed until it lets go.

import type { BenchLock } from '../../calls.ts'

const SESSION_TTL_SECONDS = 120
const RENEW_MS = 20_000
const ACQUISITIONS_AT_ONCE = 16

export interface Holder {
  readonly locks: readonly BenchLock[]
  letGo(): void
}

/** Opens one session, acquires every lock in it, and keeps it alive until `letGo`. */
export async function holdAll(controlPort: number, wanted: readonly BenchLock[]): Promise<Holder> {
  const session = await openSession(controlPort, SESSION_TTL_SECONDS)
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

/** Kills the process of a holder whose time is over. */
export const FLOOD_PLAN = 'kill'

/** `terms`: what else is said of it. */
export async function openSession(
  controlPort: number,
  ttlSeconds: number,
  terms: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const session = { ttl: ttlSeconds, holder: { id: 'bench' }, ...terms }
  const opened = await ask(controlPort, '/v1/sessions', session)
  return textOf(opened, 'session')
}

export async function ask(port: number, target: string, body: object): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${port}${target}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`POST ${target}: ${response.status} ${text}`)
  return text === '' ? null : JSON.parse(text)
}

export async function free(port: number, target: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}${target}`, { method: 'DELETE' })
  if (!response.ok) throw new Error(`DELETE ${target}: ${response.status} ${await response.text()}`)
  await response.arrayBuffer()
}

export function textOf(answer: unknown, name: string): string {
  const value = Object.entries(answer ?? {}).find(([key]) => key === name)?.[1]
  if (typeof value !== 'string') throw new Error(`an answer without ${name}: ${JSON.stringify(answer)}`)
  return value
}
