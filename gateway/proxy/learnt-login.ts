// The answer to a login of a holder who is known: it is held back until the session that it opens is written down as his, so
// that no call on it comes before that, and no fence misses it.

import type { SessionId } from '../core/names.ts'
import type { Refusal } from '../core/verdict.ts'
import type { CallerBook, CallerClaims } from '../spi/callers.ts'
import type { AnswerFields, LoginAnswer } from '../spi/policy.ts'

export class LearntLogin {
  readonly #rule: LoginAnswer
  readonly #book: CallerBook
  readonly #session: SessionId
  readonly #caller: CallerClaims
  readonly #pieces: Buffer[] = []
  #bytes = 0
  #fields: AnswerFields = { all: () => [] }
  #isEncoded = false

  constructor(rule: LoginAnswer, book: CallerBook, session: SessionId, caller: CallerClaims) {
    this.#rule = rule
    this.#book = book
    this.#session = session
    this.#caller = caller
  }

  appliesTo(status: number): boolean {
    return this.#rule.appliesTo(status)
  }

  begin(fields: AnswerFields, isEncoded: boolean): void {
    this.#fields = fields
    this.#isEncoded = isEncoded
  }

  /** Copies what it keeps: the bytes may be a connection's. */
  take(bytes: Buffer): void {
    this.#bytes += bytes.length
    if (this.#bytes <= this.#rule.bodyBytesMax) this.#pieces.push(Buffer.from(bytes))
    else this.#pieces.length = 0
  }

  /** The whole body; to be passed on where `settle` says so. */
  get body(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  /** Null where the answer may go on to the client; else what he is told in its place. Never rejects. */
  async settle(): Promise<Refusal | null> {
    if (this.#bytes > this.#rule.bodyBytesMax) return unreadable('it is too long')
    if (this.#isEncoded) return unreadable('it is compressed')
    const reading = this.#rule.read(this.#fields, this.body)
    if (reading.kind === 'unreadable') return unreadable(reading.reason)
    if (reading.kind === 'not-opened') return null
    const { opened } = reading
    const sentOn = this.#caller.claims.filter(({ by }) => by === 'session').map(({ value }) => value)
    const sessions = opened.sessions.length > 0 ? opened.sessions : sentOn
    if (sessions.length === 0) return unreadable('it does not say which session it opened')
    return await this.#book.learn(this.#session, this.#caller.realm, { ...opened, sessions })
  }
}

function unreadable(reason: string): Refusal {
  return {
    code: 'backend-down',
    detail: `the login succeeded, but its answer cannot be read (${reason}), so nobody would know whose session it opened`,
  }
}
