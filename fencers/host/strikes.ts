// The steps of a fence on a host: ask, give it the grace, make it. The same for a host that is far and for this one.

import { type Attempt, StrikeWithheld, type Verification } from '../../gateway/spi/fencer.ts'
import type { Report, Step } from './script.ts'

export interface HostTarget {
  /** Runs the step at the host; rejects where it could not be run. */
  run(step: Step, attempt: Attempt): Promise<Report>
  /** Whether this fencer has seen the target alive: then a unit that systemd has forgotten is one that has ended. */
  readonly seen: Set<string>
  readonly name: string
  readonly request: string
}

const POLL_MS = 100
const SEEN_MAX = 10_000

/** The steps in their order, with the grace between two of them. Returns early where the target is gone. */
export async function strikeHost(
  target: HostTarget,
  steps: readonly Step[],
  attempt: Attempt,
  graceMs: number,
): Promise<void> {
  for (const [index, step] of steps.entries()) {
    if (index === 0 && (await look(target, attempt)).state === 'gone') {
      attempt.note('the target is gone already')
      return
    }
    if (!attempt.mayStrike()) throw new StrikeWithheld(`${step} was withheld: this attempt is over`)
    const report = judged(target, await target.run(step, attempt))
    attempt.note(report.detail)
    if (report.state === 'gone') return
    if (report.state !== 'struck') throw new Error(report.detail)
    if (index === steps.length - 1) return
    const untilMs = attempt.clock.monotonicMs() + graceMs
    while (attempt.clock.monotonicMs() < untilMs) {
      if ((await look(target, attempt)).state === 'gone') return
      await pause(attempt, Math.max(0, Math.min(POLL_MS, untilMs - attempt.clock.monotonicMs())))
    }
  }
}

export async function verifyHost(target: HostTarget, attempt: Attempt): Promise<Verification> {
  let report: Report
  try {
    report = await look(target, attempt)
  } catch (error) {
    return { state: 'unknown', reason: error instanceof Error ? error.message : String(error) }
  }
  switch (report.state) {
    case 'gone':
      return { state: 'fenced', evidence: { observed: report.detail, request: target.request } }
    case 'alive':
    case 'struck':
      return { state: 'not-fenced', reason: report.detail }
    case 'absent':
    case 'unknown':
      return { state: 'unknown', reason: report.detail }
  }
}

async function look(target: HostTarget, attempt: Attempt): Promise<Report> {
  return judged(target, await target.run('look', attempt))
}

function judged(target: HostTarget, report: Report): Report {
  if (report.state === 'alive' || report.state === 'struck') {
    if (target.seen.size >= SEEN_MAX) target.seen.delete([...target.seen][0] ?? '')
    target.seen.add(target.name)
  }
  if (report.state !== 'absent') return report
  return target.seen.has(target.name)
    ? { state: 'gone', detail: `${report.detail}, and it was seen alive before` }
    : { state: 'unknown', detail: `${report.detail}: a wrong name looks the same` }
}

function pause(attempt: Attempt, delayMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer.cancel()
      reject(new StrikeWithheld('this attempt is over'))
    }
    const timer = attempt.clock.after(delayMs, () => {
      attempt.signal.removeEventListener('abort', abort)
      resolve()
    })
    if (attempt.signal.aborted) abort()
    else attempt.signal.addEventListener('abort', abort, { once: true })
  })
}
