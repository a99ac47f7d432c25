// The little of XML that the prober of vSphere tasks has to understand.

import { describe, expect, test } from 'vitest'
import { elementText, findElements } from '../../../gateway/proxy/xml-text.ts'
import fc from '../../support/fast-check.ts'

describe('finding elements', () => {
  test('goes by local name, whatever the prefix and the attributes', () => {
    const xml =
      '<?xml version="1.0"?><s:a xmlns:s="u"><!-- <b>no</b> --><v:b x="1>2" y=\'"\'>one</v:b><b/>\n<b >two</b ></s:a>'
    expect(findElements(xml, 'b')?.map(({ inner }) => inner)).toEqual(['one', '', 'two'])
    expect(findElements(xml, 'b')?.[0]?.attributes).toContain('x="1>2"')
    expect(elementText(xml, 'b')).toBe('one')
    expect(elementText(xml, 'c')).toBeNull()
  })

  test('gives the outermost of elements within one another, whole', () => {
    expect(findElements('<a><f>1<f>2</f></f><f>3</f></a>', 'f')?.map(({ inner }) => inner)).toEqual([
      '1<f>2</f>',
      '3',
    ])
  })

  test('replaces entities and character references in text, and knows no others', () => {
    expect(elementText('<a>&lt;&amp;&#65;&#x42;&quot;&apos;&gt;&nbsp;&#xD800;</a>', 'a')).toBe(
      '<&AB"\'>&nbsp;&#xD800;',
    )
  })

  test.each([
    '<a>',
    '</a>',
    '<a></b>',
    '<a',
    '<a <b>',
    '<!DOCTYPE a><a/>',
    '<a><!-- </a>',
    '<a x="></a>',
    '< a/>',
    '<a><![CDATA[ </a>',
  ])('finds nothing in %s', (xml) => {
    expect(findElements(xml, 'a')).toBeNull()
  })

  test('does not see markup in a CDATA section', () => {
    expect(findElements('<a><![CDATA[<b>x</b>]]></a>', 'b')).toEqual([])
  })

  test('always ends, with any text', () => {
    const soup = fc.array(
      fc.constantFrom('<', '>', '/', 'a', 'b:a', '"', "'", '!--', '-->', '<a>', '</a>', '<?', '?>', ' '),
    )
    fc.assert(
      fc.property(soup, (parts) => {
        const xml = parts.join('')
        const found = findElements(xml, 'a')
        if (found !== null) for (const { inner } of found) expect(xml).toContain(inner)
      }),
      { numRuns: 2000 },
    )
  })
})
