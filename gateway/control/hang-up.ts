// Notices that a caller is gone while he waits.

import type { ServerResponse } from 'node:http'

export interface HangUp {
  readonly signal: AbortSignal
  /** To be called when the answer is known. */
  release(): void
}

/**
 * Aborts when the connection ends before the answer is written. The request's own `close` says nothing of that: it
 * comes as soon as the body has been read.
 */
export function hangUpOf(response: ServerResponse): HangUp {
  const gone = new AbortController()
  const closed = (): void => {
    if (!response.writableFinished) gone.abort(new Error('the caller hung up'))
  }
  if (response.destroyed) closed()
  response.once('close', closed)
  return { signal: gone.signal, release: () => void response.off('close', closed) }
}
