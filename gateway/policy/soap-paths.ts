// Which values below a SOAP method a policy wants to see, as a tree over element names: the reader collects them while
// it passes, and nothing else.

import { NameTable } from './name-table.ts'

/** One element of a wanted path. `text` and `attributes` hold the indexes under which values are collected. */
export interface WantedElement {
  readonly children: NameTable<WantedElement>
  /** Index of this element among all; counts how often it occurs. */
  readonly index: number
  text: number
  readonly attributes: NameTable<number>
}

/** A wanted value, as `spec/location/datastore`, `_this`, `_this@type` or `Header:Security/Assertion`. */
export interface SoapPath {
  readonly written: string
  /** Where the reader collects it. */
  readonly value: number
  /** The elements on the way, outermost first; the last is the value's own. */
  readonly elements: readonly number[]
}

const ATTRIBUTE_OF_ROOT = /^@[A-Za-z_][\w.-]*$/
const IN_HEADER = 'Header:'
const PATH = /^[A-Za-z_][\w.-]*(?:\/[A-Za-z_][\w.-]*){0,15}(?:@[A-Za-z_][\w.-]*)?$/

export class SoapPaths {
  /** The method itself, of which nothing is wanted but what is below it. */
  readonly method: WantedElement = newElement(0)
  /** The document's root, of which only attributes can be wanted. */
  envelope: WantedElement | null = null
  /** What is below an argument may be of a type of these, besides the method's own. */
  readonly namespaces: Set<string> = new Set()
  /** Of the elements in the SOAP header. */
  readonly headers = new NameTable<WantedElement>()
  /** How many there are, the method among them. */
  elements = 1
  values = 0
  readonly #known = new Map<string, SoapPath>()

  static isPath(written: string): boolean {
    return PATH.test(written)
  }

  /** `@vfiler`: an attribute of the document's root. */
  static isRootAttribute(written: string): boolean {
    return ATTRIBUTE_OF_ROOT.test(written)
  }

  /** A path into the SOAP header, from the elements in it on. */
  static isHeaderPath(written: string): boolean {
    return written.startsWith(IN_HEADER) && PATH.test(written.slice(IN_HEADER.length))
  }

  /** The text of an element of the SOAP header, by its local name. */
  wantHeader(name: string): SoapPath {
    return { ...this.want(IN_HEADER + name), written: name }
  }

  /** The path, entered in the tree where it is new. Only for what `isPath`, `isHeaderPath` or `isRootAttribute` holds of. */
  want(written: string): SoapPath {
    const known = this.#known.get(written)
    if (known !== undefined) return known
    const inHeader = written.startsWith(IN_HEADER)
    const [names = '', attribute] = (inHeader ? written.slice(IN_HEADER.length) : written).split('@')
    const elements: number[] = []
    let children = inHeader ? this.headers : this.method.children
    let element: WantedElement | null = null
    if (names === '') {
      element = this.envelope ??= newElement(this.elements++)
      elements.push(element.index)
    } else
      for (const name of names.split('/')) {
        element = children.get(name) ?? null
        if (element === null) {
          element = newElement(this.elements++)
          children.add(name, element)
        }
        elements.push(element.index)
        children = element.children
      }
    const value = this.values++
    if (attribute !== undefined) element?.attributes.add(attribute, value)
    else if (element !== null) element.text = value
    const path = { written, value, elements }
    this.#known.set(written, path)
    return path
  }
}

function newElement(index: number): WantedElement {
  return { children: new NameTable(), index, text: -1, attributes: new NameTable() }
}
