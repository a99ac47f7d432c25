import { describe, expect, test } from 'vitest'
import { AnswerReader } from '../../../../gateway/proxy/wire/answer-reader.ts'
import { ChunkedReader } from '../../../../gateway/proxy/wire/chunked-reader.ts'
import fc from '../../../support/fast-check.ts'
import { afterHead, answerHead } from './heads.ts'
import { answerByNode } from './parsed-by-node.ts'

const RUNS = 4_000

function readBy(reader: AnswerReader, text: string, method: string): string | null {
  return reader.read(text, Buffer.from(text, 'latin1'), method)
}

/** The body that follows a head, as the reader frames it, and its bytes; null where it is not whole or not readable. */
function bodyBy(reader: AnswerReader, after: string): { body: string; bytes: string } | null {
  switch (reader.framing) {
    case 'none':
      return { body: '', bytes: '' }
    case 'length': {
      const body = after.slice(0, reader.contentLength)
      return body.length < reader.contentLength ? null : { body, bytes: body }
    }
    case 'close':
      return { body: after, bytes: after }
    case 'chunked': {
      const chunks = new ChunkedReader()
      const bytes = Buffer.from(after, 'latin1')
      let body = ''
      const end = chunks.read(bytes, 0, (from, to) => {
        body += bytes.toString('latin1', from, to)
      })
      return chunks.over ? { body, bytes: after.slice(0, end) } : null
    }
  }
}

describe('the reader of answers', () => {
  test.each([
    ['200 with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n', 'length', true],
    ['no reason', 'HTTP/1.1 200\r\nContent-Length: 3\r\n', 'length', true],
    ['an empty reason', 'HTTP/1.1 200 \r\nContent-Length: 3\r\n', 'length', true],
    ['chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n', 'chunked', true],
    ['an end by closing', 'HTTP/1.1 200 OK\r\n', 'close', false],
    ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 3\r\n', 'length', false],
    [
      'HTTP/1.0 that stays',
      'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n',
      'length',
      true,
    ],
    [
      'a connection that ends',
      'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n',
      'length',
      false,
    ],
    ['no content', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n', 'none', true],
    ['a reason in another script', 'HTTP/1.1 200 \xfc\r\nContent-Length: 3\r\n', 'length', true],
  ])('understands %s', (_what, head, framing, keepAlive) => {
    const reader = new AnswerReader()
    expect(readBy(reader, `${head}\r\n`, 'GET')).toBeNull()
    expect(reader).toMatchObject({ framing, keepAlive })
  })

  test('an answer to HEAD has no body, whatever it says', () => {
    const reader = new AnswerReader()
    expect(readBy(reader, 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n', 'HEAD')).toBeNull()
    expect(reader.framing).toBe('none')
  })

  test('passes every line on but those of this hop, and the verdict, which is ours alone', () => {
    const reader = new AnswerReader()
    const head =
      'HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close, x-b\r\nX-B: 2\r\nKeep-Alive: timeout=7, max=9\r\nFencing-Verdict: x\r\nContent-Length: 3\r\n'
    expect(readBy(reader, `${head}\r\n`, 'GET')).toBeNull()
    expect(reader.forwarded()).toBe('HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 3\r\n')
    expect(reader.keepAliveMs).toBe(7_000)
  })

  test('passes the first line on as what it is here, whatever came before', () => {
    const reader = new AnswerReader()
    const lines = [
      ['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK'],
      ['HTTP/1.1 200 OKAY', 'HTTP/1.1 200 OKAY'],
      ['HTTP/1.0 200 OK', 'HTTP/1.1 200 OK'],
      ['HTTP/1.1 200', 'HTTP/1.1 200 '],
      ['HTTP/1.1 200 ', 'HTTP/1.1 200 '],
      ['HTTP/1.1 200 \xfc', 'HTTP/1.1 200 '],
      ['HTTP/1.1 201 OK', 'HTTP/1.1 201 OK'],
    ] as const
    for (const [came] of lines)
      for (const [line, goes] of lines) {
        for (const text of [came, line]) expect(readBy(reader, `${text}\r\nX-A: 1\r\n\r\n`, 'GET')).toBeNull()
        expect(reader.forwarded()).toBe(`${goes}\r\nX-A: 1\r\n`)
        expect(reader.status).toBe(line.includes('201') ? 201 : 200)
        // The older version's connection ends where it does not say otherwise, and so does one whose body has no length.
        expect(readBy(reader, `${line}\r\nContent-Length: 0\r\n\r\n`, 'GET')).toBeNull()
        expect(reader.keepAlive).toBe(!line.startsWith('HTTP/1.0'))
      }
    expect(readBy(reader, 'HTTP/1.1 99 OK\r\n\r\n', 'GET')).not.toBeNull()
    expect(readBy(reader, 'HTTP/1.1 201 OK\r\n\r\n', 'GET')).toBeNull()
    expect(reader.status).toBe(201)
  })

  test.each([
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n'],
    ['a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n'],
    ['a tab behind the coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n'],
    ['a space behind the coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \r\nX-A: 1\r\n'],
    ['a coding that is not known', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\n'],
    ['a space before a colon', 'HTTP/1.1 200 OK\r\nContent-Length : 3\r\n'],
    ['a change of protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n'],
    [
      'a length that ends at this hop',
      'HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 3\r\n',
    ],
  ])('does not understand %s', (_what, head) => {
    expect(readBy(new AnswerReader(), `${head}\r\n`, 'GET')).not.toBeNull()
  })

  test('whatever it understands, the parser of node:http reads in the same way', {
    timeout: 60_000,
  }, async () => {
    let understood = 0
    await fc.assert(
      fc.asyncProperty(
        answerHead,
        afterHead,
        fc.constantFrom('GET', 'HEAD', 'POST'),
        async (head, after, method) => {
          const reader = new AnswerReader()
          if (
            head.includes('\r\n\r\n') ||
            readBy(reader, `${head}\r\n`, method) !== null ||
            reader.status < 200
          )
            return
          const found = bodyBy(reader, after)
          if (found === null) return
          understood++
          const other = await answerByNode(`${head}\r\n${found.bytes}`, method)
          expect(other).not.toBeNull()
          expect(other).toMatchObject({ status: reader.status, body: found.body })
          const fields: string[] = []
          for (let index = 0; index < reader.fields.count; index++)
            fields.push(reader.fields.name(index), reader.fields.value(index))
          expect(fields).toEqual(other?.rawHeaders)
        },
      ),
      { numRuns: RUNS },
    )
    expect(understood).toBeGreaterThan(RUNS / 50)
  })
})

describe('the reader of chunks', () => {
  const chunk = fc.uint8Array({ minLength: 1, maxLength: 40 })
  const encode = (chunks: readonly Uint8Array[], trailer: string): Buffer =>
    Buffer.concat([
      ...chunks.map((data) =>
        Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]),
      ),
      Buffer.from(`0\r\n${trailer}\r\n`),
    ])

  test('finds the data and the end, however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 5 }),
        fc.array(fc.nat(200), { maxLength: 8 }),
        fc.boolean(),
        (chunks, cuts, trailing) => {
          const trailer = trailing ? 'X-Sum: 1\r\n' : ''
          const body = encode(chunks, trailer)
          const all = Buffer.concat([body, Buffer.from('HTTP/1.1 next')])
          const reader = new ChunkedReader()
          const data: Buffer[] = []
          let stopped = -1
          let from = 0
          for (const at of [...cuts.toSorted((a, b) => a - b), all.length]) {
            const to = Math.min(at, all.length)
            const piece = all.subarray(from, to)
            const end = reader.read(piece, 0, (start, stop) =>
              data.push(Buffer.from(piece.subarray(start, stop))),
            )
            if (reader.over) {
              stopped = from + end
              break
            }
            from = to
          }
          expect(reader.fault).toBeNull()
          expect(Buffer.concat(data)).toEqual(Buffer.concat(chunks))
          expect(stopped).toBe(body.length)
          expect(reader.trailer).toBe(trailer)
        },
      ),
    )
  })

  test.each([
    ['no size', '\r\n'],
    ['a sign', '+3\r\nabc\r\n'],
    ['a prefix', '0x3\r\nabc\r\n'],
    ['a space before the size', ' 3\r\nabc\r\n'],
    ['a bare line feed', '3\nabc\r\n'],
    ['a bare carriage return', '3\rxabc\r\n'],
    ['a chunk that is too long', '3\r\nabcd\r\n'],
    ['an endless size', `${'0'.repeat(30)}3\r\nabc\r\n`],
    ['an endless extension', `3;${'a'.repeat(5_000)}\r\nabc\r\n`],
    ['a line feed in an extension', '3;a\nb\r\nabc\r\n'],
    ['an endless trailer', `0\r\n${'X-A: 1\r\n'.repeat(2_000)}`],
    ['a bare line feed in the trailer', '0\r\nX-A: 1\n\n'],
  ])('refuses %s', (_what, bytes) => {
    const reader = new ChunkedReader()
    reader.read(Buffer.from(bytes), 0, () => undefined)
    expect(reader.fault).not.toBeNull()
  })
})
