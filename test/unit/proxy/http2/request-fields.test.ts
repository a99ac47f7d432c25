// What of a head of HTTP/2 may become one of HTTP/1.1, by itself: also what no parser lets through to it today.

import { describe, expect, test } from 'vitest'
import { joinFields, readRequestFields } from '../../../../gateway/proxy/http2/request-fields.ts'
import { readRequestHead } from '../../../../gateway/proxy/request-head.ts'
import fc from '../../../support/fast-check.ts'

const PSEUDO = [':method', 'POST', ':scheme', 'https', ':path', '/x', ':authority', 'a']

function changed(name: string, value: string): string[] {
  const at = PSEUDO.indexOf(name)
  return PSEUDO.map((text, i) => (i === at + 1 ? value : text))
}

function without(name: string): string[] {
  const at = PSEUDO.indexOf(name)
  return PSEUDO.filter((_, i) => i !== at && i !== at + 1)
}

describe('a head of HTTP/2', () => {
  test('becomes one of HTTP/1.1 with Host first, one Cookie, and its length or chunks', () => {
    const fields = ['x-b', '2', 'cookie', 'a=1', 'x-a', '1', 'cookie', 'b=2', 'te', 'trailers']
    expect(readRequestFields([...PSEUDO, ...fields], true)).toEqual({
      method: 'POST',
      target: '/x',
      fields: [
        ...['Host', 'a', 'x-b', '2', 'x-a', '1', 'te', 'trailers', 'cookie', 'a=1; b=2'],
        ...['Transfer-Encoding', 'chunked'],
      ],
      fault: null,
    })
    const measured = readRequestFields([...PSEUDO, 'content-length', '3'], true)
    expect(measured.fields).toEqual(['Host', 'a', 'content-length', '3'])
    expect(readRequestFields(PSEUDO, false).fields).toEqual(['Host', 'a'])
  })

  test.each(['a', 'a.example:8776', '10.0.0.1', '[::1]:443', 'a_b-c.d~e', 'a:'])(
    'may have the authority %s, as :authority, as Host or as both',
    (authority) => {
      for (const raw of [
        changed(':authority', authority),
        [...without(':authority'), 'host', authority],
        [...changed(':authority', authority), 'host', authority],
      ])
        expect(readRequestFields(raw, false)).toMatchObject({ fault: null, fields: ['Host', authority] })
    },
  )

  test.each<readonly [string, readonly string[]]>([
    ['no method', without(':method')],
    ['no scheme', without(':scheme')],
    ['no path', without(':path')],
    ['no authority', without(':authority')],
    ['two methods', [...PSEUDO, ':method', 'GET']],
    ['two paths', [':path', '/y', ...PSEUDO]],
    ['two schemes', [':scheme', 'https', ...PSEUDO]],
    ['two authorities', [':authority', 'a', ...PSEUDO]],
    ['a protocol', [':protocol', 'websocket', ...PSEUDO]],
    ['a status', [':status', '200', ...PSEUDO]],
    ['a path behind a field', [...without(':path'), 'x', 'y', ':path', '/x']],
    ['a path behind a cookie', [...without(':path'), 'cookie', 'y', ':path', '/x']],
    ['another Host', [...PSEUDO, 'host', 'b']],
    ['two Hosts', [...without(':authority'), 'host', 'a', 'host', 'a']],
    ['http', changed(':scheme', 'http')],
    ...[
      '',
      'u@a',
      'a/b',
      'a b',
      'a,b',
      'a?b',
      'a#b',
      'a\\b',
      'a:1:2',
      'a:123456',
      '::1',
      '[g]',
      'a\r\nb',
      'é',
    ].map(
      (authority) =>
        [`the authority ${JSON.stringify(authority)}`, changed(':authority', authority)] as const,
    ),
    ...['', '*', 'x', 'https://a/x', '/a b', '/a\tb', '/a#b', '/a\r\n', '/a\0', '/\xe9', '//\x7f'].map(
      (path) => [`the path ${JSON.stringify(path)}`, changed(':path', path)] as const,
    ),
    ...['', 'post', 'CONNECT', 'STEAL', 'GET ', 'GET\r\n', 'PRI'].map(
      (method) => [`the method ${JSON.stringify(method)}`, changed(':method', method)] as const,
    ),
    ...['', 'X-A', 'x a', 'x:a', 'x\0', 'x\r\n', 'é', 'x\xe9'].map(
      (name) => [`a field named ${JSON.stringify(name)}`, [...PSEUDO, name, 'b']] as const,
    ),
    ...[' b', 'b ', '\tb', 'b\t', 'b\r', 'b\nc', 'b\r\nc: d', 'b\0', '\x7f', ' '].map(
      (value) => [`a field of ${JSON.stringify(value)}`, [...PSEUDO, 'x-a', value]] as const,
    ),
    ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings'].map(
      (name) => [`the field ${name}`, [...PSEUDO, name, 'trailers']] as const,
    ),
    ['TE of codings', [...PSEUDO, 'te', 'gzip']],
    ['TE of trailers and codings', [...PSEUDO, 'te', 'trailers, gzip']],
  ])('with %s has a fault', (_name, raw) => {
    expect(readRequestFields(raw, false).fault).not.toBeNull()
  })

  test('has nothing in it that makes another line, another field, or another framing, whatever it had', () => {
    const text = fc.string({ unit: 'binary', maxLength: 6 })
    const name = fc.oneof(
      text,
      fc.constantFrom(':path', ':method', 'cookie', 'host', 'content-length', 'x-a'),
    )
    const fields = fc.array(fc.tuple(name, fc.oneof(text, fc.constantFrom('a', '3', '/y'))), { maxLength: 4 })
    let accepted = 0
    fc.assert(
      fc.property(fields, fc.boolean(), (others, hasBody) => {
        const {
          fault,
          fields: lines,
          method,
          target,
        } = readRequestFields([...PSEUDO, ...others.flat()], hasBody)
        if (fault !== null) return
        accepted++
        expect(`${method} ${target}`).toMatch(/^[A-Z-]+ \/[\x21-\x7e]*$/)
        for (let i = 0; i < lines.length; i += 2) {
          expect(lines[i]).toMatch(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/)
          expect(lines[i + 1]).toMatch(
            /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/,
          )
        }
        const reading = readRequestHead(lines, target, '2')
        if (reading.kind === 'head' && !hasBody) expect(reading.head.chunked).toBe(false)
        if (reading.kind === 'head' && hasBody)
          expect(reading.head.chunked).toBe(reading.head.contentLength === -1)
      }),
      { numRuns: 2_000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })
})

test('repeated fields are joined, under their names in lower case, and no name reaches what every object has', () => {
  const joined = joinFields(['Host', 'a', 'x-a', '1', 'x-a', '2', '__proto__', 'p'])
  expect(Object.entries(joined)).toEqual([
    ['host', 'a'],
    ['x-a', '1, 2'],
    ['__proto__', 'p'],
  ])
  expect(joined['constructor']).toBeUndefined()
})
