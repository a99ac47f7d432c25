// Holds packs to the whole of their APIs: every operation in the lists of operations/ has a rule of its own, the right
// effect, the lock of the object that it names, and a job where its answer says that work goes on.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { invariant } from '../../gateway/core/invariant.ts'
import { compilePolicy, loadPolicies } from '../../gateway/policy/index.ts'
import { type CallHead, type Classification, callHead } from '../../gateway/spi/policy.ts'
import { EXPECTATIONS, type Expectations, OBJECT } from './operations/expectations.ts'

const { packs } = loadPolicies(join(import.meta.dirname, '../../policies'))
const PROJECT = '0123456789abcdef0123456789abcdef'

interface Operation {
  /** As it stands in the list, without the status. */
  readonly name: string
  readonly method: string
  readonly path: string
  readonly action: string | null
  readonly accepted: boolean
}

type Call = Extract<Classification, { kind: 'call' }>

function operationsOf(name: string): readonly Operation[] {
  const text = readFileSync(join(import.meta.dirname, 'operations', `${name}.txt`), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [method = '', path = '', action = '', status] = line.split(' ')
      return {
        name: action === '-' ? `${method} ${path}` : `${method} ${path} ${action}`,
        method,
        path,
        action: action === '-' ? null : action,
        accepted: status === '202',
      }
    })
}

/** The path with its parameters filled; a leading project is one, and every object has the same id. */
function filled(path: string, expectations: Expectations, id = OBJECT): string {
  const [head = '', tail] = path.split(`${expectations.project}/`)
  const whole = expectations.project === '' || tail === undefined ? path : `${head}/${PROJECT}/${tail}`
  return whole.replace(/\{[^}]*\}/g, id)
}

function bodyOf(operation: Operation, expectations: Expectations): Buffer {
  const plain = operation.action === null ? {} : { [operation.action]: {} }
  return Buffer.from(JSON.stringify(expectations.bodies[operation.name] ?? plain))
}

/** The lock of the last object in the path that has one of its own; null where none has. */
function objectLock(path: string, objects: Expectations['objects']): string | null {
  const found = [...path.matchAll(/\/([a-z0-9_.-]+)\/\{[^}]*\}/g)].flatMap(([, name]) => {
    const lock = objects[name ?? '']
    return lock === undefined ? [] : [`${lock}/${OBJECT}`]
  })
  return found[0] ?? null
}

describe.each(Object.entries(EXPECTATIONS))('the pack %s', (name, expectations) => {
  const pack = packs.get(name)
  invariant(pack !== undefined, `there is no pack ${name}`)
  const compiled = compilePolicy({ pack })
  invariant(compiled.ok, `the pack ${name} has faults`)
  const policy = compiled.value
  const operations = operationsOf(name)

  function classify(method: string, target: string, body: Buffer): Classification {
    const head: CallHead = callHead(method, target, { 'content-type': 'application/json' })
    return policy.classify(head, policy.bodyBytesNeeded(head) > 0 ? body : null)
  }

  function decide(operation: Operation): Call {
    const found = classify(
      operation.method,
      filled(operation.path, expectations),
      bodyOf(operation, expectations),
    )
    invariant(
      found.kind === 'call',
      found.kind === 'call' ? '' : `${operation.name}: ${found.refusal.detail}`,
    )
    return found
  }

  function effectOf(operation: Operation): Call['effect'] {
    const place = operation.name.slice(operation.method.length + 1)
    if (expectations.sessions.includes(operation.name)) return 'session'
    if (operation.method === 'GET') return expectations.changingReads.includes(place) ? 'mutate' : 'read'
    return expectations.reads.includes(place) ? 'read' : 'mutate'
  }
  const changes = operations.filter((one) => effectOf(one) === 'mutate')

  it('counts its operations in its header', () => {
    const text = readFileSync(join(import.meta.dirname, '../../policies', `${name}.yaml`), 'utf8')
    const header = text.split('\npolicy:')[0] ?? ''
    expect(operations.length).toBeGreaterThan(100)
    expect(header).toContain(`All ${operations.length} operations`)
    expect(header).toContain(`operations/${name}.txt`)
  })

  it('has a rule for every operation', () => {
    expect(operations.filter((one) => decide(one).rule === 'default').map((one) => one.name)).toEqual([])
  })

  it('takes for a read what reads, and nothing else', () => {
    const wrong = operations.filter((one) => decide(one).effect !== effectOf(one))
    expect(wrong.map((one) => one.name)).toEqual([])
    const places = operations.flatMap((one) => [one.name, one.name.slice(one.method.length + 1)])
    expect(
      [...expectations.reads, ...expectations.sessions, ...expectations.changingReads].filter(
        (one) => !places.includes(one),
      ),
    ).toEqual([])
  })

  it('asks for the lock of the object that a changing call names in its path', () => {
    const wrong = changes.flatMap((one) => {
      const lock = objectLock(one.path.replace(expectations.project, ''), expectations.objects)
      if (lock === null) return []
      const { locks } = decide(one)
      return locks.some((found) => found.name === lock)
        ? []
        : [`${one.name}: ${locks.map((found) => found.name).join()}, not ${lock}`]
    })
    expect(wrong).toEqual([])
  })

  it('waits for the work behind every 202, or says that there is none', () => {
    const accepted = changes.filter((one) => one.accepted).map(decide)
    const followed = accepted.filter((one) => one.job?.appliesTo(202) ?? false)
    const unfollowed = accepted.filter((one) => !followed.includes(one)).map((one) => one.rule)
    expect([...new Set(unfollowed)].toSorted()).toEqual(expectations.settled.toSorted())
    expect(followed.map((one) => one.rule).filter((rule) => expectations.settled.includes(rule))).toEqual([])
  })

  it('knows only actions that the API has', () => {
    const known = new Set(operations.map((one) => one.action))
    const keys = pack.source.rules.flatMap((rule) => rule.json?.key ?? []).flat()
    expect(keys.filter((key) => !known.has(key))).toEqual([])
  })

  it('decides the same without the project, with a slash behind it, and whatever the case of ids', () => {
    for (const operation of operations) {
      const { rule, effect, locks } = decide(operation)
      const body = bodyOf(operation, expectations)
      const path = filled(operation.path, expectations)
      const spellings = [
        `${path}/`.replace('//', '/'),
        filled(operation.path, expectations, OBJECT.toUpperCase()),
        path.replace(`/${PROJECT}`, ''),
      ]
      for (const spelling of spellings) {
        const found = classify(operation.method, spelling, body)
        invariant(found.kind === 'call', `${operation.method} ${spelling} is refused`)
        expect([spelling, found.rule, found.effect]).toEqual([spelling, rule, effect])
        if (!locks.some((lock) => lock.name.includes(PROJECT))) expect(found.locks).toEqual(locks)
      }
    }
  })

  it('decides the same below a prefix that the pack knows, and asks about a job there', () => {
    for (const prefix of pack.source.path_prefixes)
      for (const operation of operations) {
        const plain = decide(operation)
        const target = `${prefix}${filled(operation.path, expectations)}`
        const found = classify(operation.method, target, bodyOf(operation, expectations))
        invariant(found.kind === 'call', `${operation.method} ${target} is refused`)
        expect([target, found.rule, found.effect]).toEqual([target, plain.rule, plain.effect])
        expect(found.locks).toEqual(plain.locks)
        const probed = (call: Call) => {
          const named = call.job?.read(202, Buffer.from('{"id":"a1","snapshot":{"id":"a1"}}'))
          return named?.kind === 'job' && named.probe.kind === 'http' ? named.probe.target : null
        }
        const expected = probed(plain)
        expect(probed(found)).toBe(expected === null ? null : `${prefix}${expected}`)
      }
  })

  it('never lets a path with a format behind it through under another lock', () => {
    for (const operation of changes) {
      const { locks } = decide(operation)
      const path = `${filled(operation.path, expectations)}.json`
      const found = classify(operation.method, path, bodyOf(operation, expectations))
      if (found.kind === 'refused' || found.effect === 'deny') continue
      expect([path, found.effect, found.locks]).toEqual([path, 'mutate', locks])
    }
  })
})
