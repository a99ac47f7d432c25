// What is said on a connection that has no call to give an answer to: one refusal, and the connection ends.

import type { Duplex } from 'node:stream'
import type { Refusal } from '../core/verdict.ts'
import type { Backend } from './backend.ts'
import { renderRefusal } from './refusals.ts'
import { refusalHead } from './wire/answer-lines.ts'

export function sayAndClose(socket: Duplex, backend: Backend, refusal: Refusal): void {
  const { clock, limits, policy } = backend
  const answer = renderRefusal(refusal, policy.dialect)
  socket.on('error', () => socket.destroy())
  socket.end(refusalHead(answer, 0, clock.monotonicMs()) + answer.bytes, 'latin1')
  // Reads on for a moment, so that no reset overtakes the answer.
  socket.resume()
  const timer = clock.after(limits.lingerMs, () => socket.destroy())
  socket.once('close', () => timer.cancel())
}
