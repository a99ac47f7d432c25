// The kinds of value of which the configuration is made. Each message completes the sentence "expected …".

import { z } from 'zod'

export const NAME_EXPECTED = 'a name of 1 to 64 letters, digits, dots, dashes or underscores'

/**
 * A strict object. Its message about unknown keys is the list of the known ones, for load.ts to compare with.
 */
export function strict<Shape extends z.ZodRawShape>(shape: Shape, expected: string) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? Object.keys(shape).join(' ') : expected),
  })
}

export function text(expected: string, max = 4096) {
  return z.string({ error: expected }).min(1, { error: expected }).max(max, { error: expected })
}

export function named<Value extends z.ZodType>(value: Value, expected: string) {
  const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, { error: NAME_EXPECTED })
  return z.record(name, value, { error: expected })
}

export function whole(min: number, max: number) {
  const expected = `a whole number from ${min} to ${max}`
  return z
    .number({ error: expected })
    .int({ error: expected })
    .min(min, { error: expected })
    .max(max, { error: expected })
}

/** Seconds in the file, milliseconds in the program. */
export function seconds(min: number, max: number) {
  const expected = `a number of seconds from ${min} to ${max}`
  return z
    .number({ error: expected })
    .min(min, { error: expected })
    .max(max, { error: expected })
    .transform((value) => Math.round(value * 1000))
}
