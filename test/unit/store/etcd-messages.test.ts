import { describe, expect, it } from 'vitest'
import { asLeaseId } from '../../../gateway/core/names.ts'
import { leaseAnswer, leaseRequest } from '../../../gateway/store/etcd/lease-messages.ts'
import { rangeAnswer, transactionAnswer, watchAnswer } from '../../../gateway/store/etcd/messages.ts'
import { MalformedMessage, ProtobufReader, ProtobufWriter } from '../../../gateway/store/etcd/protobuf.ts'
import fc from '../../support/fast-check.ts'

interface Pair {
  readonly key: string
  readonly value: string
  readonly createRevision: number
  readonly modRevision: number
  /** In 64 bits; 0: none. */
  readonly lease: bigint
}

const pair: fc.Arbitrary<Pair> = fc.record({
  key: fc.string({ minLength: 1, unit: 'grapheme' }),
  value: fc.string({ unit: 'grapheme' }),
  createRevision: fc.maxSafeNat(),
  modRevision: fc.maxSafeNat(),
  lease: fc.oneof(
    fc.constant(0n),
    fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
    // Its lower half begins with zeros.
    fc.bigInt({ min: 1n, max: 2n ** 31n }).map((high) => (high << 32n) | 1n),
  ),
})

/** As etcd writes it: what is 0 is left out. */
function pairMessage({ key, value, createRevision, modRevision, lease }: Pair): ProtobufWriter {
  const message = new ProtobufWriter().text(1, key)
  if (createRevision > 0) message.number(2, createRevision)
  if (modRevision > 0) message.number(3, modRevision)
  message.number(4, 1)
  if (value !== '') message.text(5, value)
  return lease === 0n ? message : message.hexadecimal(6, lease.toString(16))
}

function read({ lease, ...rest }: Pair) {
  return { ...rest, lease: lease === 0n ? null : lease.toString(16) }
}

const revisions = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const header = (revision: number) => new ProtobufWriter().number(1, 7).number(3, revision).number(4, 2)
const answerAt = (revision: number) => new ProtobufWriter().message(1, header(revision))

describe('what etcd answers', () => {
  it('to a read holds every pair as it is, and the last key in bytes', () => {
    fc.assert(
      fc.property(fc.array(pair), revisions, fc.boolean(), (pairs, revision, more) => {
        const message = answerAt(revision)
        for (const each of pairs) message.message(2, pairMessage(each))
        if (more) message.number(3, 1)
        message.number(4, pairs.length)
        const last = pairs.at(-1)?.key
        const answer = rangeAnswer(message.finish())
        expect(answer.items()).toEqual(pairs.map(read))
        expect(answer).toMatchObject({
          revision,
          lastKey: last === undefined ? null : Buffer.from(last),
          more,
        })
      }),
    )
  })

  it('on a watch holds every event, at its own revision', () => {
    const event = fc.record({ isDelete: fc.boolean(), pair })
    fc.assert(
      fc.property(fc.array(event), fc.maxSafeNat(), (events, revision) => {
        const message = answerAt(revision)
        for (const { isDelete, pair: each } of events) {
          const inner = new ProtobufWriter()
          if (isDelete) inner.number(1, 1)
          message.message(11, inner.message(2, pairMessage(each)))
        }
        const answer = watchAnswer(message.finish())
        expect(answer).toMatchObject({ revision, isOfStream: false, created: false, cancelled: null })
        expect(answer.events).toEqual(
          events.map(({ isDelete, pair: each }) => ({
            revision: each.modRevision,
            key: Buffer.from(each.key),
            event: isDelete ? { type: 'delete', key: each.key } : { type: 'put', kv: read(each) },
          })),
        )
      }),
    )
  })

  it('on a watch says whether it is about the stream, a beginning, an end or a gap', () => {
    const answer = (message: ProtobufWriter) => watchAnswer(message.finish())
    expect(answer(answerAt(5).hexadecimal(2, 'f'.repeat(16)))).toMatchObject({
      revision: 5,
      isOfStream: true,
    })
    expect(answer(answerAt(5).number(2, 3))).toMatchObject({ isOfStream: false })
    expect(answer(answerAt(5).number(3, 1))).toMatchObject({ created: true, cancelled: null, compactedTo: 0 })
    expect(answer(answerAt(5).number(4, 1))).toMatchObject({ cancelled: '' })
    expect(answer(answerAt(5).number(4, 1).text(6, 'no leader'))).toMatchObject({ cancelled: 'no leader' })
    expect(answer(answerAt(5).number(4, 1).number(5, 9))).toMatchObject({ compactedTo: 9 })
    expect(answer(answerAt(5).number(7, 1))).toMatchObject({ fragment: true })
  })

  it('to a transaction of transactions tells of each', () => {
    const inner = (succeeded: boolean) => {
      const message = new ProtobufWriter().message(1, new ProtobufWriter())
      return new ProtobufWriter().message(4, succeeded ? message.number(2, 1) : message)
    }
    const message = answerAt(12)
      .number(2, 1)
      .message(3, inner(true))
      .message(3, inner(false))
      .message(3, inner(true))
    expect(transactionAnswer(message.finish())).toEqual({
      revision: 12,
      succeeded: true,
      each: [true, false, true],
    })
  })

  it('is none where it names no revision: nobody is to take an empty message for an empty store', () => {
    for (const message of [Buffer.alloc(0), answerAt(0).finish()]) {
      expect(() => rangeAnswer(message)).toThrow(MalformedMessage)
      expect(() => transactionAnswer(message)).toThrow(MalformedMessage)
    }
  })

  it('is refused where a revision is more than a number holds exactly', () => {
    const message = new ProtobufWriter().message(1, new ProtobufWriter().hexadecimal(3, '20000000000000'))
    expect(() => rangeAnswer(message.finish())).toThrow(/past 2\^53/)
  })
})

describe('a lease', () => {
  it('goes out as its 64 bits, and comes back as the same digits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), fc.nat({ max: 1e9 }), (number, seconds) => {
        const lease = asLeaseId(number.toString(16))
        if (lease === null) throw new Error('no lease')
        const asked = new ProtobufReader(leaseRequest(lease))
        expect(asked.field()).toBe(1)
        asked.number()
        expect((BigInt(asked.high) << 32n) | BigInt(asked.low)).toBe(number)
        const answer = new ProtobufWriter().hexadecimal(2, lease).number(3, seconds).finish()
        expect(leaseAnswer(answer)).toEqual({ lease, ttlMs: seconds * 1000 })
      }),
    )
  })

  it('is over where etcd gives it no time, or less than none', () => {
    const over = (digits: string) => new ProtobufWriter().hexadecimal(2, '7').hexadecimal(3, digits).finish()
    expect(leaseAnswer(over('ffffffffffffffff')).ttlMs).toBe(0)
    expect(leaseAnswer(new ProtobufWriter().hexadecimal(2, '7').finish()).ttlMs).toBe(0)
  })
})
