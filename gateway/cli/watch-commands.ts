// `locks`, `sessions`, `fences`: what is, for people and for programs.

import { z } from 'zod'
import type { Command } from './arguments.ts'
import { connect, JSON_OPTION, REMOTE_OPTIONS, understand } from './remote.ts'
import { printable, table } from './table.ts'

const Holder = z.looseObject({ id: z.string() }).nullable()

const Lock = z.looseObject({
  lock: z.string(),
  phase: z.string(),
  owners: z.array(
    z.looseObject({
      session: z.string(),
      holder: Holder,
      mode: z.string(),
      token: z.string(),
      since: z.string(),
      state: z.string(),
      cause: z.string().optional(),
      afterFences: z.array(z.string()).optional(),
      inFlight: z.number(),
      unknown: z.number(),
      jobs: z.array(z.looseObject({ backend: z.string(), job: z.string(), since: z.string() })).optional(),
      vouched: z.array(z.looseObject({ by: z.string(), reason: z.string(), at: z.string() })).optional(),
    }),
  ),
  unknown: z.array(
    z.looseObject({
      token: z.string(),
      gateway: z.string(),
      incarnation: z.string(),
      calls: z.number().nullable(),
    }),
  ),
  waiters: z.array(
    z.looseObject({
      session: z.string(),
      holder: Holder,
      mode: z.string(),
      waited: z.number().nullable(),
      note: z.string().optional(),
    }),
  ),
  waitingOn: z.array(z.string()),
  inFlight: z.array(
    z.looseObject({
      token: z.string(),
      backend: z.string(),
      method: z.string(),
      target: z.string(),
      state: z.string(),
      seconds: z.number(),
    }),
  ),
  lastFences: z.array(z.string()),
})

const Session = z.looseObject({
  session: z.string(),
  ttl: z.number(),
  expiresAt: z.string().nullable(),
  holder: Holder,
  holds: z.array(z.looseObject({ lock: z.string() })),
  waitsFor: z.array(z.looseObject({ lock: z.string() })),
})

const Fence = z.looseObject({
  id: z.string(),
  state: z.string(),
  outcome: z.string().optional(),
  blocked: z.string().optional(),
  closedAt: z.string().optional(),
  closedBy: z.string().optional(),
  closedReason: z.string().optional(),
  cause: z.string(),
  by: z.string().nullable(),
  reason: z.string().nullable(),
  holder: z.looseObject({ id: z.string().optional() }).nullable(),
  plan: z.string().nullable(),
  neighbours: z
    .array(z.looseObject({ session: z.string(), holder: z.string(), locks: z.array(z.string()) }))
    .optional(),
  createdAt: z.string(),
  attempts: z.array(
    z.looseObject({
      level: z.number(),
      fencer: z.string(),
      number: z.number(),
      outcome: z.string(),
      output: z.string(),
      startedAt: z.string(),
    }),
  ),
  callbacks: z
    .array(
      z.looseObject({
        fencer: z.string(),
        attempt: z.number(),
        state: z.string(),
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
        outcome: z.string(),
        output: z.string(),
      }),
    )
    .optional(),
  proofs: z.array(
    z.looseObject({
      fencer: z.string(),
      proves: z.array(z.string()),
      observedAt: z.string(),
      observed: z.string(),
    }),
  ),
})

export const locks: Command = {
  name: 'locks',
  summary: 'lists locks, or shows one: owners, waiters, handover, calls in flight',
  positionals: ['[NAME]'],
  options: {
    prefix: { type: 'string', value: 'PREFIX', help: 'only locks that begin so' },
    ...JSON_OPTION,
    ...REMOTE_OPTIONS,
  },
  async run(invocation, dependencies) {
    const remote = connect(invocation, dependencies)
    const { stdout } = dependencies
    const [name] = invocation.positionals
    if (name !== undefined) {
      const answer = await remote.ask('GET', `/v1/locks/${encodeURIComponent(name)}`)
      stdout.write(invocation.flag('json') ? asJson(answer) : showLock(understand(Lock, answer)))
      return 0
    }
    const all = await remote.list(
      `/v1/locks?prefix=${encodeURIComponent(invocation.text('prefix') ?? '')}`,
      Lock,
    )
    stdout.write(
      invocation.flag('json')
        ? asJson({ items: all })
        : table(
            ['LOCK', 'PHASE', 'OWNER', 'TOKEN', 'SINCE', 'WAITERS', 'IN FLIGHT'],
            all.map((lock) => [
              lock.lock,
              lock.phase,
              lock.owners.map((owner) => nameOf(owner.holder, owner.session)).join(','),
              lock.owners.map((owner) => owner.token).join(','),
              lock.owners[0]?.since ?? '',
              String(lock.waiters.length),
              String(lock.inFlight.length),
            ]),
          ),
    )
    return 0
  },
}

export const sessions: Command = {
  name: 'sessions',
  summary: 'lists sessions, what they hold and wait for',
  positionals: [],
  options: { ...JSON_OPTION, ...REMOTE_OPTIONS },
  async run(invocation, dependencies) {
    const all = await connect(invocation, dependencies).list('/v1/sessions', Session)
    dependencies.stdout.write(
      invocation.flag('json')
        ? asJson({ items: all })
        : table(
            ['SESSION', 'HOLDER', 'TTL', 'EXPIRES', 'HOLDS', 'WAITS FOR'],
            all.map((session) => [
              session.session,
              session.holder?.id ?? '',
              `${session.ttl}s`,
              session.expiresAt ?? '',
              session.holds.map(({ lock }) => lock).join(','),
              session.waitsFor.map(({ lock }) => lock).join(','),
            ]),
          ),
    )
    return 0
  },
}

export const fences: Command = {
  name: 'fences',
  summary: 'lists fences, or shows one with every attempt',
  positionals: ['[FENCE]'],
  options: {
    state: { type: 'string', value: 'STATE', help: 'only open, due, running, blocked, held or closed ones' },
    ...JSON_OPTION,
    ...REMOTE_OPTIONS,
  },
  async run(invocation, dependencies) {
    const remote = connect(invocation, dependencies)
    const { stdout } = dependencies
    const [id] = invocation.positionals
    if (id !== undefined) {
      const answer = await remote.ask('GET', `/v1/fences/${encodeURIComponent(id)}`)
      stdout.write(invocation.flag('json') ? asJson(answer) : showFence(understand(Fence, answer)))
      return 0
    }
    const state = invocation.text('state')
    const query = state === undefined ? '' : `?state=${encodeURIComponent(state)}`
    const all = await remote.list(`/v1/fences${query}`, Fence)
    stdout.write(
      invocation.flag('json')
        ? asJson({ items: all })
        : table(
            ['FENCE', 'STATE', 'HOLDER', 'PLAN', 'ATTEMPTS', 'SINCE', 'WHY'],
            all.map((fence) => [
              fence.id,
              fence.outcome ?? fence.state,
              fence.holder?.id ?? '',
              fence.plan ?? '',
              String(fence.attempts.length),
              fence.createdAt,
              fence.blocked ?? wordOf(fence.closedBy, fence.closedReason),
            ]),
          ),
    )
    return 0
  },
}

function showLock(lock: z.output<typeof Lock>): string {
  const lines = [`lock    ${lock.lock}`, `phase   ${lock.phase}`]
  for (const owner of lock.owners)
    lines.push(
      `owner   ${nameOf(owner.holder, owner.session)} (${owner.mode}, token ${owner.token}) since ${owner.since}` +
        `${owner.state === 'open' ? '' : `, ${owner.state}${owner.cause === undefined ? '' : `: ${owner.cause}`}`}` +
        `, ${owner.inFlight} in flight, ${owner.unknown} unknown`,
    )
  for (const owner of lock.owners)
    for (const fence of owner.afterFences ?? [])
      lines.push(`after   fence ${fence}, closed before token ${owner.token}`)
  for (const waiter of lock.waiters)
    lines.push(
      `waiter  ${nameOf(waiter.holder, waiter.session)} (${waiter.mode})` +
        `${waiter.waited === null ? '' : ` for ${waiter.waited}s`}${waiter.note === undefined ? '' : `: ${waiter.note}`}`,
    )
  for (const reason of lock.waitingOn) lines.push(`waits   ${reason}`)
  for (const call of lock.inFlight)
    lines.push(
      `call    ${call.method} ${call.target} at ${call.backend}, token ${call.token}, ${call.state} for ${call.seconds}s`,
    )
  for (const { token, jobs = [] } of lock.owners)
    for (const { backend, job, since } of jobs)
      lines.push(`job     ${job} at ${backend} since ${since} (token ${token})`)
  for (const { token, vouched = [] } of lock.owners)
    for (const { by, reason, at } of vouched) lines.push(`vouched ${at} by ${by}: ${reason} (token ${token})`)
  for (const { token, gateway, incarnation, calls } of lock.unknown)
    lines.push(
      `unknown ${calls === null ? 'what was open' : `${calls} calls`} under token ${token} at ${gateway} (${incarnation})`,
    )
  if (lock.unknown.length > 0)
    lines.push(
      '        once you know that none of this acts any more:',
      `        fencegate vouch ${lock.lock} --by YOU --reason WHY`,
    )
  for (const fence of lock.lastFences) lines.push(`fence   ${fence}`)
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function showFence(fence: z.output<typeof Fence>): string {
  const lines = [
    `fence   ${fence.id}`,
    `state   ${fence.state}${fence.outcome === undefined ? '' : ` (${fence.outcome})`}`,
    `holder  ${fence.holder?.id ?? 'unknown'}`,
    `plan    ${fence.plan ?? 'none'}`,
    `since   ${fence.createdAt}`,
    `cause   ${`${fence.cause} ${wordOf(fence.by, fence.reason)}`.trimEnd()}`,
  ]
  for (const { session, holder, locks } of fence.neighbours ?? [])
    lines.push(
      `there   ${holder} (session ${session}) lives on the same host, and holds ${locks.join(', ') || 'nothing'}`,
    )
  for (const attempt of fence.attempts)
    lines.push(
      `attempt ${attempt.number} of ${attempt.fencer} on level ${attempt.level + 1}: ${attempt.outcome} (${attempt.startedAt}) ${attempt.output}`,
    )
  for (const { fencer, attempt, state, at, evidence } of fence.callbacks ?? [])
    lines.push(`said    ${fencer} called back ${state} to attempt ${attempt}: ${evidence} (${at})`)
  for (const { fencer, proves, observedAt, observed } of fence.proofs)
    lines.push(`proof   ${fencer} (${proves.join(', ')}): ${observed} (${observedAt})`)
  if (fence.closedAt !== undefined)
    lines.push(`closed  ${fence.closedAt} ${wordOf(fence.closedBy, fence.closedReason)}`.trimEnd())
  for (const { fencer, at, by, reason, outcome, output } of fence.undone ?? [])
    lines.push(`undone  ${fencer}: ${outcome} (${at}) ${wordOf(by, reason)}: ${output}`)
  if (fence.blocked !== undefined) {
    lines.push(`blocked ${fence.blocked}`)
    lines.push(`next    fencegate retry ${fence.id}, or, if you know that the holder is dead:`)
    lines.push(`        fencegate confirm ${fence.id} --by YOU --reason WHY`)
  }
  return lines.map((line) => `${printable(line)}\n`).join('')
}

/** What an operator said, or the gateway itself; empty where there was nothing to say. */
function wordOf(by: string | null | undefined, reason: string | null | undefined): string {
  return [by ? `by ${by}` : '', reason ?? ''].filter((part) => part !== '').join(': ')
}

function nameOf(holder: z.output<typeof Holder>, session: string): string {
  return holder === null ? `session ${session}` : holder.id
}

export function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`
}
