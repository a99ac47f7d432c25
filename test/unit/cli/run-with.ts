// Runs one command line over made-up dependencies and gathers what it printed.

import { z } from 'zod'
import type { CommandDependencies } from '../../../gateway/cli/index.ts'
import { runCommandLine } from '../../../gateway/cli/index.ts'
import { loadConfig } from '../../../gateway/config/index.ts'
import type { LockName } from '../../../gateway/core/names.ts'
import type { Clock } from '../../../gateway/spi/clock.ts'
import { defineFencer, type FencerDriver } from '../../../gateway/spi/fencer.ts'
import type { Policy } from '../../../gateway/spi/policy.ts'
import { knowledge } from '../config/read.ts'

export const CONFIG = `store: { embedded: { path: x } }
defaultPlan: p
fencers: { k: { driver: process, grace: 2 } }
plans: { p: { levels: [[k]] } }
backends: { vol: { listen: '127.0.0.1:8776', upstream: 'http://10.0.0.5', policy: cinder } }
`

const clock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

const policy: Policy = {
  name: 'cinder',
  dialect: 'openstack',
  quietMs: 1000,
  bodyBytesMax: 64,
  bodyBytesNeeded: () => 64,
  classify: () => {
    throw new Error('explain is asked')
  },
  explain: (head, body) => ({
    classification: {
      kind: 'call',
      effect: 'mutate',
      rule: 'delete-volume',
      locks: [
        {
          name: `v/${head.header('x-id') ?? 'none'}/${body?.toString() ?? ''}` as LockName,
          mode: 'exclusive',
        },
      ],
      waitMs: 30_000,
      job: null,
      target: head.target,
    },
    trace: [`read-volume: the method is ${head.method}`],
  }),
}

export const fenced: unknown[] = []

const process = defineFencer({
  id: 'process',
  summary: 'kills a process of this host',
  options: z.strictObject({ grace: z.number().optional().describe('seconds before it is killed') }),
  fenceInfo: z.object({ pid: z.number().int().describe('its process id') }),
  proves: () => ['no-new-calls'],
  target: (info) => `pid ${info.pid}`,
  create: (_options, context) => ({
    fence: (info) => {
      fenced.push(info)
      return Promise.resolve()
    },
    verify: (info) =>
      info.pid === 404
        ? Promise.resolve({ state: 'fenced', evidence: { observed: 'no such process', request: 'kill 0' } })
        : Promise.resolve({ state: 'not-fenced', reason: 'it runs' }),
    monitor: () => {
      context.note('looked around')
      return Promise.resolve()
    },
  }),
})

export async function run(args: readonly string[], overrides: Partial<CommandDependencies> = {}) {
  let out = ''
  let err = ''
  const served: string[] = []
  const dependencies: CommandDependencies = {
    version: '1.2.3',
    environment: {},
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    fetchWith: () => () => Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })),
    readText: () => {
      throw new Error('no file is read here')
    },
    clock,
    loadConfig: (file) =>
      loadConfig({
        file,
        environment: {},
        knowledge,
        readFile: (path) => {
          if (path === 'good.yaml') return CONFIG
          if (path === 'unwise.yaml') return CONFIG.replace('defaultPlan: p\n', '')
          if (path === 'bad.yaml') return `${CONFIG}lgo: 1\nstate: 5\n`
          throw Object.assign(new Error('none'), { code: 'ENOENT' })
        },
      }),
    serve: (start) => {
      served.push(`${start.file} ${start.reload().kind}`)
      return Promise.resolve(0)
    },
    policies: () => ({
      list: () => [{ name: 'cinder', summary: 'Cinder’s block storage API' }],
      describe: (name) => (name === 'cinder' ? { text: 'rules…', json: { rules: [] } } : null),
    }),
    policyOf: () => policy,
    // A registry forgets its drivers' own types, as main's does.
    drivers: [process as unknown as FencerDriver],
    openStore: () => {
      throw new Error('there is no store')
    },
    onSignal: () => () => undefined,
    newId: () => 'id',
    ...overrides,
  }
  const code = await runCommandLine(args, dependencies)
  return { code, out, err, served }
}
