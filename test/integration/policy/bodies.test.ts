// Bodies that the policy reads for a lock, read by others: what the gateway takes they refuse, or they find the same values
// at the same places. So nothing is forwarded under a lock that the backend would have read differently.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { belowPrefix } from '../../../gateway/policy/path-prefix.ts'
import { CallReading } from '../../../gateway/policy/reading.ts'
import { SoapPaths } from '../../../gateway/policy/soap-paths.ts'
import { SOAP_ENVELOPE } from '../../../gateway/policy/xml-envelope.ts'
import { callHead } from '../../../gateway/spi/policy.ts'
import { type BodyReaders, bodyReadersAvailable, startBodyReaders } from '../../support/body-readers.ts'
import fc from '../../support/fast-check.ts'

const DRAWN = 4_000
/** Of those drawn so many have to be taken, or the test has drawn nothing worth while. */
const TAKEN_MIN = 400
const START_MS_MAX = 120_000
const READ_MS_MAX = 120_000

const Findings = z.record(
  z.string(),
  z.union([z.literal(false), z.record(z.string(), z.array(z.string().nullable()))]),
)
/** What would be gone by; null where the call is refused. */
type Taken = Readonly<Record<string, readonly (string | null)[]>> | null

// No other namespace than the method's is declared for types: then a reader with an eye for them has to agree, too.
const soapPaths = new SoapPaths()
const SOAP_PLACES = ['_this', '_this@type', 'name', 'spec/name', 'spec/location/datastore']
const SOAP_PATHS = SOAP_PLACES.map((place) => [place, soapPaths.want(place)] as const)
const JSON_PLACES = ['/volume/id', '/volume/ids/*', '/volume/kind', '/kind']

function callOf(type: string, body: string): CallReading {
  const plain = { ok: true, target: '/x', path: '/x', query: null, segments: ['x'] } as const
  const target = belowPrefix({ ...plain, encodedSlash: false, trailingSlash: false }, [])
  const terms = { xmlPaths: { soap: soapPaths, zapi: new SoapPaths() }, mediaTypes: new Set<string>() }
  return new CallReading(callHead('POST', '/x', { 'content-type': type }), target, Buffer.from(body), terms)
}

function takenJson(body: string): Taken {
  const call = callOf('application/json', body)
  const found = JSON_PLACES.map((place) => [place, call.pointer(place.split('/').slice(1))] as const)
  return whole(found)
}

function takenSoap(body: string): Taken {
  const call = callOf('text/xml', body)
  const reading = call.xml('soap')
  if (!reading.ok) return null
  const found = SOAP_PATHS.map(([place, path]) => [place, call.xmlValue('soap', path)] as const)
  return whole([...found, ['method', [reading.method]], ['namespace', [reading.namespace]]])
}

function whole(found: readonly (readonly [string, readonly (string | null)[] | string])[]): Taken {
  const values: Record<string, readonly (string | null)[]> = {}
  for (const [place, value] of found) {
    if (typeof value === 'string') return null
    values[place] = value
  }
  return values
}

/** Some text, now and then with something at a random place taken out, put in, or said twice. */
function bent(written: fc.Arbitrary<string>, pieces: readonly string[]): fc.Arbitrary<string> {
  const bend = fc.record({
    at: fc.nat(400),
    length: fc.nat(8),
    put: fc.oneof(fc.constant(''), fc.constantFrom(...pieces)),
    twice: fc.boolean(),
  })
  return fc.tuple(written, fc.option(bend, { freq: 2 })).map(([text, change]) => {
    if (change === null) return text
    const at = change.at % (text.length + 1)
    const cut = text.slice(at, at + change.length)
    return `${text.slice(0, at)}${change.twice ? cut + cut : change.put}${text.slice(at + change.length)}`
  })
}

const KEYS = [
  'volume',
  'id',
  'ids',
  'kind',
  'other',
  'Volume',
  'ID',
  '\\u0069d',
  'id ',
  'kınd',
  '\u212aind',
  'idſ',
  'ſ',
  '',
]
const TEXTS = [
  'a1',
  '',
  'A',
  '\\u0061',
  '\\ud83d\\ude00',
  '😀',
  'é',
  '\\ud800',
  '\\/',
  '\\n',
  ' a',
  '\u2028',
  '\\u0000',
]
const NUMBERS = [
  '0',
  '7',
  '-0',
  '-7',
  '007',
  '1e2',
  '1.0',
  '12345678901234567890',
  '-',
  '+1',
  'NaN',
  'Infinity',
]
const { document: jsonDocument } = fc.letrec<{ value: string; object: string; document: string }>((tie) => ({
  value: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...TEXTS).map((text) => `"${text}"`) },
    { weight: 2, arbitrary: fc.constantFrom(...NUMBERS) },
    { weight: 2, arbitrary: fc.constantFrom('true', 'false', 'null', 'True', "'a'") },
    {
      weight: 2,
      arbitrary: fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
    },
    { weight: 1, arbitrary: tie('object') },
  ),
  object: fc
    .array(fc.tuple(fc.constantFrom(...KEYS), tie('value')), { maxLength: 4 })
    .map((members) => `{${members.map(([key, value]) => `"${key}":${value}`).join(',\n')}}`),
  document: fc
    .tuple(
      fc.constantFrom('volume', 'volume', 'Volume', 'other'),
      tie('object'),
      fc.constantFrom(...KEYS),
      tie('value'),
    )
    .map(([name, object, key, value]) => `{ "${name}": ${object}, "${key}": ${value} }`),
}))

const VIM = 'urn:vim25'
const XML_TEXTS = [
  'vm-1',
  '',
  '[ds] a/b',
  ' x',
  'a&amp;b',
  '&lt;',
  '&#65;',
  '&#x41;',
  '&unknown;',
  'a\r\nb',
  'a\nb',
  'a\tb',
  'é',
  '😀',
  '\u0085',
  '\u2028',
  '&#13;',
  '&#xA;',
  '<!--c-->',
  'a<!--c-->b',
  '<![CDATA[z]]>',
  ']]&gt;',
  '&#xD800;',
]
const NAMES = [
  '_this',
  'name',
  'spec',
  'location',
  'datastore',
  'other',
  'Name',
  'p:name',
  'q:_this',
  'v:spec',
]
const ATTRIBUTES = [
  '',
  '',
  '',
  ' type="VirtualMachine"',
  ' type="A\nB"',
  ' type=" A"',
  ' type="a&#10;b"',
  " type='B'",
  ' p:type="C"',
  ' xsi:type="D"',
  ` xmlns="${VIM}"`,
  ' xmlns="urn:other"',
  ' xmlns=""',
  ` xmlns:v="${VIM}"`,
  ' xmlns:p="urn:p2"',
]
const { element: xmlElement } = fc.letrec<{ element: string }>((tie) => ({
  element: fc
    .tuple(
      fc.constantFrom(...NAMES),
      fc.constantFrom(...ATTRIBUTES),
      fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...XML_TEXTS) },
        { weight: 2, arbitrary: fc.array(tie('element'), { maxLength: 3 }).map((inner) => inner.join('')) },
      ),
    )
    .map(([name, attributes, inner]) => `<${name}${attributes}>${inner}</${name}>`),
}))
const soapDocument = fc
  .tuple(
    fc.constantFrom(
      '',
      '',
      '<?xml version="1.0" encoding="UTF-8"?>',
      '<?xml version="1.0"?>\n',
      '<!DOCTYPE a>',
    ),
    fc.constantFrom('', '', '<e:Header><a xmlns="urn:a">1</a></e:Header>'),
    fc.constantFrom(`<CreateFolder xmlns="${VIM}"`, `<v:CreateFolder xmlns:v="${VIM}"`),
    fc.array(xmlElement, { minLength: 1, maxLength: 3 }),
  )
  .map(([declaration, header, method, inner]) => {
    const spaces = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:p="urn:p" xmlns:q="urn:vim25"'
    const closing = method.slice(1, method.indexOf(' '))
    return `${declaration}<e:Envelope xmlns:e="${SOAP_ENVELOPE}" ${spaces}>${header}<e:Body>${method}>${inner.join('')}</${closing}></e:Body></e:Envelope>`
  })

describe.skipIf(!bodyReadersAvailable())('a body that the gateway reads for a lock', () => {
  let readers: BodyReaders

  beforeAll(async () => {
    readers = await startBodyReaders()
  }, START_MS_MAX)
  afterAll(() => readers?.close())

  const FORMATS = [
    {
      format: 'json',
      places: JSON_PLACES,
      taken: takenJson,
      bodies: bent(jsonDocument, [
        '\ufeff',
        '//',
        '/* */',
        ',',
        '}',
        '{"id":"b"}',
        '\u0000',
        '\u00a0',
        'NaN',
      ]),
    },
    {
      format: 'soap',
      places: SOAP_PLACES,
      taken: takenSoap,
      bodies: bent(soapDocument, [
        '\ufeff',
        '<e:Body/>',
        '<name>b</name>',
        '&',
        '<!-- -->',
        '<?a b?>',
        '\u0000',
        '\u00a0',
      ]),
    },
  ]

  it.each(FORMATS)(
    'as $format is read alike by everybody who takes it',
    { timeout: READ_MS_MAX },
    async ({ format, places, taken, bodies }) => {
      const drawn = [...new Set(fc.sample(bodies, DRAWN))].map((body) => ({ body, ours: taken(body) }))
      const passed = drawn.filter(({ ours }) => ours !== null)
      expect(passed.length).toBeGreaterThan(TAKEN_MIN)
      expect(drawn.length - passed.length).toBeGreaterThan(TAKEN_MIN)
      const answers = await readers.read(passed.map(({ body }) => ({ format, body, places })))
      const understood = new Set<string>()
      for (const [index, { body, ours }] of passed.entries()) {
        for (const [reader, found] of Object.entries(Findings.parse(answers[index]))) {
          // Whoever refuses it does no harm.
          if (found === false) continue
          understood.add(`${reader} ${body}`)
          for (const [place, values] of Object.entries(ours ?? {})) {
            // What is no plain text names no lock.
            if (values.includes(null)) continue
            expect(found[place], `${reader} at ${place}: ${body}`).toEqual(values)
          }
        }
      }
      expect(understood.size).toBeGreaterThan(3 * TAKEN_MIN)
    },
  )
})
