import { describe, expect, it } from 'vitest'
import { callHead } from '../../../gateway/spi/policy.ts'
import fc from '../../support/fast-check.ts'
import { policyOf } from './small-pack.ts'

const policy = policyOf(`
  - { id: list, path: "/rpc/{version}", method: POST, jsonrpc: { matches: "(List|Get).*" }, effect: read }
  - { id: log-in, path: "/rpc/{version}", method: POST, jsonrpc: { method: LogIn }, effect: session }
  - { id: never, path: "/rpc/{version}", method: POST, jsonrpc: { method: Reset }, effect: deny }
  - id: change
    path: "/rpc/{version}"
    method: POST
    jsonrpc: { method: [Modify, Delete], capture: { thing: /volumeID } }
    effect: mutate
    locks: "rpc/{thing|integer}"
  - id: several
    path: "/rpc/{version}"
    method: POST
    jsonrpc: { method: ModifyMany, capture: { things: /volumeIDs/* } }
    effect: mutate
    locks: { lock: "rpc/{things|integer}", each: things }
  - id: copy
    path: "/rpc/{version}"
    method: POST
    jsonrpc: { method: Copy, capture: { thing: /from, target: /to, version_of: /version } }
    effect: mutate
    locks:
      - { lock: "rpc/{thing|integer}", mode: shared }
      - { lock: "rpc/{target|integer}", optional: true }
    job:
      kind: http
      statuses: [200]
      id: /result/asyncHandle
      probe: "/rpc/{version}"
      probe_json: { method: GetAsyncResult, params: { asyncHandle: "{id|integer}", of: "{version}", keepResult: true } }
      pointer: /result/status
      terminal: [complete]`)

const head = callHead('POST', '/rpc/8.0', {})
const classify = (body: unknown) =>
  policy.classify(head, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)))
const change = (volumeID: unknown, id?: unknown) => ({ method: 'Modify', params: { volumeID }, id })

describe('a rule on JSON-RPC', () => {
  it('is found by the method; what no rule knows is a mutation under the default lock', () => {
    expect(classify({ method: 'ListThings', id: 1 })).toMatchObject({
      rule: 'list',
      effect: 'read',
      callId: '1',
    })
    expect(classify(change(7, 'a'))).toMatchObject({ locks: [{ name: 'rpc/7' }], callId: '"a"' })
    expect(classify({ method: 'Shutdown', id: 2 })).toMatchObject({
      rule: 'default',
      effect: 'mutate',
      callId: '2',
    })
    expect(classify({ method: 'modify', params: { volumeID: 7 } })).toMatchObject({ kind: 'refused' })
  })

  it('takes numbers and texts of one value for one lock, and nothing that could be rounded', () => {
    expect(classify(change('7'))).toMatchObject({ locks: [{ name: 'rpc/7' }] })
    for (const odd of ['7.0', '7e0', '"07"', '-7', '[7]', '{"a":7}', '""'])
      expect(classify(`{"method":"Modify","params":{"volumeID":${odd}}}`)).toMatchObject({ kind: 'refused' })
    expect(classify('{"method":"Modify","params":{"volumeid":1,"volumeID":7}}')).toMatchObject({
      kind: 'refused',
    })
  })

  it('needs an optional lock only where the call says what it is', () => {
    expect(classify({ method: 'Copy', params: { from: 1 } })).toMatchObject({
      locks: [{ name: 'rpc/1', mode: 'shared' }],
    })
    expect(classify({ method: 'Copy', params: { from: 1, to: 2 } })).toMatchObject({
      locks: [{ name: 'rpc/1', mode: 'shared' }, { name: 'rpc/2' }],
    })
    expect(classify({ method: 'Copy', params: { from: 1, to: '' } })).toMatchObject({ kind: 'refused' })
    expect(classify({ method: 'Copy', params: { to: 2 } })).toMatchObject({ kind: 'refused' })
  })

  it('refuses a call for more things than locks are taken for', () => {
    const many = (count: number) => ({
      method: 'ModifyMany',
      params: { volumeIDs: Array.from({ length: count }, (_, i) => i) },
    })
    expect(classify(many(256))).toMatchObject({ kind: 'call' })
    expect(classify(many(257))).toMatchObject({ kind: 'refused' })
    expect(classify(many(0))).toMatchObject({ kind: 'refused' })
  })

  it('asks about a job by its number, with JSON', () => {
    const found = classify({ method: 'Copy', params: { from: 1 } })
    if (found.kind !== 'call' || found.job === null) throw new Error('the call may start a job')
    const named = found.job.read(
      200,
      Buffer.from('{"id":null,"result":{"asyncHandle":12345678901234567890}}'),
    )
    expect(named).toMatchObject({
      kind: 'job',
      id: 'copy:12345678901234567890',
      probe: {
        target: '/rpc/8.0',
        terminalValues: ['complete'],
        request: {
          type: 'application/json',
          body: '{"method":"GetAsyncResult","params":{"asyncHandle":12345678901234567890,"of":"8.0","keepResult":true}}',
        },
      },
    })
    expect(found.job.read(200, Buffer.from('{"result":{"asyncHandle":"x"}}'))).toMatchObject({
      kind: 'unreadable',
    })
  })
})

describe('a batch', () => {
  it('is all its calls together', () => {
    expect(classify([{ method: 'List' }, change(1, 5), change('1', 6), change(2, 'x')])).toMatchObject({
      effect: 'mutate',
      rule: 'list+change',
      locks: [{ name: 'rpc/1' }, { name: 'rpc/2' }],
      callId: '[null,5,6,"x"]',
    })
    expect(classify([{ method: 'List' }, { method: 'GetIt' }])).toMatchObject({ effect: 'read', locks: [] })
    expect(classify([{ method: 'List' }, { method: 'LogIn' }])).toMatchObject({ effect: 'session' })
    expect(classify([{ method: 'List' }, { method: 'Unheard' }])).toMatchObject({
      effect: 'mutate',
      rule: 'list+default',
      locks: [{ name: 'small' }],
    })
  })

  it('is denied for one call, and refused for one', () => {
    expect(classify([change(1), { method: 'Reset' }])).toMatchObject({ effect: 'deny', locks: [] })
    expect(classify([change(1), change('x')])).toMatchObject({ kind: 'refused' })
    expect(classify([{ method: 'List' }, { method: 'Copy', params: { from: 1 } }])).toMatchObject({
      kind: 'refused',
    })
  })

  it('never asks for less than each of its calls alone', () => {
    const one = fc.oneof(
      fc.constantFrom({ method: 'List' }, { method: 'LogIn' }, { method: 'Reset' }, { method: 'Unheard' }),
      fc.nat(5).map((id) => change(id, id)),
      fc
        .array(fc.nat(5), { maxLength: 3 })
        .map((volumeIDs) => ({ method: 'ModifyMany', params: { volumeIDs } })),
      fc.nat(5).map((from) => ({ method: 'Copy', params: { from } })),
    )
    const order = ['read', 'session', 'mutate', 'deny']
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 6 }), (calls) => {
        const whole = classify(calls)
        for (const call of calls) {
          const alone = classify(call)
          if (alone.kind === 'refused') expect(whole.kind).toBe('refused')
          if (whole.kind === 'refused' || alone.kind === 'refused') continue
          expect(order.indexOf(whole.effect)).toBeGreaterThanOrEqual(order.indexOf(alone.effect))
          if (whole.effect === 'mutate') expect(whole.locks).toEqual(expect.arrayContaining([...alone.locks]))
        }
      }),
    )
  })
})
