// A vCenter session of the REST API: logged out in its own name, since vCenter lists no such sessions, and then asked for in its own name.
// No message of its errors holds its id.

import { request } from 'undici'
import { z } from 'zod'
import { readBounded, type VcenterOptions, vcenterAgent } from './client.ts'

export interface RestSessions {
  /** Resolves with what was said to it; rejects where that is neither the end of the session nor that it is over already. */
  logOut(id: string, signal: AbortSignal, lastCheck: () => void): Promise<'ended' | 'gone'>
  /** `unknown`: nothing in the answer shows that vCenter itself has written it. */
  look(id: string, signal: AbortSignal): Promise<'alive' | 'gone' | 'unknown'>
  close(): Promise<void>
}

const PATH = '/api/session'
const ANSWER_MS_MAX = 30_000
const Alive = z.looseObject({ user: z.string() })
const Unauthenticated = z.looseObject({ error_type: z.literal('UNAUTHENTICATED') })

export function createRestSessions(options: VcenterOptions): RestSessions {
  const agent = vcenterAgent(options)
  const url = new URL(PATH, options.url)

  async function send(method: 'GET' | 'DELETE', id: string, signal: AbortSignal) {
    const answer = await request(url, {
      dispatcher: agent,
      method,
      signal,
      headersTimeout: ANSWER_MS_MAX,
      bodyTimeout: ANSWER_MS_MAX,
      headers: { accept: 'application/json', 'vmware-api-session-id': id },
    })
    return { status: answer.statusCode, json: jsonOf(await readBounded(answer.body)) }
  }

  return {
    async logOut(id, signal, lastCheck) {
      lastCheck()
      const { status, json } = await send('DELETE', id, signal)
      if (status >= 200 && status < 300) return 'ended'
      if (status === 401 && Unauthenticated.safeParse(json).success) return 'gone'
      throw new Error(`${url.host} answered ${status} to DELETE ${PATH}`)
    },

    async look(id, signal) {
      const { status, json } = await send('GET', id, signal)
      if (status === 200 && Alive.safeParse(json).success) return 'alive'
      return status === 401 && Unauthenticated.safeParse(json).success ? 'gone' : 'unknown'
    },

    close: () => agent.destroy(),
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
