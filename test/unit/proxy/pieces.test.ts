import { expect, test } from 'vitest'
import { Pieces } from '../../../gateway/proxy/pieces.ts'
import fc from '../../support/fast-check.ts'

test('a body is what came of it, whatever pieces it came in', () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc.integer({ min: 1_000, max: 20_000 }).map((length) => new Uint8Array(length).fill(length % 251)),
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (list) => {
      const pieces = new Pieces()
      const copies = list.map((bytes) => Buffer.from(bytes))
      for (const copy of copies) pieces.add(copy)
      const all = Buffer.concat(list)
      expect(pieces.bytes).toBe(all.length)
      expect(Buffer.concat(pieces.list()).equals(all)).toBe(true)
    }),
  )
})

test('a body that comes a byte at a time is few objects, and keeps nothing of what was read with it', () => {
  const pieces = new Pieces()
  const read = Buffer.alloc(64 * 1024, 'abcd')
  for (let i = 0; i < 100_000; i++) pieces.add(read.subarray(i % 4, (i % 4) + 1))
  const list = pieces.list()
  expect(list.length).toBeLessThan(10)
  const kept = new Set(list.map(({ buffer }) => buffer))
  expect(kept).not.toContain(read.buffer)
  expect([...kept].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThan(200_000)
  expect(Buffer.concat(list).toString()).toBe('abcd'.repeat(25_000))
})
