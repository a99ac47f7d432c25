// The register backend as a process: it checks no token, carries out whatever arrives, asynchronously, and answers at once,
// late, twice or never, or names a job. It keeps one promise: nothing takes effect later than EFFECT_MS_MAX after it came.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { argv } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LockMode } from '../../../gateway/core/names.ts'
import { Random } from '../../sim/random.ts'
import { nowMs, openLog } from '../log.ts'
import { EFFECT_MS_MAX } from '../scenario.ts'

interface Change {
  readonly call: number
  readonly lock: string
  readonly token: number
  readonly mode: LockMode
  readonly session: string
}

const [host = '127.0.0.1', port = '0', logFile = '', seed = '1'] = argv.slice(2)
const log = openLog(logFile)
const random = new Random(Number(seed))
const jobs = new Map<string, 'running' | 'done'>()
/** Sessions of which nothing takes effect any more, whether it has come already or not. */
const flushed = new Set<string>()
let loses = false

function note(what: 'arrived' | 'executed' | 'dropped', change: Change): void {
  log({ what, atMs: nowMs(), ...change })
}

async function takeEffect(change: Change, afterMs: number): Promise<void> {
  await sleep(afterMs)
  note(flushed.has(change.session) ? 'dropped' : 'executed', change)
}

function field(request: IncomingMessage, name: string): string {
  const value = request.headers[name]
  return typeof value === 'string' ? value : ''
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

async function change(request: IncomingMessage, response: ServerResponse, parts: string[]): Promise<void> {
  const asked: Change = {
    call: Number(parts.at(-1)),
    lock: `register/${parts[1]}`,
    token: Number(field(request, 'x-token')),
    mode: field(request, 'x-mode') === 'shared' ? 'shared' : 'exclusive',
    session: field(request, 'x-session'),
  }
  note('arrived', asked)
  // What is cut off in the middle is not carried out.
  for await (const _ of request);
  if (flushed.has(asked.session)) return answer(response, 409, { error: 'this session was ended' })
  if (parts[2] === 'job') {
    const job = `job-${asked.call}`
    jobs.set(job, 'running')
    void takeEffect(asked, random.between(50, EFFECT_MS_MAX)).then(() => jobs.set(job, 'done'))
    return answer(response, 202, { job })
  }
  if (loses && random.chance(0.7)) {
    response.destroy()
    return takeEffect(asked, random.between(600, EFFECT_MS_MAX))
  }
  const fate = random.unit()
  if (fate < 0.8) {
    await takeEffect(asked, random.between(0, 40))
    answer(response, 200, {})
  } else if (fate < 0.87) {
    await takeEffect(asked, random.between(200, EFFECT_MS_MAX))
    answer(response, 200, {})
  } else if (fate < 0.94) {
    await takeEffect(asked, 0)
    await sleep(random.between(300, EFFECT_MS_MAX))
    answer(response, 200, {})
  } else if (fate < 0.955) {
    // Never answered: the connection stays open.
    await takeEffect(asked, random.between(0, EFFECT_MS_MAX))
  } else if (fate < 0.97) {
    response.destroy()
    await takeEffect(asked, random.between(0, EFFECT_MS_MAX))
  } else {
    const { socket } = response
    await takeEffect(asked, random.between(0, 100))
    answer(response, 200, {})
    // Again, unasked, on the same connection.
    response.once('finish', () => socket?.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'))
  }
}

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://backend')
  const parts = url.pathname.split('/').filter((part) => part !== '')
  if (parts[0] === 'jobs') {
    const state = jobs.get(parts[1] ?? '')
    return answer(response, state === undefined ? 404 : 200, { state })
  }
  if (parts[0] === 'flush') {
    flushed.add(parts[1] ?? '')
    return answer(response, 200, { flushed: parts[1] })
  }
  if (request.method !== 'POST') return answer(response, 200, {})
  change(request, response, parts).catch(() => response.destroy())
})
server.listen(Number(port), host, () => process.send?.({ ready: true }))
process.on('message', (message) => {
  if (typeof message === 'object' && message !== null && 'loses' in message) loses = message.loses === true
})
process.once('disconnect', () => process.exit())
