import { describe, expect, test } from 'vitest'
import { readRequestHead } from '../../../../gateway/proxy/request-head.ts'
import { RequestReader } from '../../../../gateway/proxy/wire/request-reader.ts'
import fc from '../../../support/fast-check.ts'
import { afterHead, requestHead } from './heads.ts'
import { requestByNode } from './parsed-by-node.ts'

const RUNS = 4_000

function read(head: string): RequestReader | null {
  const reader = new RequestReader()
  return readBy(reader, `${head}\r\n`) > 0 ? reader : null
}

function readBy(reader: RequestReader, text: string): number {
  return reader.read(text, Buffer.from(text, 'latin1'))
}

const plain =
  'POST /x?y=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 3\r\nFencing-Token: 812\r\nX-A: 1\r\n'

describe('the reader of plain requests', () => {
  test('reads a plain request', () => {
    const reader = read(plain)
    expect(reader).toMatchObject({
      method: 'POST',
      target: '/x?y=1',
      contentLength: 3,
      token: '812',
      keepAlive: true,
    })
    expect(reader?.header('content-type')).toBe('application/json')
    expect(reader?.header('x-b')).toBeUndefined()
  })

  test('finds the end of the head, and none where it has not come', () => {
    const reader = new RequestReader()
    for (const after of ['', 'abc', '\r\n\r\n'])
      expect(readBy(reader, `${plain}\r\n${after}`)).toBe(plain.length + 2)
    for (let length = 0; length < plain.length + 2; length++)
      expect(readBy(reader, `${plain}\r\n`.slice(0, length))).toBe(0)
    expect(readBy(reader, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).toBe(27)
    // What stands in the bytes behind the text is not known to be of this request.
    const bytes = Buffer.from(`${plain}\r\n`, 'latin1')
    for (let length = 0; length < plain.length + 2; length++)
      expect(reader.read(plain.slice(0, length), bytes)).toBe(0)
  })

  test('reads a head as a reader does that has read none before', () => {
    const used = new RequestReader()
    const method = fc.constantFrom(
      'GET',
      'GE',
      'GETX',
      'GET\t',
      'GET/',
      'POST',
      'PO',
      'POSTGET',
      'PUT',
      '',
      'CONNECT',
    )
    const head = fc
      .tuple(method, fc.constantFrom(' ', '  ', '\t', ''), requestHead)
      .map(([start, space, rest]) => `${start}${space}${rest.slice(Math.max(0, rest.indexOf('/')))}`)
    let taken = 0
    fc.assert(
      fc.property(fc.oneof(head, requestHead), (text) => {
        const fresh = read(text)
        expect(readBy(used, `${text}\r\n`) > 0).toBe(fresh !== null)
        if (fresh === null) return
        taken++
        expect(used.forwarded('/', ['x-a'])).toBe(fresh.forwarded('/', ['x-a']))
        const { method, target, contentLength, keepAlive, token } = fresh
        expect(used).toMatchObject({ method, target, contentLength, keepAlive, token })
        for (const name of [
          'host',
          'x-a',
          'x_b',
          'cookie',
          'content-type',
          'accept-encoding',
          'x-openstack-request-id',
        ])
          expect(used.header(name)).toBe(fresh.header(name))
      }),
      { numRuns: RUNS },
    )
    expect(taken).toBeGreaterThan(RUNS / 20)
  })

  test('passes every line on as it came, but for ours and those of this hop', () => {
    const reader = read(
      `${plain}Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nFencing-Session: s\r\nx_y:\tZ \r\n`,
    )
    expect(reader?.forwarded('/x', [])).toBe(
      'POST /x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 3\r\nX-A: 1\r\nx_y:\tZ \r\nVia: 1.1 fencegate\r\n\r\n',
    )
    expect(reader?.list()).toEqual([
      'Host',
      'a',
      'Content-Type',
      'application/json',
      'Content-Length',
      '3',
      'X-A',
      '1',
      'x_y',
      'Z',
    ])
  })

  test('leaves out one more name where it is told to, wherever it stands', () => {
    const reader = read(
      'GET / HTTP/1.1\r\nAccept-Encoding: gzip\r\nHost: a\r\nFencing-Token: 1\r\nACCEPT-ENCODING: br\r\n',
    )
    expect(reader?.forwarded('/', ['accept-encoding'])).toBe(
      'GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 fencegate\r\n\r\n',
    )
  })

  test('joins repeated fields as the parser of node:http does', () => {
    const reader = read('GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nCookie: a=1\r\nx-a: 2\r\nCookie: b=2\r\n')
    expect(reader?.header('x-a')).toBe('1, 2')
    expect(reader?.header('cookie')).toBe('a=1; b=2')
  })

  test.each([
    ['a chunked body', 'Transfer-Encoding: chunked'],
    ['an expectation', 'Expect: 100-continue'],
    ['a change of protocol', 'Upgrade: websocket'],
    ['what is asked of the connection', 'Connection: x-a'],
    ['two lengths', 'Content-Length: 3'],
    ['two tokens', 'Fencing-Token: 813'],
    ['two hosts', 'Host: b'],
    ['two words about the connection', 'Connection: close\r\nConnection: keep-alive'],
    ['a space before the colon', 'X-B : 1'],
    ['a folded line', 'X-B: 1\r\n 2'],
    ['a bare line feed', 'X-B: 1\n'],
    ['a bare carriage return', 'X-B: 1\r2'],
    ['a zero byte', 'X-B: 1\0'],
  ])('calls %s unusual', (_what, line) => {
    expect(read(`${plain}${line}\r\n`)).toBeNull()
  })

  test('calls a request without a Host unusual', () => {
    expect(read('GET / HTTP/1.1\r\nX-A: 1\r\n')).toBeNull()
  })

  test('whatever it accepts, the parser of node:http reads in the same way, and the strict reading of the head as well', async () => {
    let accepted = 0
    await fc.assert(
      fc.asyncProperty(requestHead, afterHead, async (head, after) => {
        const reader = head.includes('\r\n\r\n') ? null : read(head)
        if (reader === null) return
        accepted++
        const length = Math.max(0, reader.contentLength)
        if (length > after.length) return
        const other = await requestByNode(`${head}\r\n${after.slice(0, length)}`)
        expect(other).not.toBeNull()
        if (other === null) return
        expect([reader.method, reader.target]).toEqual([other.method, other.target])
        expect(other.version).toBe('1.1')
        const fields: string[] = []
        for (let index = 0; index < reader.fields.count; index++)
          fields.push(reader.fields.name(index), reader.fields.value(index))
        expect(fields).toEqual(other.rawHeaders)
        expect(other.body).toBe(after.slice(0, length))
        const strict = readRequestHead(other.rawHeaders, other.target, other.version)
        expect(strict.kind).toBe('head')
        if (strict.kind !== 'head') return
        expect(strict.head).toMatchObject({
          token: reader.token,
          contentLength: reader.contentLength,
          chunked: false,
          expectsContinue: false,
          dropped: [],
        })
        const withoutFraming = reader
          .list()
          .filter((_, i, list) => list[i - (i % 2)]?.toLowerCase() !== 'content-length')
        expect(strict.head.forwarded.slice(0, -2)).toEqual(withoutFraming)
      }),
      { numRuns: RUNS },
    )
    // A reader that accepts nothing agrees with everybody.
    expect(accepted).toBeGreaterThan(RUNS / 50)
  }, 60_000)

  test('never throws, and needs time in proportion to the head', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        readBy(new RequestReader(), text)
      }),
      { numRuns: 2_000 },
    )
    const long = `GET / HTTP/1.1\r\nHost: a\r\n${'X-A: 1\r\n'.repeat(90)}`
    expect(read(long)).not.toBeNull()
    expect(read(`GET / HTTP/1.1\r\nHost: a\r\n${'X-A: 1\r\n'.repeat(97)}`)).toBeNull()
  })
})
