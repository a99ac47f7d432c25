import { describe, expect, it } from 'vitest'
import {
  compilePolicy,
  failedExamples,
  formatPolicyFault,
  loadPack,
  makeCatalogue,
} from '../../../gateway/policy/index.ts'
import { callHead } from '../../../gateway/spi/policy.ts'
import { packOf, policyOf, SMALL } from './small-pack.ts'

function faultsOf(text: string): readonly string[] {
  const loaded = loadPack(text, 'small.yaml')
  if (!loaded.ok) return loaded.faults.map(formatPolicyFault)
  const compiled = compilePolicy({ pack: loaded.value })
  return compiled.ok ? [] : compiled.faults.map(formatPolicyFault)
}

describe('a pack', () => {
  it('is refused with the place of every fault in it, all at once', () => {
    expect(
      faultsOf(`policy: small
title: t
dialect: problem
default_lock: small
colour: red
rules:
  - id: a
    path: /a
    effect: reed
  - id: b
    path: /b
    effect: read
    lokcs: x
`),
    ).toEqual([
      'small.yaml:5:1: there is no key "colour" here',
      expect.stringMatching(/^small\.yaml:9:13: /),
      'small.yaml:13:5: there is no key "lokcs" here',
    ])
  })

  it.each([
    ['path: no-slash', 'a path begins with a slash'],
    ['path: "/a/{B}"', 'neither a literal segment'],
    ['path: "/a/{rest...}/b"', 'must be the last segment'],
    ['path: "/a/{a}"\n    locks: "x/{b}"', 'nothing captures {b} here'],
    ['path: "/a/{a}"\n    locks: nowhere', 'there is no lock template nowhere'],
    ['path: "/a/{a}"\n    locks: "x/{a|shout}"', 'there is no filter shout'],
    ['path: "/a/{a}"\n    locks: "/{a}"', 'a lock name is made of non-empty parts'],
    ['path: "/a/{a}"\n    where: { a: "(" }', 'not a regular expression of RE2'],
    ['path: "/a/{a}"\n    where: { a: "(?=x)" }', 'not a regular expression of RE2'],
    ['path: "/a/{a}"\n    where: { b: x }', 'nothing captures {b}'],
    ['path: "/a"\n    json: { match: { volume: x } }', 'is not a JSON pointer'],
    ['path: "/a"\n    soap: { method: M }', 'no namespace'],
    [
      'path: "/a"\n    json: {}\n    soap: { namespace: u }',
      'reads its body in one format, not as json and soap',
    ],
    ['path: "/a"\n    job: nothing', 'there is no job nothing'],
    ['path: "/a"\n    job: { kind: http, probe: "/a/{b}" }', 'nothing captures {b} here'],
    ['path: "/a"\n    method: get', 'a method is written in upper case'],
    ['path: "/taken"', 'no call reaches this rule: first before it takes them all'],
    ['path: "/a/{a}"\n    json: { capture: { a: /a } }', '{a} is captured twice'],
    ['path: "/a/{backend}"', 'is a variable and a capture'],
    ['path: "/a/{a}"\n    locks: { lock: "x/{a}", each: b }', 'each: b must be a capture'],
  ])('is refused where a rule says %j', (rule, message) => {
    const faults = faultsOf(`${SMALL}
  - id: bad
    effect: mutate
    ${rule}
`)
    expect(faults).toHaveLength(1)
    expect(faults[0]).toContain(message)
    expect(faults[0]).toMatch(/^small\.yaml:\d+:\d+: /)
  })

  it('is refused where a read has locks, an id stands twice, or the file has another name', () => {
    expect(faultsOf(`${SMALL}\n  - { id: x, path: /x, effect: read, locks: a/b }\n`)).toEqual([
      expect.stringContaining('only a rule that mutates has locks'),
    ])
    expect(faultsOf(`${SMALL}\n  - { id: first, path: /x, effect: read }\n`)).toEqual([
      expect.stringContaining('there is a rule first already'),
    ])
    expect(faultsOf(SMALL.replace('policy: small', 'policy: other'))).toEqual([
      expect.stringContaining('must be named small'),
    ])
  })

  it('is refused as a whole where it is no YAML, or says a key twice', () => {
    expect(faultsOf('a: [')).toEqual([expect.stringMatching(/^small\.yaml:1:\d+: not YAML/)])
    expect(faultsOf(`${SMALL.replace('dialect: problem', 'dialect: problem\ndialect: soap')}`)).toEqual([
      expect.stringMatching(/^small\.yaml:\d+:1: not YAML/),
    ])
  })
})

describe('an example', () => {
  it('fails in every respect in which the policy does otherwise', () => {
    const wrong = failedExamples(policyOf(''), [
      {
        call: 'DELETE /things/a',
        expect: { rule: 'first', effect: 'read', locks: ['small/b'], target: '/things/b', inspects: true },
        answer: { status: 202, job: 'task-1' },
      },
      { call: 'DELETE /things/a', expect: { refused: 'bad-request' } },
      { call: 'GET /a//b', expect: { refused: 'too-large' } },
      { call: 'GET /a//b', expect: { rule: 'first' } },
      { call: 'GET /taken', expect: { rule: 'first', effect: 'read', locks: [], inspects: false } },
    ])
    expect(wrong.map(({ index, message }) => `${index} ${message.split(': ')[1] ?? ''}`)).toEqual([
      '0 inspects should be true but is false',
      '0 the rule should be first but is thing',
      '0 the effect should be read but is mutate',
      '0 the target should be /things/b but is /things/a',
      '0 the locks should be small/b but is small/a',
      '0 the job should be task-1 but is none',
      '1 it should be refused but is mutate by thing',
      '2 the refusal should be too-large but is bad-request',
      '3 it is refused (the path holds an empty segment (two slashes in a row))',
    ])
  })
})

describe('the catalogue', () => {
  const builtIn = new Map([['small', packOf(SMALL)]])

  it.each([
    [{ extends: 'smal' }, 'extends: there is no policy smal; there are small'],
    [{ extends: 'other' }, 'extends: other is itself a policy of this configuration: extend one of small'],
    [{ extends: 'small', quiet: '5m' }, 'quiet: expected a number of seconds, without a unit'],
    [{ extends: 'small', quiet: -1 }, 'quiet: expected no less than 0 seconds'],
    [{ extends: 'small', locks: [] }, 'locks: expected a map of names and values'],
    [{ extends: 'small', rules_after: {} }, 'rules_after: expected a list'],
    [
      { extends: 'small', rules_after: [{ id: 'x', effect: 'read' }] },
      'rules_after.0.path: expected a text, or a list of texts',
    ],
    [
      { extends: 'small', rules_after: [{ id: 'x', path: '/x' }] },
      'rules_after.0.effect: expected one of read, mutate, session, deny',
    ],
    [
      { extends: 'small', rules_after: [{ id: 'x', path: 'x', method: 'get', effect: 'deny' }] },
      'rules_after.0.path: a path begins with a slash; rules_after.0.method: a method is written in upper case',
    ],
    [{ extends: 'small', lock: {} }, 'lock: there is no key "lock" here'],
    [{ title: 'T', dialect: 'soap', default_lock: 'a' }, 'rules: rules is missing: expected a list'],
  ])('says of %j what to write', (value, message) => {
    const { faults } = makeCatalogue(builtIn, { mine: value, other: { extends: 'small' } })
    expect(faults.map((fault) => `${fault.path.slice(1).join('.')}: ${fault.message}`).join('; ')).toBe(
      message,
    )
  })

  it('bends a pack: locks in one line, rules before and after, other settings', () => {
    const catalogue = makeCatalogue(builtIn, {
      mine: {
        extends: 'small',
        quiet: 60,
        wait: 5,
        default_lock: 'mine',
        locks: { thing: 'mine/{thing|lower}' },
        rules_before: [
          { id: 'no', path: '/{all...}', header: { match: { 'X-Stop': 'yes' } }, effect: 'deny' },
        ],
        rules_after: [{ id: 'late', path: '/late', effect: 'read' }],
      },
    })
    expect(catalogue.faults).toEqual([])
    expect(catalogue.names).toEqual(['small', 'mine'])
    expect([catalogue.quietMs('small'), catalogue.quietMs('mine')]).toEqual([null, 60_000])
    const policy = catalogue.policy('mine', 'backend-1')
    expect(policy?.name).toBe('mine')
    const rule = (method: string, target: string, headers = {}) =>
      policy?.classify(callHead(method, target, headers), null)
    expect(rule('DELETE', '/things/A')).toMatchObject({ locks: [{ name: 'mine/a' }], waitMs: 5000 })
    expect(rule('GET', '/late')).toMatchObject({ rule: 'late', effect: 'read' })
    expect(rule('GET', '/taken', { 'x-stop': 'yes' })).toMatchObject({ rule: 'no', effect: 'deny' })
    expect(rule('PUT', '/x')).toMatchObject({ rule: 'default', locks: [{ name: 'mine' }] })
  })

  it('says below which name in the configuration a fault lies', () => {
    const catalogue = makeCatalogue(builtIn, {
      a: { extends: 'smal' },
      b: { extends: 'small', locks: { thign: 'x/{thing}' } },
      c: { extends: 'small', locks: { thing: 'x/{nothing}' } },
      d: { extends: 'small', colour: 'red' },
      e: { title: 'no rules', dialect: 'problem', default_lock: 'e' },
      f: { extends: 'small', examples: [{ call: 'GET /taken', expect: { effect: 'mutate' } }] },
      g: { extends: 'small', rules_before: [{ id: 'first', path: '/mine', effect: 'read' }] },
    })
    expect(catalogue.faults.map((fault) => [fault.path.join('.'), fault.message])).toEqual([
      ['a.extends', 'there is no policy smal; there are small'],
      ['b.locks.thign', 'small has no lock template thign; it has thing'],
      ['c.locks.thing', expect.stringContaining('nothing captures {nothing} here')],
      ['d.colour', 'there is no key "colour" here'],
      ['e.rules', expect.any(String)],
      ['f.examples.0', 'GET /taken: the effect should be mutate but is read'],
      ['g.rules_before.0.id', 'there is a rule first already'],
    ])
  })

  it('compiles a whole pack of the configuration, with the backend in its locks', () => {
    const catalogue = makeCatalogue(builtIn, {
      own: {
        title: 'own',
        dialect: 'openstack',
        default_lock: '{backend}/all',
        rules: [{ id: 'r', path: '/r', effect: 'read' }],
      },
    })
    expect(catalogue.faults).toEqual([])
    const found = catalogue.policy('own', 'array-7')?.classify(callHead('PUT', '/x'), null)
    expect(found).toMatchObject({ locks: [{ name: 'array-7/all' }] })
  })
})
