import { describe, expect, it } from 'vitest'
import { SoapPaths } from '../../../gateway/policy/soap-paths.ts'
import { readSoap } from '../../../gateway/policy/soap-reader.ts'
import { SOAP_ENVELOPE } from '../../../gateway/policy/xml-envelope.ts'
import fc from '../../support/fast-check.ts'

const paths = new SoapPaths()
const THIS = paths.want('_this')
const TYPE = paths.want('_this@type')
const STORE = paths.want('spec/location/datastore')

function envelope(body: string, more = ''): string {
  return `<e:Envelope xmlns:e="${SOAP_ENVELOPE}">${more}<e:Body>${body}</e:Body></e:Envelope>`
}

const read = (text: string) => readSoap(Buffer.from(text), paths)

function call(inner: string): ReturnType<typeof read> {
  return read(envelope(`<M xmlns="urn:vim25">${inner}</M>`))
}

describe('readSoap', () => {
  it('takes the declaration of a prefix for no attribute, whatever the prefix is called', () => {
    const reading = call('<_this type="VirtualMachine" xmlns:type="urn:other">vm-1</_this>')
    expect(reading.ok && reading.values[TYPE.value]).toEqual(['VirtualMachine'])
  })

  it('names the method whatever the prefixes', () => {
    const forms = [
      envelope(
        '<PowerOffVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">vm-1</_this></PowerOffVM_Task>',
      ),
      `<?xml version="1.0" encoding="utf-8"?>\n<SOAP-ENV:Envelope xmlns:SOAP-ENV='${SOAP_ENVELOPE}' xmlns:ns0="urn:vim25">
        <SOAP-ENV:Header><operationID>x</operationID></SOAP-ENV:Header><!-- - -->
        <SOAP-ENV:Body><ns0:PowerOffVM_Task><ns0:_this type='VirtualMachine'>vm-1</ns0:_this></ns0:PowerOffVM_Task></SOAP-ENV:Body>
      </SOAP-ENV:Envelope>\n`,
      `<Envelope xmlns="${SOAP_ENVELOPE}"><Body><PowerOffVM_Task xmlns="urn:vim&#50;5"><_this type="VirtualMachine">vm&#x2d;1</_this></PowerOffVM_Task></Body></Envelope>`,
    ]
    for (const form of forms) {
      const reading = read(form)
      expect(reading).toMatchObject({ ok: true, method: 'PowerOffVM_Task', namespace: 'urn:vim25' })
      if (!reading.ok) continue
      expect(reading.values[THIS.value]).toEqual(['vm-1'])
      expect(reading.values[TYPE.value]).toEqual(['VirtualMachine'])
    }
  })

  it('collects the values that are wanted, and each of several', () => {
    const reading = call(
      '<_this type="A">1</_this><_this type="B">2</_this><spec><x>9</x><location><datastore>d</datastore></location></spec><location><datastore>no</datastore></location>',
    )
    expect(reading.ok && reading.values[THIS.value]).toEqual(['1', '2'])
    expect(reading.ok && reading.values[TYPE.value]).toEqual(['A', 'B'])
    expect(reading.ok && reading.values[STORE.value]).toEqual(['d'])
  })

  it.each([
    ['<_this>vm-<!-- -->1</_this>', 'a comment in it'],
    ['<_this><![CDATA[vm-1]]></_this>', 'a CDATA section'],
    ['<_this>vm-<b/>1</_this>', 'an element in it'],
    ['<_this> vm-1</_this>', 'white space around it'],
  ])('takes no text for plain that parsers read differently: %s, %s', (inner) => {
    const reading = call(inner)
    expect(reading.ok && reading.values[THIS.value]).toEqual([null])
  })

  it('takes an argument in the namespace of its method alone, and what is below it also in that of its type', () => {
    const own = new SoapPaths()
    const nested = own.want('id/id')
    own.namespaces.add('urn:vslm').add('urn:vim25')
    const of = (inner: string, method = 'urn:vslm') =>
      readSoap(Buffer.from(envelope(`<M xmlns="${method}">${inner}</M>`)), own)
    for (const inner of ['<id><id>1</id></id>', '<id><id xmlns="urn:vim25">1</id></id>']) {
      const reading = of(inner)
      expect(reading.ok && reading.values[nested.value]).toEqual(['1'])
    }
    for (const inner of [
      '<id xmlns="urn:vim25"><id>1</id></id>',
      '<id><id xmlns="urn:x">1</id></id>',
      '<id><id xmlns="">1</id></id>',
    ])
      expect(of(inner).ok, inner).toBe(false)
    // What nobody asks for may be anything.
    expect(of('<other xmlns="urn:x"><id/></other>').ok).toBe(true)
  })

  it('takes a value with a carriage return, or with white space in an attribute that is no blank, for no text', () => {
    const text = call('<_this type="a">1\r\n2</_this>')
    expect(text.ok && text.values[THIS.value]).toEqual([null])
    for (const type of ['a\tb', 'a\nb', 'a\rb']) {
      const reading = call(`<_this type="${type}">1</_this>`)
      expect(reading.ok && reading.values[TYPE.value]).toEqual([null])
    }
    const referred = call('<_this type="a&#10;b">1&#13;2</_this>')
    expect(referred.ok && [referred.values[THIS.value], referred.values[TYPE.value]]).toEqual([
      ['1\r2'],
      ['a\nb'],
    ])
  })

  it('takes a type that a parser blind to prefixes would mistake for the real one for no text', () => {
    const reading = call('<_this type="A" xmlns:o="urn:o" o:type="B">1</_this>')
    expect(reading.ok && reading.values[TYPE.value]).toEqual(['A', null])
    const usual = call(
      '<_this type="A" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="B">1</_this>',
    )
    expect(usual.ok && usual.values[TYPE.value]).toEqual(['A'])
  })

  it('takes as many attributes and levels as it may, and references and white space wherever XML does', () => {
    const many = Array.from({ length: 63 }, (_, i) => `a${i}="1"`).join('\n')
    for (const inner of [
      `<x xmlns="u" ${many}/>`,
      `${'<a>'.repeat(125)}${'</a>'.repeat(125)}`,
      '<a b = "1"\tc=\'"]]>\' ></a\r\n>',
      'a > b ] c ]] d "\' &#x10FFFF;&quot;',
      '<a><![CDATA[<]]]]></a><!---->',
    ])
      expect(call(inner).ok, inner).toBe(true)
    expect(read(`${envelope('<M xmlns="urn:vim25"/>')}\r\n\t `).ok).toBe(true)
  })

  it('judges each declaration by itself, whichever it has just read', () => {
    const declared = (rest: string) =>
      read(`<?xml version="1.0"${rest}?>${envelope('<M xmlns="urn:vim25"/>')}`).ok
    for (const [rest, ok] of [
      ['', true],
      [' encoding="UTF-8"', true],
      [' encoding="ISO-8859-1"', false],
      [' encoding="ISO-8859-1"', false],
      [' encoding="UTF-8"', true],
      [' encoding="UTF-8" standalone="yes"', true],
      [' encoding="UTF-8" standalone="maybe"', false],
      [' '.repeat(237), true],
      [' '.repeat(238), false],
    ] as const)
      expect(declared(rest), rest).toBe(ok)
  })

  const method = '<M xmlns="urn:vim25"/>'
  it.each([
    [envelope(`${method}${method}`), 'two methods'],
    [envelope(''), 'no method'],
    [envelope('text'), 'text in place of a method'],
    [envelope(`${method}text`), 'text beside the method'],
    [envelope(`<![CDATA[x]]>${method}`), 'a CDATA section beside the method'],
    [envelope('<M xmlns="urn:vim25"><![CDATA[<_this/>]]></M>'), 'a CDATA section where arguments stand'],
    [
      `<e:Envelope xmlns:e="${SOAP_ENVELOPE}"><e:Body>${method}</e:Body><e:Body>${method}</e:Body></e:Envelope>`,
      'two bodies',
    ],
    [
      `<e:Envelope xmlns:e="${SOAP_ENVELOPE}"><e:Body>${method}</e:Body><e:Header/></e:Envelope>`,
      'a header behind the body',
    ],
    [
      `<e:Envelope xmlns:e="${SOAP_ENVELOPE}"><e:Body>${method}</e:Body><e:Body/></e:Envelope>`,
      'a second body that is empty',
    ],
    [envelope('<M xmlns="urn:vim25"><a xmlns:p="u"/><p:x/></M>'), 'a prefix whose scope is over'],
    [envelope('<M xmlns="urn:vim25"><a xmlns:p="u"></a><p:x/></M>'), 'a prefix whose element is closed'],
    [
      envelope(
        `<M xmlns="urn:vim25"><a ${Array.from({ length: 40 }, (_, i) => `xmlns:p${i}="u"`).join(' ')}><b ${Array.from({ length: 40 }, (_, i) => `xmlns:q${i}="u"`).join(' ')}/></a></M>`,
      ),
      'more namespaces than anyone binds',
    ],
    [`<e:Envelope xmlns:e="${SOAP_ENVELOPE}"><Body>${method}</Body></e:Envelope>`, 'a body that is not SOAP'],
    [
      `<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>${method}</e:Body></e:Envelope>`,
      'SOAP 1.2',
    ],
    [`<Envelope><Body>${method}</Body></Envelope>`, 'no namespace'],
    [envelope(method, '<x/>'), 'something besides header and body'],
    [`<!DOCTYPE e:Envelope>${envelope(method)}`, 'a document type'],
    [`<!DOCTYPE x [<!ENTITY a "b">]>${envelope(method)}`, 'entities of its own'],
    [`<?php x?>${envelope(method)}`, 'a processing instruction'],
    [`${envelope(method)}<?x?>`, 'a processing instruction at the end'],
    [` <?xml version="1.0"?>${envelope(method)}`, 'white space before the declaration'],
    [`<?xml version="1.0" encoding="ISO-8859-1"?>${envelope(method)}`, 'another encoding'],
    [`<?xml version="1.1"?>${envelope(method)}`, 'XML 1.1'],
    [`\ufeff${envelope(method)}`, 'a byte order mark'],
    [`${envelope(method)}${envelope(method)}`, 'two documents'],
    [`${envelope(method)}x`, 'something behind the document'],
    [envelope('<M xmlns="urn:vim25"><a></b></M>'), 'tags that do not fit'],
    [envelope('<M xmlns="urn:vim25"><a></aa></a></M>'), 'a closing tag that begins like the right one'],
    [envelope('<M xmlns="urn:vim25"><a></M>'), 'an element that is not closed'],
    [envelope('<M xmlns="urn:vim25" xmlns="urn:other"/>'), 'an attribute twice'],
    [envelope('<M xmlns="urn:vim25"><_this type="A" type="B">1</_this></M>'), 'a type twice'],
    [
      envelope('<M xmlns="urn:vim25" xmlns:a="u" xmlns:b="u"><x a:y="1" b:y="2"/></M>'),
      'an attribute twice by two prefixes',
    ],
    [envelope('<M xmlns="urn:vim25"><p:x/></M>'), 'a prefix that is not declared'],
    [envelope('<M xmlns="urn:vim25"><x p:y="1"/></M>'), "an attribute's prefix that is not declared"],
    [envelope('<M xmlns="urn:vim25" xmlns:p=""/>'), 'a prefix bound to nothing'],
    [envelope('<M xmlns="urn:vim25" xmlns:xml="urn:x"/>'), 'the prefix xml bound anew'],
    [envelope('<M xmlns="urn:vim25">&x;</M>'), 'an entity'],
    [envelope('<M xmlns="urn:vim25">&</M>'), 'a bare ampersand'],
    [envelope('<M xmlns="urn:vim25">&#0;</M>'), 'a reference to NUL'],
    [envelope('<M xmlns="urn:vim25">&#xD800;</M>'), 'a reference to a surrogate'],
    [envelope('<M xmlns="urn:vim25" a="<"/>'), 'a less-than sign in an attribute'],
    [envelope('<M xmlns="urn:vim25" a="1"b="2"/>'), 'no space between attributes'],
    [envelope('<M xmlns="urn:vim25" a=1/>'), 'an attribute without quotes'],
    [envelope('<M xmlns="urn:vim25">]]></M>'), 'the end of a CDATA section in text'],
    [envelope('<M xmlns="urn:vim25">\u0001</M>'), 'a control character'],
    [envelope('<M xmlns="urn:vim25"><!-- a -- b --></M>'), 'a comment with two hyphens'],
    [envelope('<M xmlns="urn:vim25"><!-- \u0001 --></M>'), 'a control character in a comment'],
    [
      envelope('<M xmlns="urn:vim25"><a><![CDATA[\u0001]]></a></M>'),
      'a control character in a CDATA section',
    ],
    [envelope('<M xmlns="urn:vim25" a="\u0001"/>'), 'a control character in an attribute'],
    [envelope('<M xmlns="urn:vim25">\ufffe</M>'), 'a character that XML forbids, beyond ASCII'],
    [envelope('<M xmlns="urn:vim25">\uffff</M>'), 'another one'],
    [envelope('<M xmlns="urn:vim25"><é/></M>'), 'a name beyond ASCII'],
    [envelope('<M xmlns="urn:vim25">&am<!-- -->p;</M>'), 'a reference that a comment divides'],
    [envelope('<M xmlns="urn:vim25"><a></ab></M>'), 'a closing tag that goes on'],
    [envelope('<M xmlns="urn:vim25"><ab></a></M>'), 'a closing tag that is too short'],
    [envelope('<M xmlns="urn:vim25"/ >'), 'a space behind the slash of an empty element'],
    [envelope(method).slice(0, -1), 'a closing tag that is cut off'],
    [`${envelope(method).slice(0, -1)} a=">`, 'an attribute that is cut off'],
    [`${envelope(method)}\0`, 'NUL behind the document'],
    [`${envelope(method)}\u00a0`, 'a blank behind the document that is none to XML'],
    [
      envelope(`<M xmlns="urn:vim25" ${Array.from({ length: 64 }, (_, i) => `a${i}="1"`).join(' ')}></M>`),
      'more attributes than an element may have',
    ],
    [envelope('<1M/>'), 'a name that begins with a digit'],
    [envelope('<a:b:c xmlns:a="u"/>'), 'two colons in a name'],
    [envelope(`<M xmlns="urn:vim25">${'<a>'.repeat(200)}${'</a>'.repeat(200)}</M>`), 'too much nesting'],
    ['', 'nothing'],
  ])('refuses %s: %s', (text) => {
    expect(read(text).ok).toBe(false)
  })

  it('refuses bytes that are not UTF-8, whatever the declaration says', () => {
    expect(readSoap(Buffer.from(envelope(method), 'utf16le'), paths).ok).toBe(false)
    expect(readSoap(Buffer.concat([Buffer.from(envelope('<M>')), Buffer.from([0xff])]), paths).ok).toBe(false)
  })

  it('takes any bytes, and any mixture of markup, without throwing', () => {
    const pieces = fc.constantFrom(
      '<',
      '>',
      '/',
      '</',
      '/>',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      '<?xml version="1.0"?>',
      '&',
      ';',
      '#',
      '"',
      "'",
      '=',
      ' ',
      ':',
      'xmlns',
      'a',
      'e:Envelope',
      'e:Body',
      `xmlns:e="${SOAP_ENVELOPE}"`,
      '_this',
      '<a>',
      '</a>',
      `<e:Envelope xmlns:e="${SOAP_ENVELOPE}">`,
      '<e:Body>',
      '</e:Body>',
      '</e:Envelope>',
      '<M xmlns="urn:vim25">',
      '</M>',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 24 }), (parts) => {
        read(parts.join(''))
      }),
      { numRuns: 5000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        readSoap(Buffer.from(bytes), paths)
      }),
    )
  })

  it('reads four megabytes of the worst markup in linear time', () => {
    const size = 4 << 20
    const inner = [
      '&'.repeat(size),
      '&amp;'.repeat(size / 5),
      '<a/>'.repeat(size / 4),
      '<a>'.repeat(100) + '<b/>'.repeat(size / 4),
      `<x ${'xmlns:p'.concat('="u" ')}>`.repeat(1) + '<b/>'.repeat(size / 4),
      Array.from({ length: 60 }, (_, i) => `<a xmlns:p${i}="u">`).join('') + '<b/>'.repeat(size / 4),
      `<x ${Array.from({ length: size / 16 }, (_, i) => `a${i}="1"`).join(' ')}/>`,
      ']]'.repeat(size / 2),
      '<!---->'.repeat(size / 7),
      '<_this>1</_this>'.repeat(size / 16),
    ]
    for (const text of inner) {
      const body = Buffer.from(envelope(`<M xmlns="urn:vim25">${text}</M>`))
      const start = process.cpuUsage()
      readSoap(body, paths)
      expect(process.cpuUsage(start).user / 1000).toBeLessThan(4000)
    }
  })
})
