// Starts a real control listener on a free port, over the plane in memory.

import { onTestFinished } from 'vitest'
import type { ControlOptions } from '../../../gateway/control/index.ts'
import { startControl } from '../../../gateway/control/index.ts'
import type { LockName } from '../../../gateway/core/names.ts'
import type { Clock } from '../../../gateway/spi/clock.ts'
import type { Policy } from '../../../gateway/spi/policy.ts'
import { createEvents, createLog, createMetrics } from '../../../gateway/telemetry/index.ts'
import { FakePlane } from '../../unit/control/fake-plane.ts'

export const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

export interface Answer {
  readonly status: number
  readonly type: string
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: bodies are looked into by each test.
  readonly body: any
}

const policy = {
  name: 'small',
  dialect: 'problem',
  quietMs: 1000,
  bodyBytesMax: 16,
  bodyBytesNeeded: (head) => (head.method === 'POST' ? 16 : 0),
  classify: () => {
    throw new Error('the control API explains')
  },
  explain(head, body) {
    const effect = head.method === 'GET' ? 'read' : head.method === 'DELETE' ? 'deny' : 'mutate'
    const name = `v/${body?.toString() ?? ''}` as LockName
    return {
      classification: {
        kind: 'call',
        effect,
        rule: `rule-${effect}`,
        locks: effect === 'mutate' ? [{ name, mode: 'exclusive' }] : [],
        waitMs: 0,
        job: null,
        target: head.target,
      },
      trace: ['rule-other: the method is another'],
    }
  },
} satisfies Policy

export async function start(overrides: Partial<ControlOptions> & { readonly kept?: number } = {}) {
  const plane = new FakePlane()
  const lines: string[] = []
  const log = createLog({ level: 'info', destination: { write: (line) => void lines.push(line) } })
  const metrics = createMetrics({ processMetrics: false })
  const { kept = 64, ...rest } = overrides
  const events = createEvents({ clock, log, metrics, run: 'run1', kept })
  const control = await startControl({
    listen: { host: '127.0.0.1', port: 0 },
    tls: null,
    credentials: [],
    version: '0.0.0',
    plane,
    clock,
    log,
    ttlMsMin: 100,
    ttlMsMax: 60_000,
    events,
    metrics: () => metrics.expose(),
    check: {
      backend: (name) =>
        name === 'small' ? { policy, enforce: true, quietMs: null, callerOf: () => null } : null,
      callers: { find: () => ({ kind: 'unknown' }) },
      readTokens: (field) =>
        field === 'x'
          ? { kind: 'refused', refusal: { code: 'bad-token', detail: 'not a number' } }
          : {
              kind: 'tokens',
              tokens: field === undefined ? [] : [{ lock: null, token: Number(field), signature: null }],
            },
      gate: {
        preview: ({ locks, tokens }) => ({
          verdict: tokens.length === 0 ? { code: 'missing-token', detail: 'no token came with it' } : null,
          locks: locks.map((lock) => ({
            ...lock,
            token: tokens.length === 0 ? null : String(tokens[0]?.token),
            verdict: tokens.length === 0 ? 'missing-token' : 'admitted',
          })),
        }),
      },
    },
    ...rest,
  })
  onTestFinished(() => control.close())
  const url = `http://127.0.0.1:${control.address.port}`
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> => {
    const answer = await fetch(url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await answer.text()
    const type = answer.headers.get('content-type') ?? ''
    return {
      status: answer.status,
      type,
      headers: answer.headers,
      body: text !== '' && type.includes('json') ? JSON.parse(text) : text,
    }
  }
  const open = async (id = 'h'): Promise<string> =>
    (await call('POST', '/v1/sessions', { ttl: 10, holder: { id } })).body.session
  return { plane, control, events, lines, url, port: control.address.port, call, open }
}

/** Waits until `holds`, at most five seconds. */
export async function until(holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 5000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error('the condition did not come true')
    await new Promise((resolve) => setImmediate(resolve))
  }
}
