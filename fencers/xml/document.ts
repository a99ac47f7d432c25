// Reads the XML that a SOAP server sends: elements, attributes, text. Refuses a DOCTYPE, and follows no reference.

export interface XmlElement {
  /** Without its prefix. */
  readonly name: string
  /** By local name. */
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly XmlElement[]
  /** Its own character data, without that of its children. */
  readonly text: string
}

export class XmlFault extends Error {
  override readonly name = 'XmlFault'
}

const DEPTH_MAX = 100

interface OpenElement {
  readonly name: string
  readonly attributes: Record<string, string>
  readonly children: XmlElement[]
  text: string
}

/** The root element. Throws `XmlFault` where the text is no well-formed document of the supported kind. */
export function parseXml(source: string): XmlElement {
  const open: OpenElement[] = []
  let root: XmlElement | null = null
  let at = 0
  while (at < source.length) {
    const top = open.at(-1)
    if (source[at] !== '<') {
      const end = nextOf(source, '<', at)
      const text = source.slice(at, end)
      if (top !== undefined) top.text += decodeEntities(text)
      else if (text.trim() !== '') throw new XmlFault('text outside of the root element')
      at = end
    } else if (source.startsWith('<!--', at)) {
      at = endOf(source, '-->', at + 4)
    } else if (source.startsWith('<![CDATA[', at)) {
      const end = endOf(source, ']]>', at + 9)
      if (top === undefined) throw new XmlFault('CDATA outside of the root element')
      top.text += source.slice(at + 9, end - 3)
      at = end
    } else if (source.startsWith('<?', at)) {
      at = endOf(source, '?>', at + 2)
    } else if (source.startsWith('<!', at)) {
      throw new XmlFault('a document type declaration is not accepted')
    } else if (source.startsWith('</', at)) {
      const end = endOf(source, '>', at)
      const closed = open.pop()
      const name = localName(source.slice(at + 2, end - 1).trim())
      if (closed === undefined || closed.name !== name) throw new XmlFault(`unexpected end tag ${name}`)
      root = attach(closed, open, root)
      at = end
    } else {
      const end = endOfTag(source, at)
      const empty = source[end - 2] === '/'
      const element = startTag(source.slice(at + 1, empty ? end - 2 : end - 1))
      if (empty) root = attach(element, open, root)
      else if (open.push(element) > DEPTH_MAX) throw new XmlFault('elements are nested too deeply')
      at = end
    }
  }
  if (open.length > 0 || root === null) throw new XmlFault('the document is not complete')
  return root
}

export function child(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((candidate) => candidate.name === name)
}

export function childText(element: XmlElement | undefined, name: string): string | undefined {
  return child(element, name)?.text
}

/** Every descendant of that name, in document order. */
export function descendants(element: XmlElement, name: string): XmlElement[] {
  return element.children.flatMap((candidate) => [
    ...(candidate.name === name ? [candidate] : []),
    ...descendants(candidate, name),
  ])
}

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

function attach(
  element: XmlElement,
  open: readonly OpenElement[],
  root: XmlElement | null,
): XmlElement | null {
  const parent = open.at(-1)
  if (parent !== undefined) {
    parent.children.push(element)
    return root
  }
  if (root !== null) throw new XmlFault('more than one root element')
  return element
}

function startTag(inside: string): OpenElement {
  const name = /^[^\s/]+/.exec(inside)?.[0]
  if (name === undefined) throw new XmlFault('an element without a name')
  const attributes: Record<string, string> = {}
  for (const match of inside.slice(name.length).matchAll(/([^\s=]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g)) {
    attributes[localName(match[1] ?? '')] = decodeEntities(match[2] ?? match[3] ?? '')
  }
  return { name: localName(name), attributes, children: [], text: '' }
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

function decodeEntities(text: string): string {
  return text.replace(/&([^;&\s]{1,10});/g, (whole, name: string) => {
    if (!name.startsWith('#')) return ENTITIES[name] ?? whole
    const point = name[1] === 'x' ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10)
    if (!(point > 0 && point <= 0x10ffff)) throw new XmlFault(`${whole} is no character`)
    return String.fromCodePoint(point)
  })
}

function nextOf(source: string, needle: string, from: number): number {
  const found = source.indexOf(needle, from)
  return found === -1 ? source.length : found
}

function endOf(source: string, needle: string, from: number): number {
  const found = source.indexOf(needle, from)
  if (found === -1) throw new XmlFault('the document is not complete')
  return found + needle.length
}

/** A `>` inside an attribute's value does not end a tag. */
function endOfTag(source: string, from: number): number {
  let quote = ''
  for (let i = from + 1; i < source.length; i++) {
    const character = source[i] ?? ''
    if (quote !== '') {
      if (character === quote) quote = ''
    } else if (character === '"' || character === "'") quote = character
    else if (character === '>') return i + 1
  }
  throw new XmlFault('the document is not complete')
}
