// What `POST /v1/check` takes and answers.

import { z } from 'zod'
import { mode, token } from './schemas.ts'

export const CheckCall = z.strictObject({
  backend: z.string().min(1).max(64),
  method: z.string().regex(/^[A-Za-z!#$%&'*+.^_`|~0-9-]{1,32}$/, { error: 'an HTTP method' }),
  path: z.string().max(16_384).startsWith('/').describe('Path and query.'),
  headers: z.record(z.string(), z.string()).default({}),
  body: z.unknown().optional().describe('A string is sent as it is, anything else as JSON.'),
  caller: z
    .strictObject({
      listener: z.string().min(1).max(64).optional().describe("Left out: the backend's own."),
      address: z.string().min(1).max(64).optional(),
      certificate: z.string().min(1).max(128).optional().describe('SHA-256 fingerprint of a trusted one.'),
    })
    .optional()
    .describe('What the connection would say of who sends it, where the backend identifies callers by it.'),
})

export const Checked = z.object({
  effect: z.enum(['read', 'mutate', 'session', 'deny']).nullable(),
  rule: z.string().nullable(),
  session: z
    .string()
    .optional()
    .describe('Whose call it would be, by the marks that it bears. Absent: nobody knows.'),
  locks: z.array(z.object({ name: z.string(), mode, token: token.optional(), verdict: z.string() })),
  verdict: z.string(),
  why: z.string(),
  enforced: z.boolean().describe('False in shadow mode: the verdict is only counted.'),
  trace: z.array(z.string()).describe('Why other rules did not match.'),
})
