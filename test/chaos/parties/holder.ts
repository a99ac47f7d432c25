// A holder as a process: opens sessions, takes several locks, writes with its tokens through any gateway, gives back or forgets.
// It counts no TTL of its own: whoever stands still and wakes goes on, and only the gateways keep it from doing harm.

import { argv } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { LockMode } from '../../../gateway/core/names.ts'
import { Random } from '../../sim/random.ts'
import { nowMs, openLog } from '../log.ts'
import { HOLDER_KINDS, SESSION_SECONDS } from '../scenario.ts'
import { callBackend, type Held, HolderTerms } from './calls.ts'

const terms = HolderTerms.extend({ kind: z.enum(HOLDER_KINDS) }).parse(JSON.parse(argv[2] ?? '{}'))
const log = openLog(terms.log)
const random = new Random(terms.seed)
const HELD_MAX = 3
const CALLS_MAX = 6
/** Longer than any handover may keep a caller. */
const ANSWER_MS_MAX = 8_000

let releases = terms.firstNumber
let over = false
/** What a stubborn holder still believes in. */
let remembered: Held[] = []

async function ask(
  gateway: { readonly control: string },
  method: string,
  path: string,
  body: unknown,
  waitMs: number,
): Promise<{ readonly status: number; readonly body: unknown }> {
  const answer = await fetch(`http://${gateway.control}${path}`, {
    method,
    headers: { authorization: `Bearer ${terms.credential}`, 'content-type': 'application/json' },
    ...(body === null ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(waitMs),
  })
  const text = await answer.text()
  return { status: answer.status, body: text === '' ? null : JSON.parse(text) }
}

function anyGateway() {
  const gateway = random.pick(terms.gateways)
  if (gateway === null) throw new Error('there is no gateway')
  return gateway
}

async function openSession(): Promise<string | null> {
  const plan = terms.kind === 'killable' ? 'kill' : terms.kind === 'flushable' ? 'flush' : null
  const answer = await ask(
    anyGateway(),
    'POST',
    '/v1/sessions',
    {
      ttl: SESSION_SECONDS,
      holder: { id: terms.name },
      ...(plan === null
        ? {}
        : { plan, fenceInfo: plan === 'kill' ? { pid: process.pid } : { of: terms.name } }),
    },
    3_000,
  ).catch(() => null)
  if (answer === null || answer.status !== 201) return null
  return z.object({ session: z.string() }).parse(answer.body).session
}

/** One session, from its opening to its end. */
class Life {
  readonly #session: string
  readonly #untilMs = nowMs() + random.between(2_000, 8_000)
  #held: Held[] = []
  #over = false

  constructor(session: string) {
    this.#session = session
  }

  async run(): Promise<void> {
    const renewing = this.#renew()
    const calling = this.#makeCalls()
    while (!this.#done) {
      if (this.#held.length < HELD_MAX && random.chance(0.6)) await this.#take()
      else if (random.chance(0.5)) await this.#giveBack()
      await sleep(random.between(20, 250))
    }
    remembered = [...remembered, ...this.#held].slice(-4)
    // Some forget: then the session runs out, and with it all that it holds.
    if (!over && random.chance(0.25)) this.#over = true
    else await this.#close()
    this.#over = true
    await Promise.all([renewing, calling])
  }

  get #done(): boolean {
    return this.#over || over || nowMs() > this.#untilMs
  }

  async #renew(): Promise<void> {
    while (!this.#over) {
      const answer = await ask(
        anyGateway(),
        'POST',
        `/v1/sessions/${this.#session}/keepalive`,
        null,
        700,
      ).catch(() => null)
      if (answer?.status === 404) this.#over = true
      await sleep(answer === null ? 50 : (SESSION_SECONDS * 1_000) / 4)
    }
  }

  async #take(): Promise<void> {
    const lock = random.pick(terms.locks.filter((name) => !this.#held.some((held) => held.lock === name)))
    if (lock === null) return
    const mode: LockMode = random.chance(0.3) ? 'shared' : 'exclusive'
    const wait = random.pick([0, 1, 4]) ?? 0
    const gateway = anyGateway()
    const answer = await ask(
      gateway,
      'POST',
      `/v1/locks/${encodeURIComponent(lock)}`,
      { session: this.#session, mode, wait },
      wait * 1_000 + 2_000,
    ).catch(() => null)
    if (answer === null || answer.status > 201) return
    const { token } = z.object({ token: z.coerce.number() }).parse(answer.body)
    log({ what: 'granted', atMs: nowMs(), lock, token, session: this.#session, gateway: gateway.name })
    this.#held.push({ lock, token, mode, session: this.#session })
  }

  async #giveBack(): Promise<void> {
    const held = random.pick(this.#held)
    if (held === null) return
    this.#held = this.#held.filter((other) => other !== held)
    if (terms.kind === 'stubborn') remembered = [...remembered, held].slice(-4)
    const path = `/v1/locks/${encodeURIComponent(held.lock)}?session=${this.#session}`
    await this.#release(held.lock, path)
  }

  async #close(): Promise<void> {
    this.#held = []
    await this.#release(null, `/v1/sessions/${this.#session}`)
  }

  async #release(lock: string | null, path: string): Promise<void> {
    const id = ++releases
    const gateway = anyGateway()
    log({ what: 'release-asked', atMs: nowMs(), id, lock, session: this.#session, gateway: gateway.name })
    const answer = await ask(gateway, 'DELETE', path, null, 5_000).catch(() => null)
    log({
      what: 'release-answered',
      atMs: nowMs(),
      id,
      how: answer === null ? 'gateway-died' : answer.status === 204 ? 'done' : 'failed',
    })
  }

  async #makeCalls(): Promise<void> {
    let open = 0
    while (!this.#over && !over) {
      const old = terms.kind === 'stubborn' && random.chance(0.25)
      const held = random.pick(old ? remembered : this.#held)
      if (held !== null && open < CALLS_MAX) {
        open++
        void callBackend({ terms, held, random, log, waitMs: ANSWER_MS_MAX }).finally(() => open--)
      }
      await sleep(random.between(15, 120))
    }
  }
}

process.stdin.once('end', () => process.exit()).resume()
// Asked to end: gives everything back.
process.once('SIGTERM', () => {
  over = true
  setTimeout(() => process.exit(), 2_000)
})
while (!over) {
  const session = await openSession()
  if (session === null) await sleep(100)
  else await new Life(session).run()
}
process.exit()
