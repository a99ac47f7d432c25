import { describe, expect, it } from 'vitest'
import { SoapPaths } from '../../../gateway/policy/soap-paths.ts'
import { readSoap } from '../../../gateway/policy/soap-reader.ts'
import { ZAPI_NAMESPACE } from '../../../gateway/policy/xml-envelope.ts'
import { zapiText } from '../../../gateway/policy/zapi-answer.ts'
import { callHead } from '../../../gateway/spi/policy.ts'
import fc from '../../support/fast-check.ts'
import { policyOf } from './small-pack.ts'

const paths = new SoapPaths()
const LUN = paths.want('path')
const VFILER = paths.want('@vfiler')
const JOB = paths.want('result-jobid')

const envelope = (inner: string, attributes = '') =>
  `<netapp xmlns="${ZAPI_NAMESPACE}" version="1.150"${attributes}>${inner}</netapp>`
const read = (text: string) => readSoap(Buffer.from(text), paths, 'zapi')

describe('a ZAPI message', () => {
  it('names its method, what is wanted below it, and attributes of its envelope', () => {
    const reading = read(
      `<?xml version='1.0' encoding='UTF-8'?>${envelope('<lun-destroy><path>/vol/v/lun</path></lun-destroy>', ' vfiler="vs1"')}`,
    )
    expect(reading).toMatchObject({ ok: true, method: 'lun-destroy', namespace: ZAPI_NAMESPACE })
    expect(reading.ok && reading.values[LUN.value]).toEqual(['/vol/v/lun'])
    expect(reading.ok && reading.values[VFILER.value]).toEqual(['vs1'])
  })

  it.each([
    [envelope('<a/><b/>'), 'two methods'],
    [envelope(''), 'no method'],
    [envelope('text<a/>'), 'text beside the method'],
    [envelope('<a/>', ' vfiler="a" vfiler="b"'), 'an attribute twice'],
    [envelope('<a><![CDATA[<path>/vol</path>]]></a>'), 'a CDATA section where arguments stand'],
    [`${envelope('<a/>')}${envelope('<a/>')}`, 'two documents'],
    ['<netapp><a/></netapp>', 'no namespace'],
    ['<netapp xmlns="urn:other"><a/></netapp>', 'another namespace'],
    [`<x xmlns="${ZAPI_NAMESPACE}"><a/></x>`, 'another root'],
    [`<!DOCTYPE netapp SYSTEM "file:/etc/netapp_filer.dtd">${envelope('<a/>')}`, 'a document type'],
    [envelope(`<a>${'<b>'.repeat(200)}${'</b>'.repeat(200)}</a>`), 'too much nesting'],
    [envelope(`<a ${Array.from({ length: 70 }, (_, i) => `x${i}="1"`).join(' ')}/>`), 'too many attributes'],
    [
      `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><a/></e:Body></e:Envelope>`,
      'SOAP',
    ],
  ])('is refused: %s, %s', (text) => {
    expect(read(text).ok).toBe(false)
  })

  it('takes any mixture of its markup without throwing, and never two calls for one', () => {
    const piece = fc.constantFrom(
      `<netapp xmlns="${ZAPI_NAMESPACE}">`,
      '</netapp>',
      '<a>',
      '</a>',
      '<b/>',
      'x',
      '<!-- -->',
      '<![CDATA[',
      ']]>',
      '<path>',
      '</path>',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const text = parts.join('')
        const reading = read(text)
        if (reading.ok) expect(text.split('<netapp').length).toBe(2)
      }),
      { numRuns: 3000 },
    )
  })
})

const policy = policyOf(`
  - { id: list, path: /zapi, method: POST, zapi: { matches: "[a-z-]*-get-iter" }, effect: read }
  - id: destroy
    path: /zapi
    method: POST
    zapi: { method: lun-destroy, capture: { thing: path, vfiler: "@vfiler" } }
    effect: mutate
    locks: "{vfiler}/{thing|basename}"
  - id: create
    path: /zapi
    method: POST
    zapi: { method: volume-create-async, capture: { thing: volume-name, vfiler: "@vfiler" } }
    effect: mutate
    locks: thing
    job:
      kind: http
      statuses: [200]
      id: result-jobid
      optional: true
      probe: /zapi
      probe_zapi: "<job-get><job-id>{id|integer}</job-id></job-get>"
      pointer: attributes/job-info/job-state
      terminal: [success, failure]`)

function classify(inner: string, attributes = ' vfiler="vs1"') {
  const head = callHead('POST', '/zapi', { 'content-type': 'text/xml' })
  expect(policy.bodyBytesNeeded(head)).toBeGreaterThan(0)
  return policy.classify(head, Buffer.from(envelope(inner, attributes)))
}

describe('a rule on ZAPI', () => {
  it('is found by the method, and takes its locks from below it', () => {
    expect(classify('<lun-get-iter/>')).toMatchObject({ effect: 'read', rule: 'list' })
    expect(classify('<lun-destroy><path>/vol/v/L1</path></lun-destroy>')).toMatchObject({ kind: 'refused' })
    expect(classify('<lun-destroy><path>vol/v/L1</path></lun-destroy>')).toMatchObject({
      effect: 'mutate',
      locks: [{ name: 'vs1/L1' }],
    })
  })

  it('leaves an unknown method to the default, and refuses one of another namespace or case', () => {
    expect(classify('<lun-unheard-of/>')).toMatchObject({ rule: 'default', effect: 'mutate' })
    expect(classify('<x:lun-get-iter xmlns:x="urn:x"/>')).toMatchObject({ kind: 'refused' })
    expect(classify('<Lun-Destroy><path>vol/v/L1</path></Lun-Destroy>')).toMatchObject({ kind: 'refused' })
  })

  it('follows a job by ZAPI, on the same vfiler', () => {
    const found = classify('<volume-create-async><volume-name>v</volume-name></volume-create-async>')
    if (found.kind !== 'call' || found.job === null) throw new Error('the call may start a job')
    const answer = (inner: string) =>
      `<?xml version='1.0' encoding='UTF-8' ?><!DOCTYPE netapp SYSTEM 'file:/etc/netapp_gx.dtd'>${envelope(inner)}`
    const named = found.job.read(
      200,
      Buffer.from(
        answer(
          '<results status="passed"><result-status>in_progress</result-status><result-jobid>71</result-jobid></results>',
        ),
      ),
    )
    if (named.kind !== 'job' || named.probe.kind !== 'http') throw new Error('the answer names one')
    expect(named.id).toBe('create:71')
    expect(named.probe.request?.body).toContain(
      'vfiler="vs1"><job-get><job-id>71</job-id></job-get></netapp>',
    )
    const state = (text: string) =>
      named.probe.kind === 'http'
        ? named.probe.stateOf?.(
            answer(
              `<results status="passed"><attributes><job-info><job-state>${text}</job-state></job-info></attributes></results>`,
            ),
          )
        : null
    expect(state('success')).toBe('success')
    expect(named.probe.terminalValues).toEqual(['success', 'failure'])
    expect(named.probe.stateOf?.(answer('<results status="failed" errno="15661"/>'))).toBe(undefined)
    expect(found.job.read(200, Buffer.from(answer('<results status="failed"/>')))).toEqual({ kind: 'none' })
    expect(found.job.read(200, Buffer.from('lost'))).toMatchObject({ kind: 'unreadable' })
  })
})

describe('an answer of a filer', () => {
  const text = (xml: string) => zapiText(Buffer.from(xml), paths, JOB)
  it('is read although it names a document type, unless that declares something', () => {
    const results = envelope('<results><result-jobid>5</result-jobid></results>')
    expect(text(`<!DOCTYPE netapp SYSTEM "file:/etc/netapp_gx.dtd">${results}`)).toMatchObject({ text: '5' })
    expect(text(`<!DOCTYPE netapp [<!ENTITY a "b">]>${results}`)).toMatchObject({ kind: 'unreadable' })
    expect(text(`<!DOCTYPE netapp SYSTEM "x" [<!ENTITY a "b">]>${results}`)).toMatchObject({
      kind: 'unreadable',
    })
    expect(text(envelope('<other><result-jobid>5</result-jobid></other>'))).toMatchObject({
      kind: 'unreadable',
    })
    expect(text(envelope('<results/>'))).toEqual({ kind: 'absent' })
  })
})
