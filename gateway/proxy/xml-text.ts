// Finds elements and their text in the small XML answers of vSphere. Understands no DTD and expands nothing but the
// five entities and character references; total, linear in the input.

export interface XmlElement {
  /** Local name, without prefix. */
  readonly name: string
  readonly attributes: string
  /** What stands between the tags, raw. */
  readonly inner: string
}

/**
 * All elements with this local name, outermost only, in document order. Null where the text is no well-balanced XML or
 * holds a DTD.
 */
export function findElements(xml: string, name: string): XmlElement[] | null {
  const found: XmlElement[] = []
  const open: string[] = []
  let start = -1
  let depth = -1
  let attributes = ''
  for (let at = xml.indexOf('<'); at !== -1; at = xml.indexOf('<', at)) {
    const skipped = skipMarkup(xml, at)
    if (skipped === -1) return null
    if (skipped > at) {
      at = skipped
      continue
    }
    const end = tagEnd(xml, at)
    if (end === -1) return null
    const tag = xml.slice(at + 1, end)
    if (tag.startsWith('/')) {
      if (open.pop() !== tag.slice(1).trimEnd()) return null
      if (open.length === depth) {
        found.push({ name, attributes, inner: xml.slice(start, at) })
        depth = -1
      }
    } else {
      const empty = tag.endsWith('/')
      const qualified = /^[^\s/>]+/.exec(tag)?.[0] ?? ''
      if (qualified === '') return null
      const local = qualified.slice(qualified.indexOf(':') + 1)
      const rest = tag.slice(qualified.length, empty ? -1 : undefined)
      if (local === name && depth === -1) {
        if (empty) found.push({ name, attributes: rest, inner: '' })
        else {
          depth = open.length
          start = end + 1
          attributes = rest
        }
      }
      if (!empty) open.push(qualified)
    }
    at = end + 1
  }
  return open.length === 0 ? found : null
}

/** Text of the first element with this local name; null where there is none, or where it holds elements. */
export function elementText(xml: string, name: string): string | null {
  const inner = findElements(xml, name)?.[0]?.inner
  if (inner === undefined || inner.includes('<')) return null
  return unescapeXml(inner).trim()
}

/** Position after a comment, CDATA section or processing instruction; `at` where there is none; -1 where it is broken. */
function skipMarkup(xml: string, at: number): number {
  const closing = xml.startsWith('<!--', at)
    ? '-->'
    : xml.startsWith('<![CDATA[', at)
      ? ']]>'
      : xml.startsWith('<?', at)
        ? '?>'
        : null
  if (closing === null) return xml.startsWith('<!', at) ? -1 : at
  const end = xml.indexOf(closing, at + 2)
  return end === -1 ? -1 : end + closing.length
}

/** Position of the `>` that ends the tag; quoted values may hold one. */
function tagEnd(xml: string, at: number): number {
  let quote = 0
  for (let i = at + 1; i < xml.length; i++) {
    const unit = xml.charCodeAt(i)
    if (quote !== 0) {
      if (unit === quote) quote = 0
    } else if (unit === 0x22 || unit === 0x27) quote = unit
    else if (unit === 0x3e) return i
    else if (unit === 0x3c) return -1
  }
  return -1
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function unescapeXml(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w{1,8}));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole
    const point = decimal === undefined ? Number.parseInt(hex, 16) : Number.parseInt(decimal, 10)
    return point <= 0x10ffff && (point < 0xd800 || point > 0xdfff) ? String.fromCodePoint(point) : whole
  })
}
