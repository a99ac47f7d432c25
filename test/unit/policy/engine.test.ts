import { describe, expect, it } from 'vitest'
import { type CallHead, callHead, type Policy } from '../../../gateway/spi/policy.ts'
import fc from '../../support/fast-check.ts'
import { policyOf } from './small-pack.ts'

function head(method: string, target: string, headers: Readonly<Record<string, string>> = {}): CallHead {
  return callHead(method, target, headers)
}

function decide(policy: Policy, call: CallHead, body: unknown = null): unknown {
  const found = policy.classify(call, body === null ? null : Buffer.from(JSON.stringify(body)))
  return found.kind === 'refused'
    ? found.refusal.code
    : [found.rule, ...found.locks.map((lock) => (lock.mode === 'shared' ? `${lock.name}!` : lock.name))].join(
        ' ',
      )
}

describe('a policy', () => {
  it('makes whatever no rule covers a mutation under the default lock', () => {
    const policy = policyOf('')
    for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'TRACE', 'BREW'])
      expect(policy.classify(head(method, '/elsewhere'), null)).toMatchObject({
        kind: 'call',
        effect: 'mutate',
        rule: 'default',
        locks: [{ name: 'small', mode: 'exclusive' }],
      })
  })

  it('takes the most specific path first, and the order of the file at one path', () => {
    const policy = policyOf(`
  - { id: rest, path: "/a/{rest...}", effect: deny }
  - { id: capture, path: "/a/{b}/c", effect: mutate, locks: "x/{b}" }
  - { id: picky, path: /a/b/c, query: { has: [q] }, effect: read }
  - { id: literal, path: /a/b/c, method: PUT, effect: mutate, locks: x/literal }
  - { id: slash, path: /a/b/c/, effect: session }`)
    expect(decide(policy, head('GET', '/a/b/c?q'))).toBe('picky')
    expect(decide(policy, head('PUT', '/a/b/c?q'))).toBe('picky')
    expect(decide(policy, head('PUT', '/a/b/c'))).toBe('literal x/literal')
    expect(decide(policy, head('GET', '/a/b/c'))).toBe('capture x/b')
    expect(decide(policy, head('GET', '/a/z/c'))).toBe('capture x/z')
    expect(decide(policy, head('GET', '/a/z/d/e'))).toBe('rest')
    expect(decide(policy, head('PUT', '/a/b/c/'))).toBe('slash')
    expect(decide(policy, head('PUT', '/a/z/c/'))).toBe('capture x/z')
    expect(decide(policy, head('GET', '/a'))).toBe('default small')
  })

  it('gives all spellings of one path the same locks', () => {
    const policy = policyOf('')
    const spelled = fc.array(
      fc.tuple(fc.constantFrom(...Array.from('abzAZ09-._~!:@é [')), fc.constantFrom(0, 1, 2)),
      {
        minLength: 1,
        maxLength: 12,
      },
    )
    const write = (parts: readonly (readonly [string, number])[], shift: number) =>
      parts
        .map(([character, choice]) => {
          if ((choice + shift) % 3 === 0 && /[\w\-.~!:@]/.test(character)) return character
          const hex = [...Buffer.from(character)]
            .map((byte) => `%${byte.toString(16).padStart(2, '0')}`)
            .join('')
          return (choice + shift) % 3 === 1 ? hex : hex.toUpperCase()
        })
        .join('')
    fc.assert(
      fc.property(spelled, (parts) => {
        const found = [0, 1, 2].map((shift) =>
          decide(policy, head('DELETE', `/things/${write(parts, shift)}`)),
        )
        expect(new Set(found).size).toBe(1)
        expect(decide(policy, head('DELETE', `/things/${write(parts, 0)}/`))).toBe(found[0])
      }),
    )
  })

  it('never reads two different things as one lock', () => {
    const policy = policyOf(`
  - { id: pair, path: "/pair", query: { capture: { a: a, b: b } }, effect: mutate, locks: "x/{a}/{b}" }`)
    expect(decide(policy, head('PUT', '/pair?a=a/b&b=c'))).toBe('pair x/a%2Fb/c')
    expect(decide(policy, head('PUT', '/pair?a=a%252Fb&b=c'))).toBe('bad-request')
    expect(decide(policy, head('PUT', '/pair?a=a%25&b=c'))).toBe('pair x/a%25/c')
    const value = fc.string({ unit: fc.constantFrom(...Array.from('ab/%2F ')), minLength: 1, maxLength: 6 })
    const lock = (a: string, b: string) =>
      decide(policy, head('PUT', `/pair?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}`))
    fc.assert(
      fc.property(value, value, value, value, (a, b, c, d) => {
        const both = [lock(a, b), lock(c, d)]
        if (both.includes('bad-request')) return
        expect(both[0] === both[1]).toBe(a === c && b === d)
      }),
    )
  })

  it('refuses a mutation whose lock cannot be named, or takes the default lock where the rule says so', () => {
    const policy = policyOf(`
  - { id: strict, path: "/s/{id}", effect: mutate, locks: "x/{id|uuid}" }
  - { id: lax, path: "/l/{id}", effect: mutate, locks: "x/{id|uuid}", unfilled: default_lock }
  - { id: dashed, path: /d, query: { capture: { name: name } }, effect: mutate, locks: "x/a-{name}" }
  - { id: query, path: /q, query: { capture: { name: name } }, effect: mutate, locks: "x/{name}" }`)
    const uuid = '5AA1F3D2-0000-4000-8000-000000000001'
    expect(decide(policy, head('PUT', `/s/${uuid}`))).toBe(`strict x/${uuid.toLowerCase()}`)
    expect(decide(policy, head('PUT', '/s/other'))).toBe('bad-request')
    expect(decide(policy, head('PUT', '/l/other'))).toBe('lax small')
    expect(decide(policy, head('PUT', '/d?name='))).toBe('bad-request')
    expect(decide(policy, head('PUT', '/q'))).toBe('bad-request')
    expect(decide(policy, head('PUT', '/q?name='))).toBe('bad-request')
    expect(decide(policy, head('PUT', '/q?name=a&name=b'))).toBe('bad-request')
    expect(decide(policy, head('PUT', '/q?name=a&n%61me=a'))).toBe('bad-request')
    expect(decide(policy, head('PUT', `/q?name=${'a'.repeat(1025)}`))).toBe('bad-request')
    expect(decide(policy, head('PUT', '/q?name=a%20b'))).toBe('query x/a b')
  })

  it('needs one lock for each item of an array, once, and the stronger mode where two rules of it meet', () => {
    const policy = policyOf(`
  - id: many
    path: /many
    json: { capture: { ids: /ids/*/id, from: /from } }
    effect: mutate
    locks: [{ lock: "x/{from}", mode: shared }, { lock: "x/{ids}", each: ids }]`)
    const ids = (...names: unknown[]) => names.map((id) => ({ id }))
    expect(decide(policy, head('POST', '/many'), { from: 'f', ids: ids('a', 'b', 'a') })).toBe(
      'many x/f! x/a x/b',
    )
    expect(decide(policy, head('POST', '/many'), { from: 'a', ids: ids('a', 7) })).toBe('many x/a x/7')
    expect(decide(policy, head('POST', '/many'), { from: 'a', ids: [] })).toBe('bad-request')
    expect(decide(policy, head('POST', '/many'), { from: 'a', ids: ids('a', {}) })).toBe('bad-request')
    expect(decide(policy, head('POST', '/many'), { from: 'a', ids: ids(1.5) })).toBe('bad-request')
    const far = ids(...Array.from({ length: 300 }, (_, i) => `n${i}`))
    expect(decide(policy, head('POST', '/many'), { from: 'a', ids: far })).toBe('bad-request')
  })

  it('finds a rule by what a query member says', () => {
    const policy = policyOf(`
  - { id: add, method: GET, path: /cgi, query: { match: { func: [add, remove] }, capture: { lun: lun } }, effect: mutate, locks: "lun/{lun}" }
  - { id: list, method: GET, path: /cgi, query: { match: { func: list } }, effect: read }
  - { id: bare, method: GET, path: /cgi, query: { absent: [func] }, effect: read }`)
    expect(decide(policy, head('GET', '/cgi?func=remove&lun=3'))).toBe('add lun/3')
    expect(decide(policy, head('GET', '/cgi?lun=3&func=list'))).toBe('list')
    expect(decide(policy, head('GET', '/cgi?x=1'))).toBe('bare')
    expect(decide(policy, head('GET', '/cgi?func=format'))).toBe('default small')
    expect(decide(policy, head('GET', '/cgi?func=list&func=add'))).toBe('bad-request')
    expect(decide(policy, head('GET', '/cgi?func=format&func=add'))).toBe('bad-request')
    expect(decide(policy, head('GET', '/cgi?fun%63=add&lun=%33'))).toBe('add lun/3')
    for (const other of ['Func=list', 'FUNC=add', 'func=add&lun=3&LUN=4', 'func=list&Func=add'])
      expect([other, decide(policy, head('GET', `/cgi?${other}`))]).toEqual([other, 'bad-request'])
  })

  it('takes captures apart by the named groups of an RE2 pattern', () => {
    const policy = policyOf(`
  - { id: r, path: "/i/{ref}", where: { ref: "Volume::(?P<id>[0-9a-f]+)" }, effect: mutate, locks: "v/{id}" }`)
    expect(decide(policy, head('POST', '/i/Volume::af12'))).toBe('r v/af12')
    expect(decide(policy, head('POST', '/i/Volume%3A%3Aaf12'))).toBe('r v/af12')
    expect(decide(policy, head('POST', '/i/Volume::af12x'))).toBe('default small')
  })

  it('asks for the body only where a rule at the path has to see it', () => {
    const policy = policyOf(
      `
  - { id: act, method: POST, path: "/act/{id}", json: { key: go }, effect: mutate, locks: "x/{id}" }`,
      'body_limit: 2048',
    )
    expect(policy.bodyBytesNeeded(head('POST', '/act/1'))).toBe(2048)
    expect(policy.bodyBytesNeeded(head('PUT', '/act/1'))).toBe(0)
    expect(policy.bodyBytesNeeded(head('DELETE', '/things/1'))).toBe(0)
    expect(policy.bodyBytesNeeded(head('POST', '/a//b'))).toBe(0)
    expect(decide(policy, head('POST', '/act/1'), 'x'.repeat(4096))).toBe('too-large')
  })

  it('refuses a body that the policy has to see and that two parsers could read differently', () => {
    const policy = policyOf(`
  - { id: act, method: POST, path: /act, json: { key: go, capture: { id: /go/id } }, effect: mutate, locks: "x/{id}" }`)
    const raw = (body: string, headers = {}) =>
      policy.classify(head('POST', '/act', headers), Buffer.from(body)).kind
    const good = '{"go":{"id":"1"}}'
    expect(raw(good)).toBe('call')
    expect(raw(good, { 'content-type': 'application/json; charset="UTF-8"' })).toBe('call')
    expect(raw(good, { 'content-encoding': 'identity' })).toBe('call')
    expect(raw('{"go":{"id":"1"},"stop":{}}')).toBe('refused')
    expect(raw('{}')).toBe('refused')
    expect(raw('[]')).toBe('refused')
    expect(raw('')).toBe('refused')
    expect(raw('{"go":{"id":"1","ID":"2"}}')).toBe('refused')
    expect(raw(good, { 'content-encoding': 'gzip' })).toBe('refused')
    expect(raw(good, { 'content-type': 'application/json; charset=utf-16' })).toBe('refused')
    expect(raw(good, { 'content-type': 'application/json; charset=utf-8; charset=utf-7' })).toBe('refused')
    expect(raw(good, { 'content-type': 'application/json; charset=utf-8; charset=utf-8' })).toBe('refused')
    expect(raw(good, { 'content-type': 'application/x-www-form-urlencoded' })).toBe('refused')
    expect(raw(good, { 'content-type': 'application/json, text/xml' })).toBe('refused')
    expect(policy.classify(head('POST', '/act'), null).kind).toBe('refused')
  })

  it('takes what an object holds besides for another call, where a rule names the one key that it may have', () => {
    const policy = policyOf(
      `
  - { id: grow, method: POST, path: /g, json: { only: { /do: grow, /do/grow: [size, more] } }, effect: mutate, locks: "a/b" }
  - { id: rest, method: POST, path: /g, json: {}, effect: mutate }`.replace('locks: grown', 'locks: "a/b"'),
    )
    const post = head('POST', '/g')
    expect(decide(policy, post, { do: { grow: { size: 3 } }, wait: true })).toBe('grow a/b')
    expect(decide(policy, post, { do: { grow: { more: null } } })).toBe('grow a/b')
    for (const other of [
      { do: { grow: { size: 3 }, shrink: {} } },
      { do: { grow: { size: 3, less: 1 } } },
      { do: { grow: { less: 1 } } },
      { do: { grow: [{ size: 3 }] } },
      { do: { grow: 'size' } },
      { do: {} },
      { do: null },
      {},
      [],
    ])
      expect([other, decide(policy, post, other)]).toEqual([other, 'rest small'])
    expect(decide(policy, post, { do: { Grow: { size: 3 } } })).toBe('bad-request')
    const twice = Buffer.from('{"do":{"grow":{"size":1}},"do":{"shrink":{}}}')
    expect(policy.classify(post, twice).kind).toBe('refused')
  })

  it('reads an empty body as an empty object where all rules at its place say that it may be left out', () => {
    const policy = policyOf(`
  - { id: same, method: DELETE, path: "/l/{id}", json: { body: optional, capture: { other: /id } }, effect: mutate, locks: ["l/{id}", { lock: "l/{other}", optional: true }] }
  - { id: strict, method: PUT, path: "/l/{id}", json: { body: optional, has: [/id] }, effect: mutate }
  - { id: strict-too, method: PUT, path: "/l/{id}", json: {}, effect: mutate }`)
    expect(decide(policy, head('DELETE', '/l/1'))).toBe('same l/1')
    expect(decide(policy, head('DELETE', '/l/1'), { id: 2 })).toBe('same l/1 l/2')
    expect(decide(policy, head('DELETE', '/l/1'), { id: '1' })).toBe('same l/1')
    for (const broken of ['{', ' ', 'null,'])
      expect(policy.classify(head('DELETE', '/l/1'), Buffer.from(broken)).kind).toBe('refused')
    expect(decide(policy, head('DELETE', '/l/1'), {})).toBe('same l/1')
    expect(policy.bodyBytesNeeded(head('DELETE', '/l/1'))).toBeGreaterThan(0)
    expect(decide(policy, head('PUT', '/l/1'))).toBe('bad-request')
  })

  it('refuses a SOAP argument that stands in two places, one of which a parser may not see', () => {
    const policy = policyOf(`
  - { id: s, path: /s, soap: { namespace: u, capture: { v: spec/name } }, effect: mutate, locks: "x/{v}" }`)
    const call = (inner: string) =>
      policy.classify(
        head('POST', '/s'),
        Buffer.from(
          `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><M xmlns="u">${inner}</M></e:Body></e:Envelope>`,
        ),
      ).kind
    expect(call('<spec><name>a</name></spec>')).toBe('call')
    expect(call('<spec><name>a</name></spec><spec/>')).toBe('refused')
    expect(call('<spec><name>a</name><name>a</name></spec>')).toBe('refused')
    expect(call('<spec><name>a<b/></name></spec>')).toBe('refused')
  })

  it('refuses headers that would make another call of this one, unless the pack ignores them', () => {
    for (const name of [
      'x-http-method-override',
      'x-http-method',
      'x-method-override',
      'x-original-url',
      'x-rewrite-url',
    ])
      expect(decide(policyOf(''), head('GET', '/taken', { [name]: 'DELETE' }))).toBe('bad-request')
    const lax = policyOf('', 'overriding_headers: ignore')
    expect(decide(lax, head('GET', '/taken', { 'x-http-method-override': 'DELETE' }))).toBe('first')
  })

  it('refuses what a backend may take for a form, at any path, where its pack says that forms change the call', () => {
    const policy = policyOf('', 'form_bodies: refuse')
    const code = (headers: Readonly<Record<string, string>>, method = 'POST') => {
      const found = policy.classify(callHead(method, '/anywhere', headers), null)
      return found.kind === 'refused' ? found.refusal.code : found.kind
    }
    for (const length of [{ 'content-length': '7' }, { 'transfer-encoding': 'chunked' }]) {
      for (const type of [
        'application/x-www-form-urlencoded',
        'Application/X-WWW-Form-URLEncoded; charset=utf-8',
        'multipart/form-data; boundary=a',
        'application/json, multipart/form-data',
        ' ',
      ])
        for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'])
          expect([type, code({ ...length, 'content-type': type }, method)]).toEqual([type, 'bad-request'])
      expect(code(length)).toBe('bad-request')
      expect(code({ ...length, 'content-type': 'application/json' })).toBe('call')
    }
    expect(code({})).toBe('call')
    expect(code({ 'content-length': '0', 'content-type': 'application/x-www-form-urlencoded' })).toBe('call')
    const lenient = policyOf('').classify(callHead('POST', '/anywhere', { 'content-length': '7' }), null)
    expect(lenient.kind).toBe('call')
  })

  it('explains what matched, and why the others at the same place did not', () => {
    const policy = policyOf(`
  - { id: a, method: POST, path: /e, json: { key: one }, effect: read }
  - { id: b, method: POST, path: /e, json: { has: [/two/x] }, effect: read }
  - { id: c, method: POST, path: /e, json: {}, effect: deny, reason: because }`)
    const { classification, trace } = policy.explain(head('POST', '/e'), Buffer.from('{"two":{}}'))
    expect(classification).toEqual(policy.classify(head('POST', '/e'), Buffer.from('{"two":{}}')))
    expect(trace).toEqual([
      'a: its json-key is another',
      'b: there is no json /two/x',
      'c: matches (because)',
    ])
    expect(policy.explain(head('PATCH', '/e'), null).trace).toEqual([
      'a: the method is not PATCH',
      'b: the method is not PATCH',
      'c: the method is not PATCH',
      'default: no rule covers PATCH /e',
    ])
  })

  it('never throws, whatever the call', () => {
    const policy = policyOf(`
  - { id: act, method: POST, path: "/act/{id}", json: { key: go, capture: { v: /go/v } }, effect: mutate, locks: "x/{id|uuid}/{v}" }
  - { id: soap, method: POST, path: /soap, soap: { namespace: u, capture: { v: a/b@c } }, effect: mutate, locks: "x/{v}" }`)
    const target = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('/act/1', '/soap', '/things/%ff', '/act/a?b=c'),
    )
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'POST', 'get', ''),
        target,
        fc.uint8Array({ maxLength: 60 }),
        (method, path, body) => {
          policy.bodyBytesNeeded(head(method, path))
          policy.explain(head(method, path), Buffer.from(body))
          policy.classify(head(method, path), null)
        },
      ),
      { numRuns: 2000 },
    )
  })

  it('costs the same with a thousand rules as with ten', () => {
    const rules = (count: number) =>
      Array.from(
        { length: count },
        (_, i) => `
  - { id: r${i}, method: POST, path: "/r${i}/{id}", effect: mutate, locks: "x/{id}" }
  - { id: k${i}, method: POST, path: /keys, json: { key: k${i} }, effect: mutate, locks: x/k }`,
      ).join('')
    const cost = (policy: Policy): number => {
      const path = head('POST', '/r7/1')
      const keys = head('POST', '/keys')
      const body = Buffer.from('{"k7":{}}')
      const round = () => {
        const start = process.cpuUsage()
        for (let i = 0; i < 20_000; i++) {
          policy.classify(path, null)
          policy.classify(keys, body)
        }
        return process.cpuUsage(start).user
      }
      round()
      return Math.min(round(), round(), round())
    }
    expect(cost(policyOf(rules(1000)))).toBeLessThan(3 * cost(policyOf(rules(10))))
  })
})
