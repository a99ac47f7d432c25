// An answer that may name a job: keeps as much of it as the rule needs, and brings the call to what the answer says of it.

import type { JobProbe, JobRule } from '../spi/policy.ts'
import type { OpenCall } from './open-call.ts'

export class JobAnswer {
  readonly #rule: JobRule
  readonly #pieces: Buffer[] = []
  #bytes = 0

  constructor(rule: JobRule) {
    this.#rule = rule
  }

  /** Copies what it keeps: the bytes may be a connection's. */
  take(bytes: Buffer): void {
    const room = this.#rule.bodyBytesMax - this.#bytes
    if (room <= 0) return
    this.#pieces.push(Buffer.from(bytes.length <= room ? bytes : bytes.subarray(0, room)))
    this.#bytes += Math.min(room, bytes.length)
  }

  /** To be called once, when the whole answer was read. `watch` has to bring the call to its end. */
  settle(
    open: OpenCall,
    answer: { readonly status: number; readonly encoded: boolean },
    watch: (probe: JobProbe) => void,
  ): void {
    if (answer.encoded && this.#bytes > 0) {
      open.unknown('the answer may name a job but is compressed')
      return
    }
    const reading = this.#rule.read(answer.status, Buffer.concat(this.#pieces))
    switch (reading.kind) {
      case 'none':
        open.ended()
        break
      case 'unreadable':
        open.unknown(`the answer should name a job but cannot be read: ${reading.reason}`)
        break
      case 'job':
        open.job(reading.id, reading.probe)
        watch(reading.probe)
        break
    }
  }
}
