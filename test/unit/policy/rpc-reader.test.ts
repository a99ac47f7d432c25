import { describe, expect, it } from 'vitest'
import { RPC_CALLS_MAX, readRpc } from '../../../gateway/policy/rpc-reader.ts'
import fc from '../../support/fast-check.ts'

const read = (text: string) => readRpc(Buffer.from(text))

describe('readRpc', () => {
  it('reads a call, and the calls of a batch, with their ids as they were written', () => {
    expect(read('{"method":"A","params":{"x":1},"id":12345678901234567890}')).toMatchObject({
      ok: true,
      isBatch: false,
      calls: [{ method: 'A', id: '12345678901234567890' }],
    })
    expect(read('[{"method":"A","id":"x\\u0022"},{"method":"B"},{"method":"C","id":null}]')).toMatchObject({
      ok: true,
      isBatch: true,
      calls: [
        { method: 'A', id: '"x\\""', params: null },
        { method: 'B', id: 'null' },
        { method: 'C', id: 'null' },
      ],
    })
  })

  it.each([
    ['[]', 'an empty batch'],
    ['[[{"method":"A"}]]', 'a batch in a batch'],
    [`[${'{"method":"A"},'.repeat(RPC_CALLS_MAX)}{"method":"A"}]`, 'more calls than are taken'],
    ['"A"', 'no object'],
    ['{"Method":"A"}', 'a method in another case'],
    ['{"method":"A","Params":{}}', 'params in another case'],
    ['{"method":"A","method":"B"}', 'two methods'],
    ['{"method":"A","extra":1}', 'a member that calls do not have'],
    ['{"params":{}}', 'no method'],
    ['{"method":""}', 'an empty method'],
    ['{"method":["A"]}', 'a method that is no text'],
    ['{"method":"A B"}', 'a method with a space'],
    ['{"method":"A\\u0000"}', 'a method with NUL'],
    ['{"method":"A","params":"x"}', 'params that are a text'],
    ['{"method":"A","id":{}}', 'an id that is an object'],
    ['{"method":"A","id":true}', 'an id that is a boolean'],
    ['{"method":"A","params":{"x":1,"x":2}}', 'a param twice'],
    ['\ufeff{"method":"A"}', 'a byte order mark'],
    ['{"method":"A","id":"\\ud800"}', 'half a surrogate pair'],
    ['', 'nothing'],
  ])('refuses %s: %s', (text) => {
    expect(read(text).ok).toBe(false)
  })

  it('takes any bytes and any JSON without throwing, and reads of JSON what JSON.parse does', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void readRpc(Buffer.from(bytes))))
    const call = fc.record(
      { method: fc.constantFrom('A', 'List', 'a.b'), params: fc.jsonValue(), id: fc.jsonValue() },
      { requiredKeys: ['method'] },
    )
    fc.assert(
      fc.property(fc.oneof(call, fc.array(call, { maxLength: 4 }), fc.jsonValue()), (value) => {
        const reading = read(JSON.stringify(value))
        if (!reading.ok) return
        const parsed: unknown = JSON.parse(JSON.stringify(value))
        const list: readonly unknown[] = Array.isArray(parsed) ? parsed : [parsed]
        expect(reading.calls.map(({ method, id }) => ({ method, id: JSON.parse(id) }))).toEqual(
          list.map((one) => ({
            method: Object(one).method,
            id: Object(one).id ?? null,
          })),
        )
      }),
    )
  })
})
