import { describe, expect, it } from 'vitest'
import { canonicalTarget, queryMembers } from '../../../gateway/policy/target.ts'
import fc from '../../support/fast-check.ts'

const segment = fc
  .string({
    unit: fc.constantFrom(...Array.from('abzAZ09-._~!$&\'()*+,=:@ é€😀"<>[]{}|^`')),
    minLength: 1,
    maxLength: 8,
  })
  .filter((text) => text !== '.' && text !== '..')

/** One of the many ways to write a segment: every byte plain or as an escape, in either case. */
function spelling(text: string, choices: readonly number[]): string {
  return [...Buffer.from(text)]
    .map((byte, index) => {
      const choice = choices[index % choices.length] ?? 0
      const character = String.fromCharCode(byte)
      if (choice === 0 && /[A-Za-z0-9\-._~!$&'()*+,=:@]/.test(character)) return character
      const hex = byte.toString(16).padStart(2, '0')
      return `%${choice === 1 ? hex : hex.toUpperCase()}`
    })
    .join('')
}

const choices = fc.array(fc.constantFrom(0, 1, 2), { minLength: 1, maxLength: 16 })

describe('canonicalTarget', () => {
  it('reads every spelling of a path as the same segments', () => {
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 6 }), choices, choices, (path, one, other) => {
        const first = canonicalTarget(`/${path.map((part) => spelling(part, one)).join('/')}`)
        const second = canonicalTarget(`/${path.map((part) => spelling(part, other)).join('/')}`)
        expect(first.ok && first.segments).toEqual(path)
        expect(second.ok && second.segments).toEqual(path)
      }),
    )
  })

  it('is idempotent: the canonical form of a canonical form is itself', () => {
    const characters = fc.constantFrom(...'ab/%2fF5Ee0.~+&=?;:@!"[] #\\é'.split(''))
    fc.assert(
      fc.property(fc.array(characters, { maxLength: 40 }), (parts) => {
        const once = canonicalTarget(`/${parts.join('')}`)
        if (!once.ok) return
        const twice = canonicalTarget(once.target)
        expect(twice).toEqual(once)
      }),
      { numRuns: 2000 },
    )
  })

  it('reads a path that stays as it is written as it reads the same path in front of an empty query', () => {
    const piece = fc.oneof(fc.constantFrom('', '.', '..', 'a', 'volumes', '%41', '...', 'b;c'), segment)
    const readings = new Set<boolean>()
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 70 }), (parts) => {
        const path = `/${parts.join('/')}`
        const reading = canonicalTarget(path)
        expect(canonicalTarget(`${path}?`)).toEqual(reading)
        readings.add(reading.ok)
      }),
      { numRuns: 3000 },
    )
    for (const path of [
      '/',
      '/a',
      '/a/',
      '/a//b',
      '/a/./b',
      '/a/..',
      `/${'a/'.repeat(63)}a`,
      `/${'a/'.repeat(64)}a`,
    ])
      expect(canonicalTarget(`${path}?`)).toEqual(canonicalTarget(path))
    expect(readings.size).toBe(2)
  })

  it('takes any text without throwing, and never yields a dot segment, a slash or a control character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 80 }), (text) => {
        const reading = canonicalTarget(`/${text}`)
        if (!reading.ok) return
        for (const part of reading.segments) {
          expect(['', '.', '..']).not.toContain(part)
          expect(part).not.toMatch(/[/\\;]/)
          // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
          expect(part).not.toMatch(/[\x00-\x1f\x7f]/) // oxlint-disable-line no-control-regex
        }
        if (reading.query !== null) queryMembers(reading.query)
      }),
      { numRuns: 2000 },
    )
  })

  it.each([
    ['/a%2Fb', 'an encoded slash'],
    ['/a%5cb', 'an encoded backslash'],
    ['/a\\b', 'a backslash'],
    ['/a%00b', 'NUL'],
    ['/a%0ab', 'a control character'],
    ['/a?b=%0a', 'a control character in the query'],
    ['/a%7f', 'DEL'],
    ['/a/./b', 'a dot segment'],
    ['/a/../b', 'two dots'],
    ['/a/%2e%2E/b', 'encoded dots'],
    ['/a/.%2e', 'half encoded dots'],
    ['/a//b', 'two slashes'],
    ['//a', 'two slashes at the start'],
    ['/a//', 'two slashes at the end'],
    ['/a%', 'a lone percent sign'],
    ['/a%2', 'half an escape'],
    ['/a%zz', 'no hex digits'],
    ['/a?b=%zz', 'no hex digits in the query'],
    ['/é', 'a byte outside ASCII'],
    ['/a;b=c', 'path parameters'],
    ['/a%3Bb', 'encoded path parameters'],
    ['/a?b;c', 'a semicolon between query members'],
    ['/a#b', 'a fragment'],
    ['/a?b#c', 'a fragment behind the query'],
    ['/a%ff', 'escapes that are not UTF-8'],
    ['/a%c0%af', 'an overlong slash'],
    ['/a%ed%a0%80', 'half a surrogate pair'],
    ['/a?b=%ff', 'a query that is not UTF-8'],
    ['/a%252fb', 'double encoding'],
    ['/a b', 'a space'],
    ['http://host/a', 'the absolute form'],
    ['host:443', 'the authority form'],
    ['*', 'the asterisk form'],
    ['', 'nothing'],
    [`/${'a/'.repeat(100)}b`, 'too many segments'],
    [`/${'a'.repeat(20_000)}`, 'too many bytes'],
  ])('refuses %s: %s', (target) => {
    expect(canonicalTarget(target).ok).toBe(false)
  })

  it.each([
    ['/', '/'],
    ['/%61%2D', '/a-'],
    ['/%c3%a9', '/%C3%A9'],
    ['/a%3a:', '/a%3A:'],
    ['/a?', '/a'],
    ['/a/?b=c+d', '/a/?b=c%20d'],
    ['/a?b=%7e%2F/', '/a?b=~%2F/'],
    ['/[a]', '/%5Ba%5D'],
    ['/%2e%2ea', '/..a'],
  ])('writes %s as %s', (target, canonical) => {
    const reading = canonicalTarget(target)
    expect(reading.ok && reading.target).toBe(canonical)
  })

  it('lets a percent sign be encoded where the pack says that names hold one', () => {
    const reading = canonicalTarget('/a%252fb', {
      doubleEncoding: 'allow',
      emptySegments: 'refuse',
      encodedSlash: 'refuse',
    })
    expect(reading.ok && reading.segments).toEqual(['a%2fb'])
  })

  const MERGING = { doubleEncoding: 'refuse', emptySegments: 'merge', encodedSlash: 'refuse' } as const
  const SLASHES = { doubleEncoding: 'refuse', emptySegments: 'refuse', encodedSlash: 'data' } as const

  it.each([
    ['/api//storage/', '/api/storage/', ['api', 'storage']],
    ['//api///b%7e//?x=//', '/api/b~/?x=//', ['api', 'b~']],
    ['//', '/', []],
    ['/a//b', '/a/b', ['a', 'b']],
  ])('writes slashes in a row as one where the pack says so: %s as %s', (target, canonical, segments) => {
    const reading = canonicalTarget(target, MERGING)
    expect(reading).toMatchObject({ ok: true, target: canonical, segments })
    expect(canonicalTarget(target)).toMatchObject({ ok: false })
    expect(canonicalTarget('/a/..//b', MERGING)).toMatchObject({ ok: false })
  })

  it('never merges a path into one that means something else to itself', () => {
    const piece = fc.constantFrom('/', '//', 'a', 'b', '%2F', '.', '%41', '%2e', '..', '%5c', '?', '%')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 10 }), (parts) => {
        const target = `/${parts.join('')}`
        const merged = canonicalTarget(target, MERGING)
        const plain = canonicalTarget(target)
        if (plain.ok) expect(merged).toEqual(plain)
        // What is forwarded is read by everyone in the way that was checked.
        if (merged.ok) expect(canonicalTarget(merged.target)).toEqual(merged)
      }),
    )
  })

  it.each([
    ['/files/a%2fb', '/files/a%2Fb', ['files', 'a/b']],
    ['/files/a%2Fb%2Fc', '/files/a%2Fb%2Fc', ['files', 'a/b/c']],
  ])('keeps an encoded slash as data where a rule takes one: %s as %s', (target, canonical, segments) => {
    expect(canonicalTarget(target, SLASHES)).toMatchObject({
      ok: true,
      target: canonical,
      segments,
      encodedSlash: true,
    })
  })

  it.each(['/a%2f..%2fb', '/%2fa', '/a%2f', '/a%2f%2fb', '/a%2f.', '/a%5cb', '/a%252fb', '/a%2f%2e%2e'])(
    'refuses %s even there',
    (target) => {
      expect(canonicalTarget(target, SLASHES)).toMatchObject({ ok: false })
    },
  )
})
