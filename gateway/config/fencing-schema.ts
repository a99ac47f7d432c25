// The sections of the configuration that say how holders are fenced.
// Each message completes the sentence "expected …".

import { z } from 'zod'
import { STORM_DEFAULTS } from '../core/storm.ts'
import { seconds, strict, text, whole } from './fields.ts'

const brakes = strict(
  {
    /** Fences of this plan that run at the same time, at all gateways. */
    atOnce: whole(1, 1000).default(4),
    /** Power fences of this plan in any hour; past it an operator is asked. 0: never without one. */
    powerPerHour: whole(0, 1000).default(4),
    /** After the first failed attempt; doubles with each further one. */
    backoff: seconds(0, 3600).prefault(1),
    backoffMax: seconds(0, 3600).prefault(60),
  },
  'a section with atOnce, powerPerHour, backoff or backoffMax',
).transform((value) => ({
  atOnce: value.atOnce,
  powerPerHour: value.powerPerHour,
  backoffMs: value.backoff,
  backoffMsMax: Math.max(value.backoff, value.backoffMax),
}))

const fencersOfLevel = z
  .array(text('the name of a fencer'), { error: 'a list of fencers, all of which must succeed' })
  .min(1, { error: 'at least one fencer in each level' })
  .max(16, { error: 'at most 16 fencers in a level' })

const LEVEL_EXPECTED = 'a list of fencers, or a section with after and fencers'
const delayedLevel = strict(
  {
    /** Seconds that are let pass before this level begins, once the one before has failed. */
    after: seconds(0, 86_400),
    fencers: fencersOfLevel,
  },
  LEVEL_EXPECTED,
)

/** `[kill]`, or `{ after: 30, fencers: [kill] }`. */
const level = z.unknown().transform((value, context) => {
  const parsed = Array.isArray(value)
    ? fencersOfLevel.transform((fencers) => ({ after: 0, fencers })).safeParse(value)
    : delayedLevel.safeParse(value)
  if (parsed.success) return parsed.data
  for (const issue of parsed.error.issues)
    if (issue.code === 'unrecognized_keys')
      for (const key of issue.keys)
        context.addIssue({ code: 'custom', path: [key], message: 'nothing but after and fencers in a level' })
    else context.addIssue({ code: 'custom', path: [...issue.path], message: issue.message })
  return z.NEVER
})

export const plan = strict(
  {
    levels: z
      .array(level, { error: 'a list of levels, each a list of fencers, such as [[session], [power]]' })
      .min(1, { error: 'at least one level, such as [[session], [power]]' })
      .max(9, { error: 'at most 9 levels' }),
    /** Put over what the holder says, with `{{holder.…}}`, `{{fenceInfo.…}}` and, of the inventory, `{{host.…}}`. */
    fenceInfo: z
      .record(z.string().min(1).max(64), z.union([z.string().max(4096), z.number(), z.boolean()]), {
        error: 'values by name, such as { plug: "{{holder.host}}" }',
      })
      .default({}),
    /** Decides and records everything, strikes nobody, and leaves each fence to an operator. */
    dryRun: z.boolean({ error: 'true or false' }).default(false),
    /** Other living sessions on the machine that a power fence may take with it; past it an operator is asked. */
    blastRadiusMax: whole(0, 100_000).optional(),
    /** Of each fencer, before its level has failed. */
    attempts: whole(1, 100).default(3),
    /** Of one attempt: act and verify. */
    timeout: seconds(0.1, 3600).prefault(60),
    brakes: brakes.prefault({}),
  },
  'a section with levels',
).transform(({ timeout, levels, ...rest }) => ({
  ...rest,
  levels: levels.map(({ fencers }) => fencers),
  delaysMs: levels.map(({ after }) => after),
  timeoutMs: timeout,
}))

export const storm = strict(
  {
    /** More than this share of the known sessions … */
    share: z
      .number({ error: 'a number from 0 to 1' })
      .min(0, { error: 'a number from 0 to 1' })
      .max(1, { error: 'a number from 0 to 1' })
      .default(STORM_DEFAULTS.share),
    /** … and more than this many, … */
    count: whole(0, 1_000_000).default(STORM_DEFAULTS.count),
    /** … that expire within this time are a storm: fencers that strike a holder himself wait for an operator. */
    window: seconds(0, 86_400).prefault(STORM_DEFAULTS.windowMs / 1000),
  },
  'a section with share, count or window',
).transform(({ window, ...rest }) => ({ ...rest, windowMs: window }))

export const brakesOfAll = strict(
  {
    storm: storm.prefault({}),
    /** Power fences of all plans in any hour; past it an operator is asked. Absent: each plan's own. */
    powerPerHour: whole(0, 100_000).optional(),
    /** By the fencer's name: fences that it is at work for at the same time, and that it strikes in any hour, at all gateways. */
    fencers: z
      .record(
        z.string().min(1).max(64),
        strict(
          { atOnce: whole(1, 1000).optional(), perHour: whole(0, 100_000).optional() },
          'a section with atOnce or perHour',
        ),
        { error: 'limits by the name of a fencer' },
      )
      .default({}),
  },
  'a section with storm, powerPerHour or fencers',
)

export const monitor = strict(
  {
    /** Between two looks at each fencer, give or take a quarter. 0: never. */
    every: seconds(0, 86_400).prefault(300),
    /** Of one look. */
    timeout: seconds(0.1, 3600).prefault(30),
    /** In their place for single fencers, by name. */
    fencers: z
      .record(
        z.string().min(1).max(64),
        strict(
          { every: seconds(0, 86_400).optional(), timeout: seconds(0.1, 3600).optional() },
          'a section with every or timeout',
        ).transform(({ every, timeout }) => ({ everyMs: every, timeoutMs: timeout })),
        { error: 'every and timeout by the name of a fencer' },
      )
      .default({}),
  },
  'a section with every, timeout or fencers',
).transform(({ every, timeout, fencers }) => ({ everyMs: every, timeoutMs: timeout, fencers }))

/** The brakes count the power fences of an hour by the records: none may go before that. */
const KEEP_SECONDS_MIN = 3600

export const fences = strict(
  {
    /** Closed records stay for people to read; one that a lock still needs stays anyway. */
    keep: seconds(KEEP_SECONDS_MIN, 315_360_000).prefault(30 * 86_400),
    /** Keys of fenceInfo that nobody is shown, beside those that sound like a secret. */
    secretInfo: z
      .array(text('a key of fenceInfo'), { error: 'a list of keys of fenceInfo' })
      .max(64, { error: 'at most 64 keys' })
      .default([]),
  },
  'a section with keep or secretInfo',
).transform(({ keep, secretInfo }) => ({ keepMs: keep, secretInfo }))
