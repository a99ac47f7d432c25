// One write at the register backend, as every holder makes it.

import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { LockMode } from '../../../gateway/core/names.ts'
import type { Random } from '../../sim/random.ts'
import { type LogLine, nowMs } from '../log.ts'

export const HolderTerms = z.object({
  name: z.string(),
  seed: z.number(),
  log: z.string(),
  locks: z.array(z.string()),
  /** Addresses without scheme, as this holder reaches them. */
  gateways: z.array(z.object({ name: z.string(), control: z.string(), backend: z.string() })),
  etcd: z.array(z.string()),
  /** Of the store, under which the locks lie. */
  prefix: z.string(),
  credential: z.string(),
  /** Calls and releases are numbered from here on. */
  firstNumber: z.int(),
})
export type HolderTerms = z.output<typeof HolderTerms>

export interface Held {
  readonly lock: string
  readonly token: number
  readonly mode: LockMode
  readonly session: string
}

const calls = new Map<string, number>()

export async function callBackend(options: {
  readonly terms: HolderTerms
  readonly held: Held
  readonly random: Random
  readonly log: (line: LogLine) => void
  readonly waitMs: number
}): Promise<void> {
  const { terms, held, random, log, waitMs } = options
  const gateway = random.pick(terms.gateways)
  if (gateway === null) return
  const call = terms.firstNumber + (calls.get(terms.name) ?? 0)
  calls.set(terms.name, call - terms.firstNumber + 1)
  const { lock, token, mode, session } = held
  const kind = mode === 'shared' ? 'append' : random.chance(0.15) ? 'job' : 'write'
  const register = lock.slice(lock.indexOf('/') + 1)
  const slow = random.chance(0.08)
  let code: string | null = null
  let status: number | null = null
  try {
    const answer = await fetch(`http://${gateway.backend}/registers/${register}/${kind}/${call}`, {
      method: 'POST',
      headers: {
        'fencing-token': random.chance(0.5) ? String(token) : `"${lock}";t=${token}`,
        'content-type': 'text/plain',
        // For the backend's log alone: the gateway keeps its own header to itself.
        'x-token': String(token),
        'x-mode': mode,
        'x-session': session,
      },
      body: slow ? slowBody(random.between(200, 2_500)) : 'x',
      ...(slow ? { duplex: 'half' } : {}),
      signal: AbortSignal.timeout(waitMs),
    })
    await answer.text()
    code = answer.headers.get('fencing-verdict')
    status = answer.status
  } catch {
    // Its end is not known to its holder.
  }
  log({ what: 'answered', atMs: nowMs(), call, code, status })
}

/** Comes in two pieces: admitted at the first, and perhaps sealed before the second. */
function slowBody(afterMs: number): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder().encode('x')
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(bytes)
      await sleep(afterMs)
      controller.enqueue(bytes)
      controller.close()
    },
  })
}
