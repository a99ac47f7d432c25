// What smugglers send, and what a generator makes of it: bytes that two readers might take for different requests.

import fc from '../../../support/fast-check.ts'
import { afterHead, requestHead } from '../../../unit/proxy/wire/heads.ts'

const HOST = 'Host: a\r\n'
const INNER = 'POST /smuggled HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\nx'
const post = (head: string, body: string) => `POST /x HTTP/1.1\r\n${HOST}${head}\r\n${body}`

/** Known ways to have one reader see a request where another sees a body. */
export const CORPUS: readonly (readonly [string, string])[] = [
  [
    'a length before chunks',
    post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${INNER}`),
  ],
  [
    'chunks before a length',
    post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', `0\r\n\r\n${INNER}`),
  ],
  ['chunks behind a space', post('Transfer-Encoding : chunked\r\n', `0\r\n\r\n${INNER}`)],
  ['chunks behind a tab', post('Transfer-Encoding:\tchunked\r\n', `0\r\n\r\n${INNER}`)],
  ['chunks before a tab', post('Transfer-Encoding: chunked\t\r\n', `0\r\n\r\n${INNER}`)],
  ['chunks on a folded line', post('Transfer-Encoding:\r\n chunked\r\n', `0\r\n\r\n${INNER}`)],
  [
    'chunks behind another coding',
    post('Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${INNER}`),
  ],
  ['a coding behind chunks', post('Transfer-Encoding: chunked, x\r\n', `0\r\n\r\n${INNER}`)],
  ['chunks in capitals', post('transfer-encoding: CHUNKED\r\n', `0\r\n\r\n${INNER}`)],
  ['chunks in HTTP/1.0', post('Transfer-Encoding: chunked\r\n', `0\r\n\r\n${INNER}`).replace('1.1', '1.0')],
  ['a body in HTTP/1.0', `POST /x HTTP/1.0\r\n${HOST}Connection: keep-alive\r\n\r\n${INNER}`],
  ['two lengths', post('Content-Length: 0\r\nContent-Length: 64\r\n', INNER)],
  ['a list of lengths', post('Content-Length: 0, 64\r\n', INNER)],
  ['a signed length', post('Content-Length: +0\r\n', INNER)],
  ['an octal length', post('Content-Length: 010\r\n', `aaaaaaaaaa${INNER}`)],
  ['a length with an underscore', post('Content_Length: 64\r\n', INNER)],
  ['a length behind a bare CR', post('X-A: 1\rContent-Length: 64\r\n', INNER)],
  ['a length behind a bare LF', post('X-A: 1\nContent-Length: 64\r\n', INNER)],
  ['a length behind a zero byte', post('Content-Length\0: 64\r\n', INNER)],
  ['a GET with a body', `GET /x HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`],
  ['a GET with a body of a request', `GET /x HTTP/1.1\r\n${HOST}\r\n${INNER}`],
  [
    'a chunk of a request',
    post('Transfer-Encoding: chunked\r\n', `${INNER.length.toString(16)}\r\n${INNER}\r\n0\r\n\r\n`),
  ],
  [
    'a size with an extension',
    post('Transfer-Encoding: chunked\r\n', `3;a="b\\"c"\r\nabc\r\n0\r\n\r\n${INNER}`),
  ],
  [
    'a size with an LF in its extension',
    post('Transfer-Encoding: chunked\r\n', `3;\nabc\r\n0\r\n\r\n${INNER}`),
  ],
  ['a size with leading zeros', post('Transfer-Encoding: chunked\r\n', `0003\r\nabc\r\n000\r\n\r\n${INNER}`)],
  [
    'a size that overflows',
    post('Transfer-Encoding: chunked\r\n', `10000000000000003\r\nabc\r\n0\r\n\r\n${INNER}`),
  ],
  ['a size in hexadecimal notation', post('Transfer-Encoding: chunked\r\n', `0x3\r\nabc\r\n0\r\n\r\n`)],
  ['a chunk that ends with LF', post('Transfer-Encoding: chunked\r\n', `3\r\nabc\n0\r\n\r\n${INNER}`)],
  ['a last chunk that ends with LF', post('Transfer-Encoding: chunked\r\n', `3\r\nabc\r\n0\n\n${INNER}`)],
  ['a trailer that frames', post('Transfer-Encoding: chunked\r\n', `0\r\nContent-Length: 9\r\n\r\n${INNER}`)],
  ['a trailer with a bare CR', post('Transfer-Encoding: chunked\r\n', `0\r\nX: a\rb\r\n\r\n${INNER}`)],
  [
    'a length that Connection takes',
    post('Content-Length: 3\r\nConnection: Content-Length\r\n', `abc${INNER}`),
  ],
  ['a Host that Connection takes', post('Content-Length: 0\r\nConnection: Host\r\n', '')],
  ['an expectation and a body at once', post('Expect: 100-continue\r\nContent-Length: 3\r\n', `abc${INNER}`)],
  [
    'an upgrade with a request behind it',
    `GET /x HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n${INNER}`,
  ],
  [
    'h2c with a request behind it',
    `GET /x HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n${INNER}`,
  ],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['empty lines before the request', `\r\n\r\n${INNER}`],
  ['an absolute target', `POST http://b/x HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`],
  ['no Host', `GET /x HTTP/1.1\r\nX-A: 1\r\n\r\n`],
  ['two Hosts', `GET /x HTTP/1.1\r\n${HOST}Host: b\r\n\r\n`],
  ['a target with a space', `GET /x HTTP/1.1 HTTP/1.1\r\n${HOST}\r\n`],
  ['a target with a tab', `GET /x\tHTTP/1.1\r\n${HOST}\r\n`],
  ['a length of a HEAD', `HEAD /x HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\nabc`],
]

const fields = fc
  .array(
    fc.constantFrom(
      'X-A: 1',
      'Accept: */*',
      'Fencing-Token: 7',
      'x_b:  2 ',
      'Cookie: a=b',
      'Connection: keep-alive',
      'Connection: X-A',
      'TE: trailers',
      'Expect: 100-continue',
    ),
    {
      maxLength: 4,
    },
  )
  .map((lines) => lines.map((line) => `${line}\r\n`).join(''))
const body = fc.oneof(
  fc.constantFrom('', 'abc', INNER, '0\r\n\r\n', `\r\n${INNER}`),
  fc.string({ unit: 'binary', maxLength: 40 }),
)
const target = fc.constantFrom('/', '/x', '/v3/p/volumes/1?x=1&y=%20', '/a//b/../c', '/%2e%2e/x', '/;a=b')
const verb = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS')

function chunksOf(text: string, size: number): string {
  let chunks = ''
  for (let at = 0; at < text.length; at += size) {
    const piece = text.slice(at, at + size)
    chunks += `${piece.length.toString(16)}\r\n${piece}\r\n`
  }
  return `${chunks}0\r\n\r\n`
}

const wellFormed = fc
  .tuple(verb, target, fields, body, fc.nat({ max: 8 }))
  .map(([method, path, lines, content, size]) => {
    const head = `${method} ${path} HTTP/1.1\r\n${HOST}${lines}`
    if (size === 0) return `${head}Content-Length: ${content.length}\r\n\r\n${content}`
    return `${head}Transfer-Encoding: chunked\r\n\r\n${chunksOf(content, size)}`
  })

const known = fc.constantFrom(...CORPUS).map(([, text]) => text)
const oddHead = fc.tuple(requestHead, afterHead).map(([head, rest]) => `${head}\r\n${rest}`)
const ODD_BYTES = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '0',
  '1',
  '\x0b',
  '\x7f',
  '\xff',
  'chunked',
  'Content-Length: 1\r\n',
]

const message = fc.oneof(
  { weight: 5, arbitrary: wellFormed },
  { weight: 3, arbitrary: known },
  { weight: 2, arbitrary: oddHead },
)

/** Some messages, sometimes with a byte that does not belong there, cut into pieces as a network may. */
export const conversation = fc
  .tuple(
    fc.array(message, { minLength: 1, maxLength: 4 }),
    fc.option(fc.tuple(fc.nat({ max: 400 }), fc.nat({ max: 2 }), fc.constantFrom(...ODD_BYTES))),
    fc.array(fc.nat({ max: 400 }), { maxLength: 3 }),
  )
  .map(([messages, odd, cuts]) => {
    let text = messages.join('')
    if (odd !== null) {
      const [at, gone, put] = odd
      text = text.slice(0, at) + put + text.slice(at + gone)
    }
    const places = [...new Set(cuts.filter((cut) => cut > 0 && cut < text.length))].sort((a, b) => a - b)
    return [0, ...places].map((from, i) => text.slice(from, places[i] ?? text.length))
  })
