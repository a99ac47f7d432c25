import { describe, expect, test } from 'vitest'
import type { AnswerReader } from '../../../../gateway/proxy/wire/answer-reader.ts'
import { AnswerStream, type AnswerTaker } from '../../../../gateway/proxy/wire/answer-stream.ts'
import fc from '../../../support/fast-check.ts'

class Taken implements AnswerTaker {
  status = 0
  readonly interims: number[] = []
  body = ''
  trailer = ''
  clean: boolean | null = null
  fault: string | null = null

  interim(reader: AnswerReader): void {
    this.interims.push(reader.status)
  }
  head(reader: AnswerReader): void {
    this.status = reader.status
  }
  whole(reader: AnswerReader, body: string): void {
    this.status = reader.status
    this.body = body
  }
  piece(bytes: Buffer): void {
    this.body += bytes.toString('latin1')
  }
  end(trailer: string, clean: boolean): void {
    this.trailer = trailer
    this.clean = clean
  }
  malformed(reason: string): void {
    this.fault = reason
  }
}

/** What a taker is told where the bytes come in pieces of these lengths, each in a buffer with other bytes behind. */
function taken(text: string, lengths: readonly number[]): { told: Taken; unread: number } {
  const stream = new AnswerStream()
  stream.begin('GET', 1_000)
  const told = new Taken()
  let at = 0
  for (let i = 0; at < text.length && told.clean === null && told.fault === null; i++) {
    const piece = text.slice(at, at + (lengths[i] ?? text.length))
    stream.read(Buffer.from(`${piece}HTTP/1.1 200 OK\r\n\r\n`, 'latin1'), piece.length, told)
    at += piece.length
  }
  return { told, unread: text.length - at }
}

const body = fc.string({ unit: fc.constantFrom('\0', '\r\n\r\n', 'ÿ', 'a'), minLength: 1, maxLength: 40 })
const extra = fc.constantFrom('', 'X', '\r\n\r\n')
const interim = fc.constantFrom('', 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')

function answer(framing: 'length' | 'empty' | 'chunked' | 'none', content: string): string {
  if (framing === 'none') return 'HTTP/1.1 204 No Content\r\n\r\n'
  if (framing === 'empty') return 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
  if (framing === 'length') return `HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n${content}`
  const size = content.length.toString(16)
  return `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${size}\r\n${content}\r\n0\r\nX-A: 1\r\n\r\n`
}

describe('the stream of an answer', () => {
  test('is the same in whatever pieces it comes, and is clean only where nothing came behind it', () => {
    fc.assert(
      fc.property(
        interim,
        fc.constantFrom('length', 'empty', 'chunked', 'none'),
        body,
        extra,
        fc.array(fc.integer({ min: 1, max: 30 })),
        (before, framing, content, behind, lengths) => {
          const { told, unread } = taken(`${before}${answer(framing, content)}${behind}`, lengths)
          expect(told).toMatchObject({
            status: framing === 'none' ? 204 : 200,
            interims: before === '' ? [] : [103],
            body: framing === 'none' || framing === 'empty' ? '' : content,
            trailer: framing === 'chunked' ? 'X-A: 1\r\n' : '',
            clean: unread === behind.length,
            fault: null,
          })
        },
      ),
    )
  })

  test('is not over before its last byte, however it came', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('length', 'chunked'),
        body,
        fc.array(fc.integer({ min: 1, max: 30 })),
        (framing, content, lengths) => {
          const { told } = taken(answer(framing, content).slice(0, -1), lengths)
          expect(told).toMatchObject({ clean: null, fault: null })
        },
      ),
    )
  })

  test('may be longer than what is read as one text', () => {
    const content = 'x'.repeat(100_000)
    const { told } = taken(answer('length', content), [20_000, 1, 50_000])
    expect(told).toMatchObject({ status: 200, body: content, clean: true })
  })

  test('is malformed where its head does not end', () => {
    expect(taken(`HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(2_000)}`, [100]).told.fault).toMatch(/larger/)
  })
})
