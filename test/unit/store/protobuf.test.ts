import { describe, expect, it } from 'vitest'
import { MalformedMessage, ProtobufReader, ProtobufWriter } from '../../../gateway/store/etcd/protobuf.ts'
import fc from '../../support/fast-check.ts'

const field = fc.integer({ min: 1, max: 536_870_911 })

function firstField(bytes: Buffer): ProtobufReader {
  const reader = new ProtobufReader(bytes)
  reader.field()
  return reader
}

describe('a message', () => {
  it('gives back what was written, field by field', () => {
    const written = fc.oneof(
      fc.record({ kind: fc.constant('number' as const), field, value: fc.maxSafeNat() }),
      fc.record({ kind: fc.constant('text' as const), field, value: fc.string({ unit: 'grapheme' }) }),
      fc.record({ kind: fc.constant('bytes' as const), field, value: fc.uint8Array() }),
      fc.record({ kind: fc.constant('message' as const), field, value: fc.maxSafeNat() }),
    )
    fc.assert(
      fc.property(fc.array(written), (fields) => {
        const writer = new ProtobufWriter()
        for (const each of fields)
          if (each.kind === 'number') writer.number(each.field, each.value)
          else if (each.kind === 'text') writer.text(each.field, each.value)
          else if (each.kind === 'bytes') writer.bytes(each.field, Buffer.from(each.value))
          else writer.message(each.field, new ProtobufWriter().number(7, each.value))
        const reader = new ProtobufReader(writer.finish())
        for (const each of fields) {
          expect(reader.field()).toBe(each.field)
          if (each.kind === 'number') expect(reader.number()).toBe(each.value)
          else if (each.kind === 'text') expect(reader.text()).toBe(each.value)
          else if (each.kind === 'bytes') expect(new Uint8Array(reader.bytes())).toEqual(each.value)
          else {
            const inner = reader.message()
            expect([inner.field(), inner.number(), inner.field()]).toEqual([7, each.value, 0])
          }
        }
        expect(reader.field()).toBe(0)
      }),
    )
  })

  it('holds 64 bits of a number in two halves', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), (value) => {
        const reader = firstField(new ProtobufWriter().hexadecimal(1, value.toString(16)).finish())
        reader.number()
        expect((BigInt(reader.high) << 32n) | BigInt(reader.low)).toBe(value)
      }),
    )
  })

  it('is what the format says', () => {
    // The examples of its description: 150 in field 1, "testing" in field 2.
    expect(new ProtobufWriter().number(1, 150).finish().toString('hex')).toBe('089601')
    expect(new ProtobufWriter().text(2, 'testing').finish().toString('hex')).toBe('120774657374696e67')
  })

  it('may have fields of any kind that nobody knows', () => {
    // A number, 8 bytes, "abc", 4 bytes; then the field that is looked for.
    const reader = new ProtobufReader(
      Buffer.from('08ff01' + '110102030405060708' + '1a03616263' + '2501020304' + '2805', 'hex'),
    )
    for (const number of [1, 2, 3, 4]) {
      expect(reader.field()).toBe(number)
      reader.passOver()
    }
    expect([reader.field(), reader.number(), reader.field()]).toEqual([5, 5, 0])
  })

  it('that is cut off, or is none, is refused and not guessed at', () => {
    const readAll = (bytes: Buffer) => {
      const reader = new ProtobufReader(bytes)
      while (reader.field() !== 0) reader.passOver()
    }
    const faults = ['08', '08ff', '0a05616263', '0901020304', '0d0102', '0b']
    for (const fault of faults)
      expect(() => readAll(Buffer.from(fault, 'hex')), fault).toThrow(MalformedMessage)
    expect(() => firstField(Buffer.from('08ffffffffffffffffffff01', 'hex')).number()).toThrow(
      MalformedMessage,
    )
    expect(() => firstField(Buffer.from('0801', 'hex')).text()).toThrow(MalformedMessage)
    expect(() => firstField(Buffer.from('0a0161', 'hex')).number()).toThrow(MalformedMessage)
    // What lies behind an inner message is none of its own.
    const inner = firstField(Buffer.from('0a02080180', 'hex')).message()
    expect([inner.field(), inner.number(), inner.field()]).toEqual([1, 1, 0])
    const cut = firstField(Buffer.from('0a0108' + '1001', 'hex')).message()
    cut.field()
    expect(() => cut.number()).toThrow(MalformedMessage)
  })
})
