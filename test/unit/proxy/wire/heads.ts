// Heads for the tests of the readers: mostly plain, sometimes broken in one place, as a client or a smuggler would.

import fc from '../../../support/fast-check.ts'

const fieldName = fc.constantFrom(
  'Host',
  'host',
  'Content-Type',
  'Content-Length',
  'content-length',
  'CONTENT-LENGTH',
  'Transfer-Encoding',
  'Connection',
  'connection',
  'Keep-Alive',
  'Fencing-Token',
  'fencing-session',
  'Expect',
  'Upgrade',
  'TE',
  'Trailer',
  'Cookie',
  'Set-Cookie',
  'X-A',
  'X_b',
  'X-Openstack-Request-Id',
  'Accept-Encoding',
  'Proxy-Connection',
  '',
  'X Y',
  'Content-Length ',
  '\tX',
  'X\x00',
  'Ü',
)
const fieldValue = fc.oneof(
  fc.constantFrom(
    'a',
    '',
    '3',
    '0',
    '03',
    '+3',
    '3, 3',
    '0x3',
    'chunked',
    'Chunked',
    'gzip, chunked',
    'identity',
    'close',
    'keep-alive',
    'Keep-Alive',
    'keep-alive, x-a',
    'timeout=5',
    'trailers',
    '100-continue',
    'websocket',
    '812',
    '"a";t=1, "b";t=2',
    'x\ty',
    'caf\xe9',
    'a\x00b',
    'a\rb',
    'a\nb',
    'a\r\n b',
    '\x7f',
  ),
  fc.string({ maxLength: 12 }),
)
const separator = fc.constantFrom(':', ': ', ': ', ': ', ':  ', ':\t', ' :', ' : ', '')
const lineEnd = fc.constantFrom(
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\r\n',
  '\n',
  '\r',
  '\r\n ',
  ' \r\n',
  '\t\r\n',
)

const plainField = fc.constantFrom(
  'Host: a',
  'Content-Type: application/json',
  'Content-Length: 3',
  'Fencing-Token: 812',
  'Connection: keep-alive',
  'Accept: */*',
  'X-A: 1',
)
export const fieldLine = fc.oneof(
  { weight: 3, arbitrary: plainField.map((field) => `${field}\r\n`) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fieldName, separator, fieldValue, lineEnd)
      .map(([name, between, value, end]) => name + between + value + end),
  },
)

const method = fc.constantFrom(
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'HEAD',
  'OPTIONS',
  'get',
  'PROPFIND',
  'CONNECT',
  'PRI',
  'G T',
  '',
  'FOO',
)
const target = fc.constantFrom(
  '/',
  '/x',
  '/v3/p/volumes/1?x=1&y=%20',
  '/a//b/../c',
  '/\xfc',
  '/a b',
  '/a#b',
  '*',
  'http://h/x',
  'x',
  '/a\tb',
  '/a\x00',
  '/"<>\\^`{|}',
)
const version = fc.constantFrom(
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.1',
  'HTTP/1.0',
  'HTTP/2.0',
  'http/1.1',
  'HTTP/1.1 ',
  'HTTP/1.10',
  '',
)

const brokenRequestLine = fc
  .tuple(
    method,
    fc.constantFrom(' ', ' ', '  ', '\t'),
    target,
    fc.constantFrom(' ', ' ', '  '),
    version,
    lineEnd,
  )
  .map((parts) => parts.join(''))
const plainRequestLine = fc
  .tuple(
    fc.constantFrom('GET', 'POST', 'DELETE'),
    fc.constantFrom('/', '/v3/p/volumes/1?x=1&y=%20', '/a//b/../c'),
  )
  .map(([verb, path]) => `${verb} ${path} HTTP/1.1\r\n`)

export const requestHead = fc
  .tuple(
    fc.oneof({ weight: 2, arbitrary: plainRequestLine }, { weight: 1, arbitrary: brokenRequestLine }),
    fc.constantFrom('Host: a\r\n', 'Host: a\r\n', 'Host: a\r\n', ''),
    fc.array(fieldLine, { maxLength: 5 }),
  )
  .map(([line, host, lines]) => line + host + lines.join(''))

const brokenStatusLine = fc
  .tuple(
    fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2', 'http/1.1', 'ICY'),
    fc.constantFrom(' ', ' ', '  ', ''),
    fc.constantFrom('200', '204', '100', '103', '101', '99', '600', '2000', '20', 'abc', '+20'),
    fc.constantFrom(' OK', ' ', '', ' Not\tFound', ' \xfc', '  two', ' a\x00', 'OK'),
    lineEnd,
  )
  .map((parts) => parts.join(''))
const plainStatusLine = fc.constantFrom(
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 201 Created\r\n',
  'HTTP/1.1 204 No Content\r\n',
  'HTTP/1.1 304 Not Modified\r\n',
  'HTTP/1.0 200 OK\r\n',
  'HTTP/1.1 500 \r\n',
)

export const answerHead = fc
  .tuple(
    fc.oneof({ weight: 3, arbitrary: plainStatusLine }, { weight: 1, arbitrary: brokenStatusLine }),
    fc.array(fieldLine, { maxLength: 4 }),
  )
  .map(([line, lines]) => line + lines.join(''))

export const afterHead = fc.constantFrom('', 'abc', 'abcd', '3\r\nabc\r\n0\r\n\r\n', '0\r\n\r\n')
