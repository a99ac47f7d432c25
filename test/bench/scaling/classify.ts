// Classifies calls by a policy with very many rules. Started by rules.ts as `node classify.ts RULES SAMPLES`; it writes one
// line `RESULT {…}` and ends.

import { compilePolicy, readPackValue } from '../../../gateway/policy/index.ts'
import { callHead, type Policy } from '../../../gateway/spi/policy.ts'
import type { RuleFigures } from './rules.ts'

const CALLS_PER_SAMPLE = 100_000
const DIFFERENT_CALLS = 1_000
const ruleCount = Number(process.argv[2] ?? 100)
const sampleCount = Number(process.argv[3] ?? 3)

const PACK = {
  title: 'Very many rules',
  dialect: 'problem',
  default_lock: 'bench',
  locks: { thing: 'bench/{id}' },
}

const ids = Array.from({ length: ruleCount }, (_, i) => i)
/** Half of the places in a path differ early, half late, as in a real API. */
const byPath = {
  ...PACK,
  policy: 'by-path',
  rules: ids.map((i) => ({
    id: `rule-${i}`,
    method: 'POST',
    path: i % 2 === 0 ? `/v3/{project}/kind${i}/{id}` : `/v3/{project}/things/{id}/act${i}`,
    effect: 'mutate',
    locks: 'thing',
  })),
}
const byKey = {
  ...PACK,
  policy: 'by-key',
  rules: ids.map((i) => ({
    id: `rule-${i}`,
    method: 'POST',
    path: '/v3/{project}/things/{id}/action',
    json: { key: `os-act${i}` },
    effect: 'mutate',
    locks: 'thing',
  })),
}

interface Call {
  readonly target: string
  readonly body: Buffer
  readonly rule: string
}

function pathCall(i: number, id: string): Call {
  const target = i % 2 === 0 ? `/v3/p/kind${i}/${id}` : `/v3/p/things/${id}/act${i}`
  return { target, body: Buffer.from('{"size":2}'), rule: `rule-${i}` }
}

function keyCall(i: number, id: string): Call {
  return {
    target: `/v3/p/things/${id}/action`,
    body: Buffer.from(`{"os-act${i}":{"size":2}}`),
    rule: `rule-${i}`,
  }
}

function lastCall(_: number, id: string): Call {
  return { target: `/v3/p/nothing/${id}`, body: Buffer.from('{"size":2}'), rule: 'default' }
}

function measure(policy: Policy, callOf: (rule: number, id: string) => Call): readonly number[] {
  const spread = Math.max(1, Math.floor(ruleCount / DIFFERENT_CALLS))
  const calls = Array.from({ length: DIFFERENT_CALLS }, (_, i) =>
    callOf((i * spread) % ruleCount, `5aa1${i.toString(16).padStart(8, '0')}`),
  )
  const headers = { 'content-type': 'application/json' }
  const heads = calls.map((call) => ({ ...call, head: callHead('POST', call.target, headers) }))
  const samples: number[] = []
  for (let sample = 0; sample <= sampleCount; sample++) {
    const before = threadUs()
    for (let i = 0; i < CALLS_PER_SAMPLE; i++) {
      const call = heads[i % heads.length]
      if (call === undefined) throw new Error('there are no calls')
      const found = policy.classify(call.head, call.body)
      if (found.kind !== 'call' || found.rule !== call.rule)
        throw new Error(`${call.target} is covered by ${JSON.stringify(found)}, not by ${call.rule}`)
    }
    // The first is for the compiler.
    if (sample > 0) samples.push(((threadUs() - before) * 1000) / CALLS_PER_SAMPLE)
  }
  return samples
}

function threadUs(): number {
  const { user, system } = process.threadCpuUsage()
  return user + system
}

function compiled(pack: typeof byPath | typeof byKey): Policy {
  const read = readPackValue(pack.policy, pack)
  if (!read.ok) throw new Error(JSON.stringify(read.faults.slice(0, 3)))
  const policy = compilePolicy({ pack: read.value })
  if (!policy.ok) throw new Error(JSON.stringify(policy.faults.slice(0, 3)))
  return policy.value
}

const beforeUs = threadUs()
const paths = compiled(byPath)
const compileMs = (threadUs() - beforeUs) / 1000
const nanoseconds = {
  paths: measure(paths, pathCall),
  keys: measure(compiled(byKey), keyCall),
  last: measure(paths, lastCall),
}
const result: RuleFigures = { compileMs, nanoseconds }
process.stdout.write(`\nRESULT ${JSON.stringify(result)}\n`)
