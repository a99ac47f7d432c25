// Refusals in the dialects of arrays and BMCs: what their clients look for is there, and what they take for "again" or
// for success is not.

import { describe, expect, test } from 'vitest'
import { REFUSALS, type RefusalCode } from '../../../gateway/core/verdict.ts'
import { SoapPaths } from '../../../gateway/policy/soap-paths.ts'
import { readSoap } from '../../../gateway/policy/soap-reader.ts'
import { renderRefusal } from '../../../gateway/proxy/refusals.ts'
import type { Dialect } from '../../../gateway/spi/policy.ts'

const codes = Object.keys(REFUSALS) as RefusalCode[]
const isFraming = (code: RefusalCode) => code === 'bad-request' || code === 'too-large'
const say = (code: RefusalCode, dialect: Dialect, callId?: string) => {
  const answer = renderRefusal({ code, detail: 'because "<&>', lock: 'löck', token: '8' }, dialect, callId)
  return { status: answer.status, text: answer.body.toString(), headers: answer.headers }
}

describe.each(codes)('the verdict %s', (code) => {
  const { status } = REFUSALS[code]

  test('is an error object of ONTAP, with a code that is none of ONTAP', () => {
    const said = say(code, 'ontap')
    expect(said.status).toBe(status)
    expect(JSON.parse(said.text)).toMatchObject({
      error: { code: `fencing.${code}`, message: expect.stringContaining('because "<&>'), target: 'löck' },
    })
  })

  test('is a failed result of ZAPI, under a status with which clients read it', () => {
    const said = say(code, 'zapi')
    expect(said.status).toBe(isFraming(code) ? status : 200)
    expect(said.headers).toContain('Fencing-Verdict')
    const paths = new SoapPaths()
    expect(readSoap(Buffer.from(said.text), paths, 'zapi')).toMatchObject({ ok: true, method: 'results' })
    expect(said.text).toMatch(
      /<results status="failed" errno="13003" reason="[^"<>]*because &quot;&lt;&amp;&gt;/,
    )
  })

  test('is an error of JSON-RPC with the id of the call, and has the name of one that passes only where it may', () => {
    const said = say(code, 'jsonrpc', '"a\\"b"')
    expect(said.status).toBe(status)
    const body = JSON.parse(said.text)
    expect(body).toMatchObject({ id: 'a"b', error: { code: status, data: { lock: 'löck' } } })
    expect(Object.hasOwn(body, 'result')).toBe(false)
    const passes = code === 'handover' || code === 'view-not-current'
    expect(body.error.name === 'xNotReadyForIO').toBe(passes)
    expect(body.error.name).not.toBe('xPermissionDenied')
    expect(JSON.parse(say(code, 'jsonrpc').text).id).toBe(null)
  })

  test('is one such error for each call of a batch', () => {
    const ids = '[null,"a,]\\"[",12345678901234567890,-7]'
    const said = say(code, 'jsonrpc', ids)
    expect(said.text).toContain('"id":12345678901234567890,')
    expect(JSON.parse(said.text).map((one: { id: unknown }) => one.id)).toEqual(JSON.parse(ids))
  })

  test("is an error object of OceanStor, with no code that Cinder's driver logs in again for", () => {
    const said = say(code, 'oceanstor')
    expect(said.status).toBe(isFraming(code) ? status : 200)
    const { error } = JSON.parse(said.text)
    expect(error.code).toBe(status)
    expect([0, -401, -403]).not.toContain(error.code)
    expect(error.description).toContain('because')
  })

  test("is an error object of Hitachi's, and none that says that another has the resource group", () => {
    const said = say(code, 'hitachi')
    // A lost answer must not be taken for "again", as a 5xx is.
    expect(said.status).toBe(code === 'backend-down' ? 409 : status)
    const body = JSON.parse(said.text)
    expect(body).toMatchObject({ errorSource: 'fencegate', message: expect.stringContaining('because') })
    expect(body.messageId).not.toMatch(/^KART/)
    expect(body.errorCode).toEqual({})
  })

  test("is an error of MSA's in its XML, with none of the codes that its driver takes for done or for a lost login", () => {
    const said = say(code, 'msa')
    expect(said.status).toBe(status)
    const properties = [...said.text.matchAll(/<PROPERTY name="([^"]+)" type="[^"]+">([^<]*)<\/PROPERTY>/g)]
    const found = Object.fromEntries(properties.map(([, name = '', value = '']) => [name, value]))
    expect(found).toMatchObject({ 'response-type-numeric': '1', 'return-code': `-${status}` })
    expect(found['response']).toContain('because &quot;&lt;&amp;&gt;')
    expect(found['response']).not.toMatch(/\(-\d{5}\)/)
    expect(readSoap(Buffer.from(said.text), new SoapPaths(), 'plain')).toMatchObject({ ok: true })
  })

  test("is an error object of PowerFlex's, with a code that is none of its own, and no status that asks for a login", () => {
    const said = say(code, 'powerflex')
    expect(said.status).toBe(status === 403 ? 409 : status)
    const body = JSON.parse(said.text)
    expect(body).toMatchObject({ message: expect.stringContaining('because'), httpStatusCode: said.status })
    expect(body.errorCode).toBe(-said.status)
  })

  test("is a list of messages of PowerStore's", () => {
    const said = say(code, 'powerstore')
    expect(said.status).toBe(status)
    const [message] = JSON.parse(said.text).messages
    expect(message).toMatchObject({ code: `fencing.${code}`, arguments: ['löck'] })
    expect(message.message_l10n).toContain('because')
  })

  test('asks who sends the call, where that is what it is refused for', () => {
    for (const dialect of ['zapi', 'ontap', 'jsonrpc'] as const) {
      const asked = renderRefusal({ code, detail: 'x', challenge: 'Basic realm="a"' }, dialect)
      expect(asked.status).toBe(isFraming(code) ? status : 401)
      expect(asked.headers.join('\n')).toContain('WWW-Authenticate\nBasic realm="a"')
    }
  })

  test('is an error object of Redfish with its extended information', () => {
    const said = say(code, 'redfish')
    expect(said.status).toBe(status)
    const { error } = JSON.parse(said.text)
    const [info] = error['@Message.ExtendedInfo']
    expect(info.Message).toBe(error.message)
    expect(info.MessageId).toMatch(/^Base\.1\.0\.[A-Z]/)
    expect(info.Resolution).toBe(REFUSALS[code].remedy)
  })

  test('is the error of vCenter that /api has, and the one that /rest has, and never one to log in again after', () => {
    const said = say(code, 'vapi')
    expect(said.status).toBe(isFraming(code) || status >= 500 ? status : 400)
    const body = JSON.parse(said.text)
    expect(body.error_type).toMatch(/^(?:UNAUTHORIZED|SERVICE_UNAVAILABLE|INVALID_REQUEST)$/)
    expect(body.type).toBe(`com.vmware.vapi.std.errors.${body.error_type.toLowerCase()}`)
    const [message] = body.messages
    expect(message.default_message).toContain('because')
    expect(body.value.messages).toEqual(body.messages)
    expect(body.error_type === 'SERVICE_UNAVAILABLE').toBe(status >= 500)
  })
})

test('a refusal that a status of its own is given says that one, in every dialect that has one', () => {
  const refusal = { code: 'backend-down', detail: 'x', status: 504 } as const
  for (const dialect of ['ontap', 'jsonrpc', 'msa', 'redfish', 'vapi'] as const)
    expect(renderRefusal(refusal, dialect).status).toBe(504)
  expect(renderRefusal({ ...refusal, status: 503 }, 'hitachi').status).toBe(503)
  expect(JSON.parse(renderRefusal(refusal, 'oceanstor').body.toString()).error.code).toBe(504)
})
