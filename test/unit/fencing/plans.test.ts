// Configured fencers and plans: every fault at once, and a fenceInfo that is complete while it can still be completed.

import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import {
  createFencing,
  FencingFault,
  PLAN_DEFAULTS,
  type PlanSettings,
} from '../../../gateway/fencing/plans.ts'
import { createRedactor, infoSecrets } from '../../../gateway/fencing/redaction.ts'
import type { FencerRegistry } from '../../../gateway/fencing/registry.ts'
import { defineFencer, FenceInfoFault, type FencerDriver } from '../../../gateway/spi/fencer.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const still = {
  fence: () => Promise.resolve(),
  verify: () => Promise.resolve({ state: 'unknown' as const, reason: 'a test' }),
  monitor: () => Promise.resolve(),
}

const pid = defineFencer({
  id: 'pid',
  summary: 'completes',
  options: z.strictObject({ password: z.string().optional() }),
  fenceInfo: z.object({ pid: z.number(), startTime: z.number().optional() }),
  proves: () => ['no-new-calls'],
  complete(info) {
    if (info.startTime !== undefined) return info
    if (info.pid === 404) throw new FenceInfoFault('there is no process 404')
    return { ...info, startTime: 7 }
  },
  target: (info) => `${info.pid}@${info.startTime ?? '?'}`,
  create: () => still,
})

const host = defineFencer({
  id: 'host',
  summary: 'has a power switch',
  options: z.strictObject({}),
  fenceInfo: z.object({ host: z.string() }),
  proves: () => ['no-new-calls'],
  target: (info) => info.host,
  create: () => ({
    ...still,
    check(info) {
      if (info.host === 'h-unknown') throw new FenceInfoFault('no machine h-unknown is configured')
    },
  }),
})

const drivers: readonly FencerDriver[] = [pid, host]
const registry: FencerRegistry = {
  ids: ['host', 'pid'],
  driver: (id) => drivers.find((driver) => driver.id === id) ?? null,
  optionFaults(id, value) {
    const driver = drivers.find((candidate) => candidate.id === id)
    if (driver === undefined) return [{ path: ['driver'], message: `there is no driver ${id}` }]
    const parsed = driver.options.safeParse(value)
    return parsed.success ? [] : parsed.error.issues.map(({ message }) => ({ path: [], message }))
  },
}

test('what the configuration knows of a holder stands over what he says, and the inventory is asked by his host', () => {
  const fencing = createFencing({
    fencers: { power: { driver: 'host', options: {} } },
    plans: { p: { ...plan(['power']), fenceInfo: { host: '{{host.bmc}}' } } },
    defaultPlan: null,
    registry,
    clock: new ManualClock(),
    inventory: (name) => (name === 'nova-1' ? { bmc: 'bmc-1' } : null),
  })
  const fill = (holder: Readonly<Record<string, unknown>>) =>
    fencing.fillFenceInfo?.('p', { holder, fenceInfo: { host: 'bmc-of-another' } })
  expect(fill({ host: 'nova-1' })).toEqual({ kind: 'filled', fenceInfo: { host: 'bmc-1' } })
  expect(fill({ host: 'nova-2' })).toMatchObject({ kind: 'faulty' })
})

const plan = (...levels: string[][]): PlanSettings => ({ ...PLAN_DEFAULTS, levels })

function create(
  plans: Readonly<Record<string, PlanSettings>>,
  fencers: Parameters<typeof createFencing>[0]['fencers'] = {
    kill: { driver: 'pid', options: {} },
    power: { driver: 'host', options: {} },
  },
  defaultPlan: string | null = null,
) {
  return createFencing({ fencers, plans, defaultPlan, registry, clock: new ManualClock() })
}

describe('a configuration', () => {
  test('is refused with everything that is wrong with it at once', () => {
    const attempt = () =>
      create(
        { empty: plan(), hollow: plan([]), twice: plan(['kill', 'kill']), missing: plan(['nobody']) },
        { kill: { driver: 'pid', options: { typo: 1 } }, other: { driver: 'no-such', options: {} } },
        'nowhere',
      )
    expect(attempt).toThrow(FencingFault)
    for (const fault of [
      'fencers.kill',
      'fencers.other.driver: there is no driver no-such',
      'plans.empty.levels: a plan has at least one level',
      'plans.hollow.levels.0: a level has at least one fencer',
      'plans.twice.levels.0: a fencer stands twice in this level',
      'plans.missing.levels.0: there is no fencer nobody',
      'defaultPlan: there is no plan nowhere',
    ]) {
      expect(attempt).toThrow(fault)
    }
  })

  test('gives the settings of a plan, and the defaults for a plan that is gone', () => {
    const fencing = create({ p: { ...plan(['kill']), attempts: 9 } })
    expect(fencing.settings('p').attempts).toBe(9)
    expect(fencing.settings('gone')).toEqual(PLAN_DEFAULTS)
    expect(fencing.levels('gone')).toBeNull()
  })
})

describe("a holder's fenceInfo", () => {
  const fencing = create({ both: plan(['kill'], ['power']), power: plan(['power']) })

  test('is completed when the session is opened, and keeps what the drivers do not know', () => {
    expect(fencing.checkFenceInfo('both', { pid: 12, host: 'h1', rack: 4 })).toEqual({
      kind: 'complete',
      fenceInfo: { pid: 12, startTime: 7, host: 'h1', rack: 4 },
      targets: ['pid:12@7', 'host:h1'],
    })
  })

  test('is refused with every fault of every fencer of the plan', () => {
    const check = fencing.checkFenceInfo('both', { pid: 'twelve' })
    expect(check.kind).toBe('faulty')
    const text = JSON.stringify(check)
    expect(text).toContain('kill (pid): pid')
    expect(text).toContain('power (host): host')
  })

  test('that a fencer of the plan could not act on is refused at once, and not when the fence is due', () => {
    const unknown = { pid: 12, host: 'h-unknown' }
    expect(fencing.checkFenceInfo('both', unknown)).toEqual({
      kind: 'faulty',
      faults: ['power (host): no machine h-unknown is configured'],
    })
    expect(fencing.checkFenceInfo('both', unknown, 'due').kind).toBe('complete')
    expect(create({ pid: plan(['kill']) }).checkFenceInfo('pid', unknown).kind).toBe('complete')
  })

  test('that names nothing alive is refused where the plan needs it', () => {
    expect(fencing.checkFenceInfo('both', { pid: 404, host: 'h1' })).toEqual({
      kind: 'faulty',
      faults: ['kill (pid): there is no process 404'],
    })
    expect(fencing.checkFenceInfo('power', { pid: 404, host: 'h1' }).kind).toBe('complete')
  })

  test('is completed for the fencers of other plans, too: an operator may order one of them later', () => {
    expect(fencing.checkFenceInfo('power', { pid: 12, host: 'h1' })).toMatchObject({
      fenceInfo: { startTime: 7 },
      targets: ['host:h1'],
    })
  })

  test('is never completed once the fence is due', () => {
    const due = fencing.checkFenceInfo('both', { pid: 12, host: 'h1' }, 'due')
    expect(due).toMatchObject({ kind: 'complete', fenceInfo: { pid: 12, host: 'h1' } })
    expect(JSON.stringify(due)).not.toContain('startTime')
    expect(fencing.targetsOf('both', { pid: 12, host: 'h1' })).toEqual(['pid:12@?', 'host:h1'])
  })

  test('of an unknown plan is faulty', () => {
    expect(fencing.checkFenceInfo('nope', {})).toEqual({
      kind: 'faulty',
      faults: ['there is no fence plan nope'],
    })
  })
})

describe('redaction', () => {
  test('hides what stands under a secret name at any depth, and nothing else', () => {
    const redact = createRedactor({
      username: 'administrator',
      password: 'pass-phrase',
      options: { nested: [{ api_key: 'abcd-1234' }] },
      env: { SOME_VAR: 'from-env' },
    })
    expect(redact('administrator: pass-phrase abcd-1234 from-env')).toBe(
      'administrator: [secret] [secret] [secret]',
    )
  })

  test('hides a longer secret as a whole where it holds a shorter one', () => {
    expect(createRedactor({ password: 'open', token: 'open-sesame' })('say open-sesame')).toBe('say [secret]')
  })
})

describe('what is secret of a fenceInfo', () => {
  const driver = (fenceInfo: z.ZodType) => ({
    id: 'd',
    summary: 'd',
    options: z.object({}),
    fenceInfo,
    proves: () => [],
    target: () => 'd',
    create: () => {
      throw new Error('nobody is fenced here')
    },
  })

  test('is what a driver’s schema marks, what sounds like it, and what the operator names', () => {
    const marked = z.object({
      ticket: z.string().meta({ secret: true }),
      cookieJar: z.string().optional(),
      lease: z.string().meta({ secret: true }).optional(),
      nonce: z.string().default('').meta({ secret: true }),
      host: z.string().meta({ secret: false }),
    })
    const told = {
      ticket: 'ticket-1',
      lease: 'lease-1',
      nonce: 'nonce-1',
      host: 'host-1',
      named: ['named-1'],
      nested: [{ apiKey: 'key-1', at: 'place-1' }],
    }
    const secrets = infoSecrets([driver(marked)], ['named'])
    expect(secrets.hidden(told)).toEqual({
      ticket: '[secret]',
      lease: '[secret]',
      nonce: '[secret]',
      host: 'host-1',
      named: '[secret]',
      nested: [{ apiKey: '[secret]', at: 'place-1' }],
    })
    expect(secrets.removed(told)).toEqual({ host: 'host-1', nested: [{ at: 'place-1' }] })
    expect(secrets.redactor(told)('ticket-1 lease-1 nonce-1 named-1 key-1 host-1')).toBe(
      '[secret] [secret] [secret] [secret] [secret] host-1',
    )
  })

  test('is found in a schema that is no object, or another library’s, by names alone', () => {
    const foreign = {
      safeParse: () => ({ success: true, data: {} }),
      shape: { a: { meta: () => null }, b: 3 },
    }
    const secrets = infoSecrets([driver(z.record(z.string(), z.unknown())), driver(Object(foreign))], [])
    expect(secrets.hidden({ a: 'a', b: 'b', token: 't' })).toEqual({ a: 'a', b: 'b', token: '[secret]' })
  })
})
