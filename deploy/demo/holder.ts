// A service that takes a lock and changes a volume under it. It runs as a process of its own, so that it can be stopped.
// It does what well-meaning services do: renews its lease, and writes when it believes that the lock is its own.
//
// usage: holder.ts NAME CONTROL-URL VOLUME-URL LOCK TTL-SECONDS; one order per line on standard input, one JSON event
// per line on standard output.

import { argv, pid, stdin, stdout } from 'node:process'
import { createInterface } from 'node:readline'

const [name = '', control = '', volume = '', lock = '', ttlText = ''] = argv.slice(2)
const ttlSeconds = Number(ttlText)

function report(event: Readonly<Record<string, unknown>>): void {
  stdout.write(`${JSON.stringify(event)}\n`)
}

async function post(url: string, body: unknown, headers: Readonly<Record<string, string>> = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  const said: unknown = text === '' ? {} : JSON.parse(text)
  const fields: Readonly<Record<string, unknown>> =
    typeof said === 'object' && said !== null ? Object.fromEntries(Object.entries(said)) : {}
  return { status: response.status, verdict: response.headers.get('fencing-verdict'), fields }
}

const opened = await post(`${control}/v1/sessions`, {
  ttl: ttlSeconds,
  holder: { id: name },
  fenceInfo: { target: name, pid },
})
const session = String(opened.fields['session'])
report({ event: 'session', status: opened.status, session, said: opened.fields })

const renewal = setInterval(
  () => {
    post(`${control}/v1/sessions/${session}/keepalive`, {}).then(
      ({ status }) => {
        if (status !== 404) return
        clearInterval(renewal)
        report({ event: 'lost' })
      },
      (error: unknown) => report({ event: 'renewal-failed', reason: String(error) }),
    )
  },
  (ttlSeconds * 1000) / 4,
)

let token = ''

/** Orders are carried out at once: no program can look at its lease so late that it could not be stopped after that. */
async function carryOut(order: string): Promise<void> {
  switch (order) {
    case 'acquire': {
      const answer = await post(`${control}/v1/locks/${encodeURIComponent(lock)}`, { session, wait: 20 })
      token = String(answer.fields['token'])
      report({ event: 'granted', status: answer.status, token, said: answer.fields })
      return
    }
    case 'extend': {
      const body = { 'os-extend': { new_size: 2 } }
      report({
        event: 'answered',
        order,
        ...(await post(`${volume}/action`, body, { 'Fencing-Token': token })),
      })
      return
    }
    case 'sign': {
      const body = { metadata: { 'written-by': name } }
      report({
        event: 'answered',
        order,
        ...(await post(`${volume}/metadata`, body, { 'Fencing-Token': token })),
      })
      return
    }
    default:
      report({ event: 'failed', order, reason: 'unknown order' })
  }
}

createInterface({ input: stdin })
  .on('line', (order) => {
    carryOut(order).catch((error: unknown) => report({ event: 'failed', order, reason: String(error) }))
  })
  .on('close', () => clearInterval(renewal))
