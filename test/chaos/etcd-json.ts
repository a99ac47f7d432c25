// etcd in its own words, over its JSON gateway: for clients that know nothing of fencegate, and for whoever looks on.

import { z } from 'zod'

const kv = z.object({
  key: z.string().transform(decode),
  value: z.string().default('').transform(decode),
  create_revision: z.coerce.number().default(0),
  mod_revision: z.coerce.number().default(0),
  lease: z.string().optional(),
})
const header = z.object({ revision: z.coerce.number() })
const watched = z.object({
  result: z.object({
    header,
    canceled: z.boolean().optional(),
    events: z.array(z.object({ type: z.literal('DELETE').optional(), kv })).default([]),
  }),
})

export type WatchedEvents = z.output<typeof watched>['result']

const ANSWER_MS_MAX = 2_000

function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64')
}

function decode(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8')
}

/** Asks the members one after another. */
export class EtcdJson {
  readonly #endpoints: readonly string[]

  constructor(endpoints: readonly string[]) {
    this.#endpoints = endpoints
  }

  async #ask(path: string, body: unknown): Promise<unknown> {
    let failure: unknown
    for (const endpoint of this.#endpoints) {
      try {
        const answer = await fetch(`${endpoint}/v3/${path}`, {
          method: 'POST',
          body: JSON.stringify(body),
          signal: AbortSignal.timeout(ANSWER_MS_MAX),
        })
        if (answer.ok) return await answer.json()
        failure = new Error(`${path}: ${answer.status} ${await answer.text()}`)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  /** In hexadecimal, as its keys are called. */
  async grantLease(seconds: number): Promise<string> {
    const { ID } = z.object({ ID: z.string() }).parse(await this.#ask('lease/grant', { TTL: seconds }))
    return BigInt(ID).toString(16)
  }

  /** False once it is gone. */
  async keepAlive(lease: string): Promise<boolean> {
    const answer = await this.#ask('lease/keepalive', { ID: decimal(lease) })
    const { result } = z.object({ result: z.object({ TTL: z.coerce.number().default(0) }) }).parse(answer)
    return result.TTL > 0
  }

  async revokeLease(lease: string): Promise<void> {
    await this.#ask('lease/revoke', { ID: decimal(lease) })
  }

  async put(key: string, value: string, lease: string): Promise<void> {
    await this.#ask('kv/put', { key: encode(key), value: encode(value), lease: decimal(lease) })
  }

  /** Creates the key where it is not there, as a mutex of etcd's own does. Its create revision, or null. */
  async create(key: string, lease: string): Promise<number | null> {
    const answer = await this.#ask('kv/txn', {
      compare: [{ key: encode(key), target: 'CREATE', create_revision: '0', result: 'EQUAL' }],
      success: [{ request_put: { key: encode(key), value: '', lease: decimal(lease) } }],
    })
    const result = z.object({ header, succeeded: z.boolean().default(false) }).parse(answer)
    return result.succeeded ? result.header.revision : null
  }

  async delete(key: string): Promise<void> {
    await this.#ask('kv/deleterange', { key: encode(key) })
  }

  async compact(revision: number): Promise<void> {
    await this.#ask('kv/compaction', { revision: String(revision) })
  }

  async revision(): Promise<number> {
    const answer = await this.#ask('kv/range', { key: encode('/none') })
    return z.object({ header }).parse(answer).header.revision
  }
}

function decimal(lease: string): string {
  return BigInt(`0x${lease}`).toString()
}

/** Everything that one member tells of all keys, from a revision on; ends when the connection does. */
export async function* watchAll(
  endpoint: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<WatchedEvents> {
  const everything = Buffer.from([0]).toString('base64')
  const answer = await fetch(`${endpoint}/v3/watch`, {
    method: 'POST',
    body: JSON.stringify({
      create_request: { key: everything, range_end: everything, start_revision: String(from) },
    }),
    signal,
  })
  if (answer.body === null) return
  let rest = ''
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    rest += piece
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line !== '') yield watched.parse(JSON.parse(line)).result
  }
}
