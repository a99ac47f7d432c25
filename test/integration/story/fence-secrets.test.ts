// Secrets in what a holder says of himself, planted and looked for in everything that a gateway gives out, while he is being
// fenced and afterwards. His fencer prints all that it is told.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fetchWith } from '../../../gateway/cli/index.ts'
import { openEmbeddedStore } from '../../../gateway/store/embedded/embedded-store.ts'
import { systemClock } from '../../../gateway/telemetry/system-clock.ts'
import { GatewayFolder, type GatewayProcess } from '../../support/gateway-process.ts'
import { ControlClient, send } from '../../support/holder.ts'
import { run } from '../../unit/cli/run-with.ts'

const patient = { timeout: 15_000, interval: 30 }
const SECRETS = {
  token: 'tok-8f31c2"<&',
  session: 'named-by-the-operator',
  login: { name: 'nova-3', password: 'pw/of the holder' },
}
const PLANTED = [SECRETS.token, SECRETS.session, SECRETS.login.password]
const SPELLINGS = PLANTED.flatMap((secret) => [
  secret,
  encodeURIComponent(secret),
  JSON.stringify(secret).slice(1, -1),
  Buffer.from(secret).toString('base64').replace(/=+$/, ''),
])

let folder: GatewayFolder
let gateway: GatewayProcess
let control: ControlClient

beforeEach(async () => {
  folder = new GatewayFolder()
  const told = join(folder.path, 'told')
  const hook = join(folder.path, 'tell-all.sh')
  writeFileSync(
    hook,
    `#!/bin/sh\ncat | tee ${told}\nenv\necho "no fence for $FENCE_INFO_TOKEN" >&2\nexit 1\n`,
  )
  chmodSync(hook, 0o755)
  folder.configure({
    fencers: { hook: { driver: 'exec', command: [hook], verifyCommand: [hook] } },
    plans: { hook: { levels: [['hook']], attempts: 1, timeout: 5 } },
    fences: { secretInfo: ['session'] },
  })
  gateway = await folder.start()
  control = new ControlClient(gateway.control)
})
afterEach(() => folder.remove())

/** All that is said to people and programs, by where it was said. */
async function said(session: string): Promise<Record<string, string>> {
  const paths = [
    'sessions',
    `sessions/${session}`,
    `sessions/${session}/fence`,
    'fences',
    `fences/${session}`,
    'locks',
  ]
  const answers = await Promise.all(
    paths.map(async (path) => [path, (await send(`${control.base}/v1/${path}`)).body] as const),
  )
  const events = new AbortController()
  const stream = await fetch(`${control.base}/v1/events`, {
    headers: { 'last-event-id': 'from the beginning' },
    signal: events.signal,
  })
  const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
  let heard = ''
  while (!heard.includes('fence.attempted') && reader !== undefined)
    heard += (await reader.read()).value ?? ''
  events.abort()
  const environment = { FENCEGATE_CONTROL: control.base }
  const printed = await run(['fences', session], { fetchWith, environment })
  const metrics = (await send(`${control.base}/metrics`)).body
  return {
    ...Object.fromEntries(answers),
    metrics,
    events: heard,
    printed: printed.out,
    log: gateway.output(),
  }
}

function expectNoSecret(places: Readonly<Record<string, string>>): void {
  for (const [place, text] of Object.entries(places)) {
    expect(text.length, place).toBeGreaterThan(0)
    for (const secret of SPELLINGS) expect(text, place).not.toContain(secret)
  }
}

it('stand in no answer, event, log or record that is kept, and reach the fencer', async () => {
  const opened = { ttl: 60, holder: 'nova-1', plan: 'hook', fenceInfo: { ...SECRETS, host: 'compute-3' } }
  const session = await control.openSession(opened)
  await control.take('vmware/vm/vm-1', session)
  const preview = await send(`${control.base}/v1/sessions/${session}/fence`)
  expectNoSecret({ preview: preview.body })
  const ordered = await send(`${control.base}/v1/sessions/${session}/fence`, {
    body: { by: 'ops', reason: 'hangs' },
  })
  expectNoSecret({ ordered: ordered.body })
  await expect.poll(async () => (await control.fence(session))?.state, patient).toBe('blocked')

  expect(JSON.parse(readFileSync(join(folder.path, 'told'), 'utf8'))).toMatchObject({ fenceInfo: SECRETS })
  const open = await said(session)
  expectNoSecret(open)
  expect(JSON.parse(open[`fences/${session}`] ?? '')).toMatchObject({
    fenceInfo: {
      token: '[secret]',
      session: '[secret]',
      login: { name: 'nova-3', password: '[secret]' },
      host: 'compute-3',
    },
    attempts: [{ output: expect.stringContaining('no fence for [secret]') }],
  })

  // Who comes back with the same words is told so, and not in those words.
  const again = await send(`${control.base}/v1/sessions`, { body: { ...opened, holder: { id: 'nova-1' } } })
  expect(again.status).toBe(409)
  expectNoSecret({ again: again.body })

  const word = { by: 'ops', reason: 'seen dead' }
  const confirmed = await send(`${control.base}/v1/fences/${session}/confirm`, { body: word })
  expectNoSecret({ confirmed: confirmed.body, ...(await said(session)) })
  await expect
    .poll(async () => (await send(`${control.base}/v1/sessions`)).body, patient)
    .not.toContain(session)
  await gateway.stop()
  const store = openEmbeddedStore({ path: join(folder.path, 'store'), clock: systemClock })
  try {
    const { items } = await store.read('/fencegate')
    expectNoSecret(Object.fromEntries(items.map(({ key, value }) => [key, `${value} `])))
    expect(items.some(({ key, value }) => key.includes('/fences/') && value.includes('compute-3'))).toBe(true)
  } finally {
    await store.close()
  }
})
