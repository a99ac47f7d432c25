// `fencers test` with a driver that repeats all it is told: what is secret in the inventory, in --info or in the options is not shown.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { z } from 'zod'
import { loadConfig } from '../../../gateway/config/index.ts'
import { defineFencer } from '../../../gateway/spi/fencer.ts'
import { run } from './run-with.ts'

const SECRETS = ['inventory-password', 'told-password', 'option-password', 'marked-number-1']
const Info = z.looseObject({ host: z.string(), serial: z.string().optional().meta({ secret: true }) })

const parrot = defineFencer<{ password: string }, z.infer<typeof Info>>({
  id: 'parrot',
  summary: 'repeats what it is told',
  options: z.strictObject({ password: z.string() }),
  fenceInfo: Info,
  proves: () => [],
  target: (info) => JSON.stringify(info),
  create: (options, context) => ({
    fence: () => Promise.reject(new Error('it only looks')),
    verify(info, attempt) {
      attempt.note(JSON.stringify([info, options]))
      return Promise.resolve({ state: 'unknown', reason: JSON.stringify([info, options]) })
    },
    monitor() {
      context.note(options.password)
      return Promise.reject(new Error(`no way in with ${options.password}`))
    },
  }),
})

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fencers-test-'))
  writeFileSync(
    join(folder, 'hosts.yaml'),
    'hosts: { c3: { password: inventory-password, serial: marked-number-1 } }\n',
  )
  writeFileSync(
    join(folder, 'fencegate.yaml'),
    `store: { embedded: { path: ./store } }
control: { listen: "127.0.0.1:0" }
inventory: ./hosts.yaml
fencers: { bird: { driver: parrot, password: option-password } }
plans: { plan: { levels: [[bird]], fenceInfo: { password: "{{host.password}}", serial: "{{host.serial}}" } } }
`,
  )
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const test = (...args: readonly string[]) =>
  run(['fencers', 'test', 'bird', '-c', join(folder, 'fencegate.yaml'), ...args], {
    drivers: [parrot],
    loadConfig: (file) => loadConfig({ file, environment: {}, knowledge: null }),
  })

it.each([
  ['of the inventory', ['--plan', 'plan', '--holder', 'host=c3', '--info', 'host=c3']],
  [
    'that were told',
    ['--info', 'host=c3', '--info', 'password=told-password', '--info', 'serial=marked-number-1'],
  ],
])('shows no secrets %s, nor of the options, and shows the rest', async (_, args) => {
  for (const form of [[], ['--json']]) {
    const { out, code } = await test(...args, ...form)
    expect(code).toBe(1)
    expect(out).toContain('c3')
    expect(out).toContain('no way in with [secret]')
    for (const secret of SECRETS) expect(out).not.toContain(secret)
  }
})
