// Every verdict in every dialect: the status of the published table, and a body that can be parsed.

import { describe, expect, test } from 'vitest'
import { REFUSALS, type Refusal, type RefusalCode } from '../../../gateway/core/verdict.ts'
import { refusedEvent, renderRefusal } from '../../../gateway/proxy/refusals.ts'
import { elementText, findElements } from '../../../gateway/proxy/xml-text.ts'

const codes = Object.keys(REFUSALS) as RefusalCode[]
const field = (headers: readonly string[], name: string) => headers[headers.indexOf(name) + 1]

describe.each(codes)('the verdict %s', (code) => {
  const refusal = { code, detail: 'because "<&>\u0001', lock: 'löck', token: '8' }

  test('keeps the status and Retry-After of the table in the dialects of JSON', () => {
    for (const dialect of ['problem', 'openstack'] as const) {
      const answer = renderRefusal(refusal, dialect)
      expect(answer.status).toBe(REFUSALS[code].status)
      expect(answer.headers.includes('Retry-After')).toBe(REFUSALS[code].retryAfterSeconds !== null)
      expect(field(answer.headers, 'Fencing-Verdict')).toBe(code)
      expect(field(answer.headers, 'Content-Length')).toBe(String(answer.body.length))
      expect(JSON.stringify(JSON.parse(answer.body.toString()))).toContain('löck')
    }
  })

  test('is a well-formed NoPermission fault with status 500 for vSphere, but for malformed framing', () => {
    const answer = renderRefusal(refusal, 'soap')
    expect(answer.status).toBe(code === 'bad-request' ? 400 : code === 'too-large' ? 413 : 500)
    const xml = answer.body.toString()
    expect(elementText(xml, 'faultstring')).toContain('because "<&>?')
    expect(elementText(xml, 'faultstring')).toContain(code)
    expect(findElements(xml, 'detail')?.[0]?.inner).toContain('xsi:type="NoPermission"')
    expect(xml).not.toContain('NotAuthenticated')
  })
})

test('a status and a time of the case at hand win over the table', () => {
  const answer = renderRefusal(
    { code: 'backend-down', detail: 'x', status: 504, retryAfterSeconds: 2.5 },
    'problem',
  )
  expect(answer.status).toBe(504)
  expect(field(answer.headers, 'Retry-After')).toBe('3')
})

test('what is made of a lasting refusal is made once, for each backend and dialect as it should be', () => {
  const plain: Refusal = { code: 'stale-token', detail: 'because', lock: 'löck', token: '8' }
  const refusal: Refusal = { ...plain, isLasting: true }
  for (const dialect of ['problem', 'soap', 'problem', 'openstack'] as const) {
    const answer = renderRefusal(refusal, dialect)
    expect(renderRefusal(refusal, dialect)).toBe(answer)
    expect(answer).toEqual(renderRefusal(plain, dialect))
    expect(answer.body).toEqual(renderRefusal(plain, dialect).body)
  }
  expect(renderRefusal(refusal, 'jsonrpc', '7')).toEqual(renderRefusal(plain, 'jsonrpc', '7'))
  expect(renderRefusal(refusal, 'jsonrpc', '8')).toEqual(renderRefusal(plain, 'jsonrpc', '8'))
  for (const backend of ['a', 'b', 'a']) {
    const event = refusedEvent(backend, refusal)
    expect(refusedEvent(backend, refusal)).toBe(event)
    expect(event).toEqual({
      type: 'call.refused',
      backend,
      verdict: 'stale-token',
      detail: 'because',
      lock: 'löck',
      token: '8',
    })
  }
})
