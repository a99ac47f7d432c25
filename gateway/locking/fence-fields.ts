// Fields of the fence record that say what was done and said, in the order in which it was. As all of records.ts: loose, so that
// what a newer gateway has written there stays.

import { z } from 'zod'

export const fenceFields = {
  callbacks: z
    .array(
      z.looseObject({
        fencer: z.string(),
        attempt: z.int(),
        state: z.enum(['fenced', 'failed']),
        at: z.string(),
        evidence: z.string(),
      }),
    )
    .optional(),
  undone: z
    .array(
      z.looseObject({
        fencer: z.string(),
        at: z.string(),
        by: z.string(),
        reason: z.string(),
        outcome: z.enum(['undone', 'failed', 'timed-out']),
        output: z.string(),
      }),
    )
    .optional(),
  attempts: z.array(
    z.looseObject({
      level: z.int(),
      fencer: z.string(),
      number: z.int(),
      startedAt: z.string(),
      endedAt: z.string(),
      outcome: z.enum(['verified', 'failed', 'timed-out', 'unknown', 'refused']),
      output: z.string(),
    }),
  ),
}
