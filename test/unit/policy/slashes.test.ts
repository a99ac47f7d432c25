// `%2F` as data, `//` as one slash, and bodies that are forms: what a rule has to say to take them, and what it gets.

import { describe, expect, it } from 'vitest'
import { callHead } from '../../../gateway/spi/policy.ts'
import fc from '../../support/fast-check.ts'
import { policyOf } from './small-pack.ts'

const policy = policyOf(
  `
  - { id: file, method: DELETE, path: "/v/{v}/files/{file+}", effect: mutate, locks: "f/{v}/{file}" }
  - { id: parts, method: PATCH, path: "/v/{v}/files/{file+}", effect: mutate, locks: "f/{v}/{file|parts}" }
  - { id: below, path: "/v/{v}/files/{file+}/info", effect: read }
  - { id: rest, path: "/rest/{rest...}", effect: read }
  - { id: one, path: "/one/{one}", effect: read }
  - id: form
    path: /form.cgi
    method: POST
    form: { match: { method: [create, delete] }, capture: { thing: id } }
    effect: mutate
    locks: thing
  - { id: list, path: /form.cgi, method: POST, form: { match: { method: list } }, effect: read }`,
  'empty_segments: merge',
)
const classify = (method: string, target: string, body: string | null = null, headers = {}) =>
  policy.classify(callHead(method, target, headers), body === null ? null : Buffer.from(body))

describe('a capture that takes slashes', () => {
  it('takes an encoded one as data, in the one spelling that is forwarded', () => {
    expect(classify('DELETE', '/v/7//files/a%2fb.c')).toMatchObject({
      rule: 'file',
      locks: [{ name: 'f/7/a%2Fb.c' }],
      target: '/v/7/files/a%2Fb.c',
    })
    expect(classify('PATCH', '/v/7/files/a%2Fb')).toMatchObject({ locks: [{ name: 'f/7/a/b' }] })
    expect(classify('DELETE', '/v/7/files/a')).toMatchObject({ locks: [{ name: 'f/7/a' }] })
    expect(classify('GET', '/v/7/files/a%2fb/info')).toMatchObject({ rule: 'below', effect: 'read' })
  })

  it('is the only thing that does: elsewhere an encoded slash is refused, not left to the default', () => {
    for (const target of [
      '/v/7%2f8/files/a',
      '/rest/a%2fb',
      '/rest/x/a%2fb',
      '/one/a%2fb',
      '/else/a%2Fb',
      '/v%2f7',
    ])
      expect(classify('DELETE', target)).toMatchObject({ kind: 'refused' })
    expect(classify('POST', '/v/7/files/a%2fb')).toMatchObject({ kind: 'refused' })
  })

  it('never gives two spellings of a name two locks, nor two names one', () => {
    const part = fc.constantFrom('a', 'b', 'ab', '.', '..', '%41', 'A', '~', '%7e', '')
    const slash = fc.constantFrom('%2f', '%2F', '/', '//')
    fc.assert(
      fc.property(fc.array(fc.tuple(part, slash), { minLength: 1, maxLength: 4 }), (written) => {
        const text = written.map(([name, between]) => name + between).join('')
        const found = classify('DELETE', `/v/7/files/${text}`)
        if (found.kind !== 'call' || found.rule !== 'file') return
        const forwarded = decodeURIComponent(found.target.slice('/v/7/files/'.length)).replace(/\/$/, '')
        expect(found.locks.map((lock) => lock.name)).toEqual([`f/7/${forwarded.replaceAll('/', '%2F')}`])
        expect(classify('DELETE', found.target)).toEqual(found)
      }),
    )
  })
})

describe('a rule on a form', () => {
  const type = { 'content-type': 'application/x-www-form-urlencoded' }
  it('tells calls apart by its members', () => {
    expect(classify('POST', '/form.cgi', 'method=create&id=a%2Fb', type)).toMatchObject({
      rule: 'form',
      locks: [{ name: 'small/a%2Fb' }],
    })
    expect(classify('POST', '/form.cgi', 'method=list', type)).toMatchObject({ effect: 'read' })
    expect(classify('POST', '/form.cgi', 'method=unheard', type)).toMatchObject({ rule: 'default' })
  })

  it('refuses what frameworks read differently', () => {
    for (const [target, body] of [
      ['/form.cgi', 'method=list&method=delete&id=1'],
      ['/form.cgi?method=delete', 'method=list'],
      ['/form.cgi', 'method=list;method=delete'],
      ['/form.cgi', 'method=delete&id=1&id=2'],
    ] as const)
      expect(classify('POST', target, body, type)).toMatchObject({ kind: 'refused' })
    expect(classify('POST', '/form.cgi', 'method=list', { 'content-type': 'text/plain' })).toMatchObject({
      kind: 'refused',
    })
  })
})

describe('a pack whose backend takes paths in any case', () => {
  const folding = policyOf(
    `  - { id: low, path: "/lun/{id}/EXPAND", effect: mutate, locks: "l/{id}", dialect: zapi }`,
    'path_case: fold',
  )
  it('finds the same rule and the same lock for each spelling, and forwards it as it came', () => {
    for (const target of ['/lun/Ab/EXPAND', '/LUN/Ab/expand', '/Lun/Ab/Expand/'])
      expect(folding.classify(callHead('PUT', target), null)).toMatchObject({
        rule: 'low',
        locks: [{ name: 'l/Ab' }],
        target,
        dialect: 'zapi',
      })
    expect(policy.classify(callHead('GET', '/ONE/x'), null)).toMatchObject({ rule: 'default' })
  })
})
