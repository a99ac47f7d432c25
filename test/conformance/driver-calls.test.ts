// Holds the packs of arrays to the calls that Cinder's drivers make: driver-calls/*.txt list them, out of the drivers'
// source, and none may be left to the default rule, or be taken for a read that is none.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { invariant } from '../../gateway/core/invariant.ts'
import { compilePolicy, exampleCall, loadPolicies } from '../../gateway/policy/index.ts'
import { valueAt } from '../../gateway/proxy/http-jobs.ts'

const folder = join(import.meta.dirname, 'driver-calls')
const { packs } = loadPolicies(join(import.meta.dirname, '../../policies'))

type Body = Parameters<typeof exampleCall>[0]['body']

interface Expectations {
  /** How many calls the list has: an extraction that finds fewer has gone blind. */
  readonly count: number
  readonly sessions: RegExp
  readonly reads: RegExp
  /** Bodies of calls that the pack has to look into, by the end of the path. */
  readonly bodies: Readonly<Record<string, Body>>
}

const NONE = /^$/

const EXPECTED: Readonly<Record<string, Expectations>> = {
  'hpe-msa': {
    count: 36,
    sessions: /^GET \/api\/login\//,
    reads: /^GET \/api\/show\//,
    bodies: {},
  },
  powerflex: {
    count: 40,
    sessions: /^GET \/api\/login$/,
    reads: /^GET |\/action\/query[A-Za-z]+$|\/metrics\/query$/,
    bodies: {
      '/types/Volume/instances': { name: 'a' },
      '/types/Host/instances': { nqn: 'nqn.a' },
      '/types/ReplicationPair/instances': { sourceVolumeId: 'a1' },
      '/snapshotVolumes': { snapshotDefs: [{ volumeId: 'a1' }] },
      '/createSnapshot': { snapshotDefs: [{ volumeId: 'a1' }] },
      '/createThinClone': { snapshotDefs: [{ volumeId: 'a1' }] },
      '/overwriteVolumeContent': { srcVolumeId: 'a2' },
      '/removeVolume': { removeMode: 'ONLY_ME' },
    },
  },
  powerstore: {
    count: 42,
    sessions: NONE,
    reads: /^GET |\/metrics\/generate$/,
    bodies: {
      'POST /api/rest/volume': { name: 'a' },
      'POST /api/rest/volume_group': { name: 'a' },
      '/clone': { name: 'a' },
      '/restore': { from_snap_id: 'a2' },
      _members: { volume_ids: ['a1'] },
      'PATCH /api/rest/volume/{volume_id}': { size: 1 },
      'PATCH /api/rest/volume/{provider_id}': { qos_performance_policy_id: 'a' },
    },
  },
}

/** What stands for a placeholder where `a1` would not be one of its values. */
const SAMPLES: Readonly<Record<string, readonly string[]>> = {
  action: ['failover', 'restore'],
  size: ['10GiB'],
  added_size: ['10GiB'],
  lun: ['1'],
}

function filled(call: string): readonly string[] {
  const placeholder = /\{(\w+)\}/.exec(call)
  if (placeholder === null) return [call]
  const [whole, name = ''] = placeholder
  return (SAMPLES[name] ?? ['a1']).flatMap((value) => filled(call.replace(whole, value)))
}

/** Of lines `METHOD path | versions | files and functions`, the calls. */
function callsIn(text: string): readonly string[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const [call = '', ...origin] = line.split(' | ')
    invariant(/^[A-Z]+ \/\S*$/.test(call) && origin.length === 2, `a line is broken: ${line}`)
    return call
  })
}

const lists = readdirSync(folder)
  .filter((file) => file.endsWith('.txt'))
  .map((file) => [file.replace('.txt', ''), callsIn(readFileSync(join(folder, file), 'utf8'))] as const)

it('finds a list for every pack that claims one', () => {
  expect(lists.map(([name]) => name)).toEqual(Object.keys(EXPECTED))
})

describe.each(lists)('the pack %s', (name, calls) => {
  const pack = packs.get(name)
  invariant(pack !== undefined, `there is no pack ${name}`)
  const compiled = compilePolicy({ pack })
  invariant(compiled.ok, 'the pack compiles')
  const policy = compiled.value
  const expected = EXPECTED[name]
  invariant(expected !== undefined, `the test knows nothing about ${name}`)

  it('knows all the calls of the list', () => {
    expect(calls).toHaveLength(expected.count)
    expect(new Set(calls).size).toBe(expected.count)
  })

  it.each(calls)('has a rule for %s, of the right effect', (call) => {
    const ending = Object.keys(expected.bodies).find((end) => !call.startsWith('GET ') && call.endsWith(end))
    const wanted = expected.sessions.test(call) ? 'session' : expected.reads.test(call) ? 'read' : 'mutate'
    for (const one of filled(call)) {
      const body = ending === undefined ? {} : { body: expected.bodies[ending] }
      const { head, body: bytes } = exampleCall({ call: one, ...body, expect: {} })
      const found = policy.classify(head, policy.bodyBytesNeeded(head) > 0 ? bytes : null)
      expect(found, one).toMatchObject({ kind: 'call', effect: wanted })
      invariant(found.kind === 'call', 'the line above')
      expect(found.rule, one).not.toMatch(/^(?:default|other)$/)
      const locks = found.locks.map((lock) => lock.name)
      if (wanted === 'mutate') expect(locks, one).not.toContain(pack.source.variables['root'])
      else expect(locks, one).toEqual([])
    }
  })

  it('forwards the paths of the list as they are', () => {
    for (const one of calls.flatMap(filled)) {
      const { head } = exampleCall({ call: one, expect: {} })
      const found = policy.explain(head, null).classification
      if (found.kind === 'call') expect(found.target).toBe(one.split(' ')[1])
    }
  })
})

describe('a job of PowerStore', () => {
  const pack = packs.get('powerstore')
  invariant(pack !== undefined, 'there is a pack powerstore')
  const compiled = compilePolicy({ pack })
  invariant(compiled.ok, 'the pack compiles')
  const { head } = exampleCall({ call: 'DELETE /api/rest/volume/a1', expect: {} })
  const found = compiled.value.classify(head, null)
  invariant(found.kind === 'call' && found.job !== null, 'a deletion may start a job')
  const read = found.job.read(202, Buffer.from('{"id":"j1"}'))
  invariant(read.kind === 'job' && read.probe.kind === 'http', 'it names one')
  const { pointer, runningValues, terminalStatuses } = read.probe
  const isOver = (answer: string) => {
    const state = valueAt(answer, pointer ?? '')
    return typeof state === 'string' && !runningValues.includes(state)
  }

  it('is over only once it is listed among those that are', () => {
    expect(terminalStatuses).toEqual([])
    expect(isOver('[]')).toBe(false)
    expect(isOver('{}')).toBe(false)
    for (const state of ['COMPLETED', 'FAILED', 'UNRECOVERABLE_FAILED'])
      expect(isOver(JSON.stringify([{ state }]))).toBe(true)
  })
})
