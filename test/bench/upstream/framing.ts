// Cuts a byte stream into HTTP/1.1 requests with as little work as can be: the benchmark's backend must cost less than
// what stands in front of it. It trusts its peer's framing and must never be used outside a benchmark.

export interface RequestHead {
  readonly method: string
  readonly target: string
  /** What `X-Bench-Delay` asks for, where it is looked for. */
  readonly delayMs: number
}

type Expecting = 'head' | 'body' | 'chunk-size' | 'chunk' | 'trailer'

export class RequestFraming {
  readonly #onRequest: (head: RequestHead, bodyBytes: number) => void
  readonly #readsDelay: boolean
  #expecting: Expecting = 'head'
  /** Bytes that came without the end of the line or head that they belong to. */
  #rest: Buffer | null = null
  #head: RequestHead = { method: '', target: '', delayMs: 0 }
  #remaining = 0
  #bodyBytes = 0

  /** `onRequest` is called when the last byte of a request has come. */
  constructor(onRequest: (head: RequestHead, bodyBytes: number) => void, readsDelay: boolean) {
    this.#onRequest = onRequest
    this.#readsDelay = readsDelay
  }

  feed(chunk: Buffer): void {
    const data = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = null
    let at = 0
    while (at < data.length) {
      const next = this.#step(data, at)
      if (next === null) {
        this.#rest = data.subarray(at)
        return
      }
      at = next
    }
  }

  /** Where to go on in `data`, or null where more bytes are needed. */
  #step(data: Buffer, at: number): number | null {
    switch (this.#expecting) {
      case 'head':
        return this.#readHead(data, at)
      case 'body':
      case 'chunk':
        return this.#skip(data, at)
      case 'chunk-size': {
        const end = data.indexOf('\r\n', at)
        if (end < 0) return null
        const size = Number.parseInt(data.toString('latin1', at, end), 16)
        this.#bodyBytes += size
        // The two bytes behind a chunk go with it.
        this.#remaining = size + 2
        this.#expecting = size === 0 ? 'trailer' : 'chunk'
        return end + 2
      }
      case 'trailer': {
        const end = data.indexOf('\r\n', at)
        if (end < 0) return null
        if (end === at) this.#done()
        return end + 2
      }
    }
  }

  #readHead(data: Buffer, at: number): number | null {
    const end = data.indexOf('\r\n\r\n', at)
    if (end < 0) return null
    const text = data.toString('latin1', at, end + 2)
    const methodEnd = text.indexOf(' ')
    this.#head = {
      method: text.slice(0, methodEnd),
      target: text.slice(methodEnd + 1, text.indexOf(' ', methodEnd + 1)),
      delayMs: this.#readsDelay ? Number(/\r\nx-bench-delay: *(\d+)/i.exec(text)?.[1] ?? 0) : 0,
    }
    const length = /\r\ncontent-length: *(\d+)/i.exec(text)
    if (length !== null) {
      this.#remaining = Number(length[1])
      this.#bodyBytes = this.#remaining
      if (this.#remaining === 0) this.#done()
      else this.#expecting = 'body'
    } else if (/\r\ntransfer-encoding: *chunked/i.test(text)) {
      this.#bodyBytes = 0
      this.#expecting = 'chunk-size'
    } else {
      this.#bodyBytes = 0
      this.#done()
    }
    return end + 4
  }

  #skip(data: Buffer, at: number): number {
    const taken = Math.min(this.#remaining, data.length - at)
    this.#remaining -= taken
    if (this.#remaining === 0) {
      if (this.#expecting === 'chunk') this.#expecting = 'chunk-size'
      else this.#done()
    }
    return at + taken
  }

  #done(): void {
    this.#expecting = 'head'
    this.#onRequest(this.#head, this.#bodyBytes)
  }
}
