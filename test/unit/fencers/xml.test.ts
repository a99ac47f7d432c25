// The reader of a SOAP server's XML: prefixes, references, and everything that must be refused.

import { describe, expect, test } from 'vitest'
import { child, childText, escapeXml, parseXml, XmlFault } from '../../../fencers/xml/document.ts'

describe('the XML reader', () => {
  test('names elements and attributes without their prefixes', () => {
    const root = parseXml('<?xml version="1.0"?><s:A xmlns:s="u" xsi:type="T &amp; U"><s:b>x</s:b><c/></s:A>')
    expect(root.name).toBe('A')
    expect(root.attributes['type']).toBe('T & U')
    expect(childText(root, 'b')).toBe('x')
    expect(child(root, 'c')?.children).toEqual([])
  })

  test('decodes references and keeps CDATA as it is', () => {
    expect(parseXml('<a>&lt;&#65;&#x42;&gt;<![CDATA[&lt;]]><!-- no --></a>').text).toBe('<AB>&lt;')
  })

  test('does not end a tag inside an attribute', () => {
    expect(parseXml('<a b=">" c=\'/>\'>t</a>')).toMatchObject({ attributes: { b: '>', c: '/>' }, text: 't' })
  })

  test('what was escaped is read back', () => {
    const text = `<"it's" & that>`
    expect(parseXml(`<a>${escapeXml(text)}</a>`).text).toBe(text)
  })

  test.each([
    ['a document type', '<!DOCTYPE a [<!ENTITY b "c">]><a/>'],
    ['an element that is not closed', '<a><b></a>'],
    ['a document that is cut off', '<a><b>te'],
    ['two roots', '<a/><b/>'],
    ['text outside of the root', '<a/>text'],
    ['nothing', ''],
    ['a nesting without end', '<a>'.repeat(1_000)],
    ['a reference to no character', '<a>&#x110000;</a>'],
  ])('refuses %s', (_name, source) => {
    expect(() => parseXml(source)).toThrow(XmlFault)
  })
})
