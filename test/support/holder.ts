// Holders for tests: a process that does what it is told, and what every holder does with the control API.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

const PROGRAM = fileURLToPath(new URL('./holder-program.ts', import.meta.url))

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Call {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON, unless it is text already. */
  readonly body?: unknown
  readonly everyMs?: number
}

const lineSchema = z.object({
  id: z.number().optional(),
  answer: z
    .object({ status: z.number(), headers: z.record(z.string(), z.string()), body: z.string() })
    .optional(),
  error: z.string().optional(),
})

export interface HolderProcess {
  readonly pid: number
  /** Resolves with the answer, however long that takes; rejects where there is none. */
  send(url: string, call?: Call): Promise<Answer>
  /** SIGSTOP: it holds what it holds, and does nothing. */
  freeze(): void
  wake(): void
  /** Resolves once the process is gone, whoever ended it. */
  readonly gone: Promise<unknown>
  kill(): void
}

export async function startHolder(): Promise<HolderProcess> {
  const child = spawn(process.execPath, [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] })
  const gone = once(child, 'exit')
  const waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>()
  const ready = Promise.withResolvers<void>()
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, answer, error } = lineSchema.parse(JSON.parse(line))
    if (id === undefined) return ready.resolve()
    const order = waiting.get(id)
    waiting.delete(id)
    if (answer !== undefined) order?.resolve(answer)
    else order?.reject(new Error(error))
  })
  void gone.then(() => {
    ready.reject(new Error('the holder ended'))
    for (const order of waiting.values()) order.reject(new Error('the holder is gone'))
  })
  await ready.promise
  let orders = 0
  return {
    pid: child.pid ?? 0,
    gone,
    send(url, call = {}) {
      const id = ++orders
      const { promise, resolve, reject } = Promise.withResolvers<Answer>()
      waiting.set(id, { resolve, reject })
      child.stdin.write(`${JSON.stringify({ id, url, ...orderOf(call), everyMs: call.everyMs ?? null })}\n`)
      return promise
    },
    freeze: () => void child.kill('SIGSTOP'),
    wake: () => void child.kill('SIGCONT'),
    kill: () => void child.kill('SIGKILL'),
  }
}

/** As a holder sends it, from this process. */
export async function send(url: string, call: Call = {}): Promise<Answer> {
  const answer = await fetch(url, orderOf(call))
  return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }
}

/** Sends, and reads the JSON answer; rejects where the status is not one of success. */
export async function ask<Schema extends z.ZodType>(
  schema: Schema,
  url: string,
  call: Call = {},
): Promise<z.output<Schema>> {
  const answer = await send(url, call)
  if (answer.status >= 300) throw new Error(`${url}: ${answer.status} ${answer.body}`)
  return schema.parse(JSON.parse(answer.body))
}

function orderOf(call: Call): { method: string; headers: Record<string, string>; body: string | null } {
  const text = typeof call.body === 'string'
  return {
    method: call.method ?? (call.body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(call.body === undefined || text ? {} : { 'content-type': 'application/json' }),
      ...call.headers,
    },
    body: call.body === undefined ? null : text ? String(call.body) : JSON.stringify(call.body),
  }
}

export const SessionAnswer = z.object({ session: z.string(), ttl: z.number() })
export const GrantAnswer = z.object({ lock: z.string(), token: z.string() })
export const LockAnswer = z.object({
  phase: z.string(),
  owners: z.array(
    z.object({ session: z.string(), token: z.string(), state: z.string(), inFlight: z.number() }),
  ),
  waiters: z.array(z.object({ session: z.string(), token: z.string() })),
  waitingOn: z.array(z.string()),
})
export const FenceAnswer = z.looseObject({ id: z.string(), state: z.string() })

/** The control API in the words of a holder. */
export class ControlClient {
  readonly #base: string

  constructor(base: string) {
    this.#base = base
  }

  get base(): string {
    return this.#base
  }

  async openSession(session: {
    readonly ttl: number
    readonly holder: string
    readonly fenceInfo?: Readonly<Record<string, unknown>>
    readonly plan?: string
  }): Promise<string> {
    const { holder, ...rest } = session
    return (
      await ask(SessionAnswer, `${this.#base}/v1/sessions`, { body: { ...rest, holder: { id: holder } } })
    ).session
  }

  lockUrl(lock: string): string {
    return `${this.#base}/v1/locks/${encodeURIComponent(lock)}`
  }

  /** The token. */
  async take(lock: string, session: string, wait = 0): Promise<string> {
    return (await ask(GrantAnswer, this.lockUrl(lock), { body: { session, wait } })).token
  }

  async release(lock: string, session: string): Promise<void> {
    await send(`${this.lockUrl(lock)}?session=${session}`, { method: 'DELETE' })
  }

  lock(lock: string): Promise<z.output<typeof LockAnswer>> {
    return ask(LockAnswer, this.lockUrl(lock))
  }

  async fence(id: string): Promise<z.output<typeof FenceAnswer> | null> {
    const answer = await send(`${this.#base}/v1/fences/${id}`)
    return answer.status === 404 ? null : FenceAnswer.parse(JSON.parse(answer.body))
  }
}
