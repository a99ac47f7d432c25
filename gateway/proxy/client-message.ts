// One request and the way of its answer, as the check and the forwarding of a call see them, whatever version of HTTP its
// client speaks. One implementation each: http1-message.ts on node:http, http2/ on streams of HTTP/2.

import type { Duplex, Readable } from 'node:stream'
import type { Peer } from './forwarded-fields.ts'

export interface ClientRequest {
  readonly method: string
  /** As received. */
  readonly target: string
  /** `1.0`, `1.1` or `2`. */
  readonly version: string
  /** Names and values in turn, as received; of HTTP/2 as they stand for HTTP/1.1, with `Host` and without pseudo-fields. */
  readonly fields: readonly string[]
  /** By names in lower case; the values of repeated ones are joined. */
  readonly joined: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Readable
  /** Why it cannot be understood; null where it can. */
  readonly fault: string | null
  /** Names and values in turn, as received; there once the body has ended. */
  readonly trailers: readonly string[]
  /** Nothing more of it is to come. */
  readonly isComplete: boolean
  readonly peer: Peer
}

export interface ClientAnswer {
  readonly headSent: boolean
  /** The last byte has gone out. */
  readonly isOver: boolean
  /** Nothing that comes behind the request can be understood: the answer is the last on its connection. */
  endConnection(): void
  /** The client may send the body. */
  continue(): void
  processing(): void
  /** What cannot be written is dropped: a hint is not worth the call. */
  earlyHints(link: string | string[]): void
  /** `reason`: null for the usual one. `fields`: names and values in turn. Throws where they cannot be written. */
  head(status: number, reason: string | null, fields: readonly string[]): void
  /** Sends the head before anything of the body is there. */
  flush(): void
  /** False: to be gone on with after `whenDrained`. */
  write(piece: Buffer): boolean
  whenDrained(listener: () => void): void
  /** Reaches a client that is still sending, too. */
  end(last: Buffer | null, trailers: readonly [string, string][] | null): void
  /** Breaks it off, so that the client cannot take what it has for the whole. */
  abort(): void
}

export interface ClientMessage {
  readonly request: ClientRequest
  readonly answer: ClientAnswer
}

/** A client that wants to change the protocol of its connection, which is this call's alone. */
export interface Upgrade {
  /** In lower case. */
  readonly protocol: string
  readonly socket: Duplex
  /** Takes the answer off the connection, which is the tunnel's from then on. */
  detach(): void
}
