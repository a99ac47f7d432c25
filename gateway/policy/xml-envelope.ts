// What stands around the one call of an XML message: SOAP 1.1, or NetApp's ZAPI; of an answer in plain XML nothing. Anything
// beside that form is a fault, as a backend may take it for a second call.

export const SOAP_ENVELOPE = 'http://schemas.xmlsoap.org/soap/envelope/'
export const ZAPI_NAMESPACE = 'http://www.netapp.com/filer/admin'

export type XmlForm = 'soap' | 'zapi'

/** Follows the elements of one message from the root down to the method. */
export interface Envelope {
  /** Depth of the element that is the method; the root's is 0. */
  readonly methodDepth: number
  /** Whether an element below the method's depth is inside a call. */
  readonly inCall: boolean
  /** Why the element may not stand at `depth`, which is at most the method's; null where it may. */
  enter(depth: number, local: string, uri: string): string | null
  /** The element at `depth` is over. */
  leave(depth: number): void
}

/** `plain` is for answers only: its one element is what stands for the method. */
export function envelopeOf(form: XmlForm | 'plain'): Envelope {
  switch (form) {
    case 'soap':
      return new SoapEnvelope()
    case 'zapi':
      return new ZapiEnvelope()
    case 'plain':
      return new PlainEnvelope()
  }
}

const PART_DEPTH = 1

/** Envelope(Header?, Body(method)). */
class SoapEnvelope implements Envelope {
  readonly methodDepth = 2
  inCall = false
  #sawRoot = false
  #sawHeader = false
  #sawBody = false
  #sawMethod = false

  enter(depth: number, local: string, uri: string): string | null {
    if (depth === 0) {
      if (this.#sawRoot || local !== 'Envelope' || uri !== SOAP_ENVELOPE)
        return 'the document is not one SOAP 1.1 envelope'
      this.#sawRoot = true
      return null
    }
    if (depth === PART_DEPTH) return this.#part(local, uri)
    if (this.inCall && this.#sawMethod) return 'the SOAP body holds two methods'
    this.#sawMethod ||= this.inCall
    return null
  }

  leave(depth: number): void {
    if (depth === PART_DEPTH) this.inCall = false
  }

  #part(local: string, uri: string): string | null {
    if (uri !== SOAP_ENVELOPE) return 'the envelope holds something that is not SOAP'
    if (local === 'Header') {
      if (this.#sawHeader || this.#sawBody) return 'a SOAP header stands twice or after the body'
      this.#sawHeader = true
      return null
    }
    if (local !== 'Body') return 'the envelope holds something besides header and body'
    if (this.#sawBody) return 'there are two SOAP bodies'
    this.#sawBody = true
    this.inCall = true
    return null
  }
}

/** netapp(method). A filer would run several methods one after the other: one is all that is taken. */
class ZapiEnvelope implements Envelope {
  readonly methodDepth = 1
  readonly inCall = true
  #sawRoot = false
  #sawMethod = false

  enter(depth: number, local: string, uri: string): string | null {
    if (depth === 0) {
      if (this.#sawRoot || local !== 'netapp' || uri !== ZAPI_NAMESPACE)
        return `the document is not one netapp element of ${ZAPI_NAMESPACE}`
      this.#sawRoot = true
      return null
    }
    if (this.#sawMethod) return 'the netapp element holds two methods'
    this.#sawMethod = true
    return null
  }

  leave(): void {
    // Nothing of this form ends before the document does.
  }
}

class PlainEnvelope implements Envelope {
  readonly methodDepth = 0
  readonly inCall = true
  #sawRoot = false

  enter(): string | null {
    if (this.#sawRoot) return 'the document holds two elements'
    this.#sawRoot = true
    return null
  }

  leave(): void {
    // Nothing of this form ends before the document does.
  }
}
