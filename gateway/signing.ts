// Signs tokens with the configured key, so that nobody can use a number that he has guessed. Part of the composition root.

import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Config } from './config/index.ts'
import type { LockingOptions } from './locking/locking.ts'

/** An HMAC over lock, token and session; null where tokens are not signed. */
export function signingOf(config: Config): LockingOptions['signing'] {
  const signing = config.tokens.signing
  if (signing === null) return null
  const key = signing.key.reveal()
  const digest = (lock: string, token: number, session: string): Buffer =>
    createHmac('sha256', key)
      .update(JSON.stringify([lock, token, session]))
      .digest()
  return {
    sign: (lock, token, session) => digest(lock, token, session).toString('base64'),
    required: signing.required,
    verify(lock, token, session, signature) {
      const expected = digest(lock, token, session)
      return signature.length === expected.length && timingSafeEqual(signature, expected)
    },
  }
}
