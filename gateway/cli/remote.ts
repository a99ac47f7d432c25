// Speaks to a running gateway's control API. Every failure becomes a sentence that says what to do.

import { z } from 'zod'
import type { Invocation, OptionTerms } from './arguments.ts'
import type { ClientTls, CommandDependencies } from './dependencies.ts'
import { printable } from './table.ts'

export const REMOTE_OPTIONS: Readonly<Record<string, OptionTerms>> = {
  control: {
    type: 'string',
    value: 'URL',
    help: 'the control API (default: FENCEGATE_CONTROL, else http://127.0.0.1:7070)',
  },
  token: { type: 'string', value: 'TOKEN', help: 'a credential (default: FENCEGATE_TOKEN)' },
  cacert: { type: 'string', value: 'FILE', help: 'who signs its certificate (default: FENCEGATE_CACERT)' },
  cert: { type: 'string', value: 'FILE', help: 'a certificate to show it (default: FENCEGATE_CERT)' },
  key: { type: 'string', value: 'FILE', help: 'the key of that certificate (default: FENCEGATE_KEY)' },
}

export const JSON_OPTION: Readonly<Record<string, OptionTerms>> = {
  json: { type: 'boolean', help: 'print JSON' },
}

/** An expected failure: its message is printed as it is, and the command ends with code 1. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure'
  /** Of the answer, where there was one. */
  readonly status: number | null

  constructor(message: string, status: number | null = null) {
    super(message)
    this.status = status
  }
}

export interface Remote {
  ask(method: string, path: string, body?: unknown, answerMsMax?: number): Promise<unknown>
  /** All pages of a list. */
  list<Item>(path: string, item: z.ZodType<Item>): Promise<readonly Item[]>
}

const ANSWER_MS_MAX = 30_000
const PAGES_MAX = 1000

const Problem = z.looseObject({ title: z.string(), detail: z.string().optional() })

export function connect(invocation: Invocation, dependencies: CommandDependencies): Remote {
  const { environment } = dependencies
  const base = invocation.text('control') ?? environment['FENCEGATE_CONTROL'] ?? 'http://127.0.0.1:7070'
  const token = invocation.text('token') ?? environment['FENCEGATE_TOKEN']
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol))
    throw new CommandFailure(
      `"${base}" is not the URL of a control API; write it as http://HOST:PORT (--control or FENCEGATE_CONTROL)`,
    )
  const fetch = dependencies.fetchWith(clientTls(invocation, dependencies))

  const ask = async (
    method: string,
    path: string,
    body?: unknown,
    answerMsMax = ANSWER_MS_MAX,
  ): Promise<unknown> => {
    const impatience = new AbortController()
    const timer = dependencies.clock.after(answerMsMax, () => impatience.abort())
    let status: number
    let text: string
    try {
      const answer = await fetch(base.replace(/\/+$/, '') + path, {
        method,
        headers: {
          accept: 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: impatience.signal,
      })
      status = answer.status
      text = await answer.text()
    } catch (error) {
      throw new CommandFailure(
        `the control API at ${base} cannot be reached (${reasonOf(error)}): is the gateway running there? ` +
          'Name another address with --control URL or FENCEGATE_CONTROL',
      )
    } finally {
      timer.cancel()
    }
    const value = parse(text)
    if (status >= 200 && status < 300) return value
    throw new CommandFailure(sentence(status, value, base), status)
  }

  return {
    ask,
    async list(path, item) {
      const Page = z.object({ items: z.array(item), next: z.string().optional() })
      const items = []
      let after: string | undefined
      for (let page = 0; page < PAGES_MAX; page++) {
        const separator = path.includes('?') ? '&' : '?'
        const where = after === undefined ? '' : `&after=${encodeURIComponent(after)}`
        const read = understand(Page, await ask('GET', `${path}${separator}limit=1000${where}`))
        items.push(...read.items)
        if (read.next === undefined) return items
        after = read.next
      }
      throw new CommandFailure(`the list is longer than ${PAGES_MAX} pages: ask for less`)
    },
  }
}

function clientTls(invocation: Invocation, dependencies: CommandDependencies): ClientTls {
  const read = (option: 'cacert' | 'cert' | 'key'): string | undefined => {
    const file = invocation.text(option) ?? dependencies.environment[`FENCEGATE_${option.toUpperCase()}`]
    if (file === undefined) return undefined
    try {
      return dependencies.readText(file)
    } catch (error) {
      throw new CommandFailure(`--${option}: ${file} cannot be read (${reasonOf(error)})`)
    }
  }
  const [ca, cert, key] = [read('cacert'), read('cert'), read('key')]
  if ((cert === undefined) !== (key === undefined))
    throw new CommandFailure('give --cert and --key together (or FENCEGATE_CERT and FENCEGATE_KEY)')
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  }
}

/** The answer in the shape that this command reads, or a failure that names the likely cause. */
export function understand<Value>(schema: z.ZodType<Value>, value: unknown): Value {
  const read = schema.safeParse(value)
  if (read.success) return read.data
  throw new CommandFailure(
    'the answer is not that of a fencegate control API of this version: check the address and the versions',
  )
}

function sentence(status: number, value: unknown, base: string): string {
  const problem = Problem.safeParse(value)
  const said = problem.success
    ? printable(
        problem.data.detail === undefined
          ? problem.data.title
          : `${problem.data.title}: ${problem.data.detail}`,
      )
    : `${base} answered ${status} and no problem document: is this the control listener?`
  if (status === 401) return `${said} (give one with --token, or --cert and --key)`
  if (status === 503) return `${said} (try again, or another gateway with --control)`
  return said
}

function parse(text: string): unknown {
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function reasonOf(error: unknown): string {
  let current = error
  while (current instanceof Error) {
    if ('code' in current && typeof current.code === 'string') return current.code
    if (current.cause === undefined)
      return current.name === 'AbortError' ? 'no answer in time' : current.message
    current = current.cause
  }
  return String(current)
}
