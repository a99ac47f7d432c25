// What it costs to classify a call, counted in look-ups and not in time: the same whatever the number of rules.

import { describe, expect, it } from 'vitest'
import { PathTree, readPathTemplate } from '../../../gateway/policy/path-tree.ts'
import { type CallHead, callHead, type Policy } from '../../../gateway/spi/policy.ts'
import { policyOf } from './small-pack.ts'

/** Reading a pack of 10,000 rules takes seconds: `npm run bench` does that. */
const SIZES = [10, 100, 1_000]

/** Look-ups in tables and questions for fields while `work` runs. */
function steps(work: () => void): number {
  let count = 0
  // oxlint-disable-next-line typescript/unbound-method -- called on what they are called on
  const { get: mapGet, has: mapHas } = Map.prototype
  // oxlint-disable-next-line typescript/unbound-method -- as above
  const { has: setHas } = Set.prototype
  Map.prototype.get = function get(key) {
    count++
    return mapGet.call(this, key)
  }
  Map.prototype.has = function has(key) {
    count++
    return mapHas.call(this, key)
  }
  Set.prototype.has = function has(key) {
    count++
    return setHas.call(this, key)
  }
  try {
    work()
  } finally {
    Map.prototype.get = mapGet
    Map.prototype.has = mapHas
    Set.prototype.has = setHas
  }
  return count
}

function counting(head: CallHead): { readonly head: CallHead; readonly asked: () => number } {
  let asked = 0
  return {
    head: {
      ...head,
      header: (name) => {
        asked++
        return head.header(name)
      },
    },
    asked: () => asked,
  }
}

function cost(policy: Policy, head: CallHead, body: string | null, rule: string): number {
  const counted = counting(head)
  let found = ''
  const looked = steps(() => {
    const classified = policy.classify(counted.head, body === null ? null : Buffer.from(body))
    found = classified.kind === 'call' ? classified.rule : classified.refusal.detail
  })
  expect(found).toBe(rule)
  return looked + counted.asked()
}

const rules = (count: number, rule: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => `  - ${rule(index)}`).join('\n')

const ZAPI = 'xmlns="http://www.netapp.com/filer/admin"'
const CASES: readonly {
  readonly what: string
  readonly rule: (index: number) => string
  readonly settings?: string
  readonly call: (index: number) => readonly [CallHead, string | null]
}[] = [
  {
    what: 'literal paths',
    rule: (i) => `{ id: r${i}, path: "/p${i}/{a}/x", effect: read }`,
    call: (i) => [callHead('GET', `/p${i}/1/x`), null],
  },
  {
    what: 'paths that differ behind a capture',
    rule: (i) => `{ id: r${i}, path: "/v/{a}/p${i}", method: POST, effect: mutate, locks: "l/{a}" }`,
    call: (i) => [callHead('POST', `/v/1/p${i}`), null],
  },
  {
    what: 'values of a query member',
    rule: (i) => `{ id: r${i}, path: /q, query: { match: { func: f${i} } }, effect: read }`,
    call: (i) => [callHead('GET', `/q?func=f${i}`), null],
  },
  {
    what: 'keys of a body',
    rule: (i) => `{ id: r${i}, path: /j, method: POST, json: { key: k${i} }, effect: read }`,
    call: (i) => [callHead('POST', '/j'), `{"k${i}":1}`],
  },
  {
    what: 'methods of JSON-RPC',
    rule: (i) => `{ id: r${i}, path: /rpc, method: POST, jsonrpc: { method: M${i} }, effect: read }`,
    call: (i) => [callHead('POST', '/rpc'), `{"method":"M${i}"}`],
  },
  {
    what: 'methods of ZAPI',
    rule: (i) => `{ id: r${i}, path: /z, method: POST, zapi: { method: m-${i} }, effect: read }`,
    call: (i) => [callHead('POST', '/z'), `<netapp ${ZAPI}><m-${i}/></netapp>`],
  },
  {
    what: 'methods of SOAP',
    settings: 'soap_namespace: urn:s',
    rule: (i) => `{ id: r${i}, path: /s, method: POST, soap: { method: M${i} }, effect: read }`,
    call: (i) => [
      callHead('POST', '/s'),
      `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><M${i} xmlns="urn:s"/></e:Body></e:Envelope>`,
    ],
  },
]

describe('a call', () => {
  it.each(CASES)(
    'costs the same among $what, whatever their number',
    ({ rule, call, settings }) => {
      const costs = SIZES.map((size) => {
        const policy = policyOf(rules(size, rule), settings)
        return [0, Math.floor(size / 2), size - 1].map((index) => {
          const [head, body] = call(index)
          return cost(policy, head, body, `r${index}`)
        })
      })
      const least = Math.min(...costs.flat())
      expect(least).toBeGreaterThan(0)
      // A table of few literals does without a look-up; there is one table for each segment of a path.
      expect(Math.max(...costs.flat()) - least).toBeLessThanOrEqual(3)
    },
    60_000,
  )

  it('visits no more places of the tree than its path has segments, however many paths there are', () => {
    for (const size of [...SIZES, 10_000]) {
      const tree = new PathTree<number>()
      for (let i = 0; i < size; i++) {
        const templates = readPathTemplate(`/a/{x}/b${i}/{y}/c`)
        if (typeof templates === 'string') throw new Error(templates)
        for (const template of templates) tree.leaf(template, () => i)
      }
      const visited: number[] = []
      const segments = ['a', '1', `b${size - 1}`, '2', 'c']
      const looked = steps(() => {
        tree.find({ segments, trailingSlash: false, encodedSlash: false }, (leaf) => {
          visited.push(leaf)
          return null
        })
      })
      expect(visited).toEqual([size - 1])
      expect(looked).toBeLessThanOrEqual(segments.length)
    }
  })
})
