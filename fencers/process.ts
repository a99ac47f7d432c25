// Ends the holder's process on this machine: asks it to (SIGTERM), then makes it (SIGKILL).
// It must never signal a process that is not the incarnation that opened the session.

import { hostname } from 'node:os'
import { pid as ownPid } from 'node:process'
import { z } from 'zod'
import type { Clock } from '../gateway/spi/clock.ts'
import { type Attempt, defineFencer, FenceInfoFault, StrikeWithheld } from '../gateway/spi/fencer.ts'
import { machine } from './host/machine.ts'
import { cgroupOf } from './process/cgroup.ts'
import { isComplete, lookAtLeader, ProcessInfo } from './process/leader.ts'
import { readStat } from './process/proc.ts'
import { cgroupReach, groupReach, processReach, type Reach, type Signal } from './process/reach.ts'

const ProcessOptions = z.strictObject({
  graceMs: z
    .int()
    .min(0)
    .max(600_000)
    .default(5_000)
    .describe('milliseconds between SIGTERM and SIGKILL (default: 5000); 0 kills at once'),
  kill: z
    .enum(['process', 'group', 'cgroup'])
    .default('process')
    .describe(
      'process: it alone (the default); group: its whole process group, which it has to lead; cgroup: all that is in its cgroup (v2)',
    ),
})

const POLL_MS = 50

export default defineFencer<z.infer<typeof ProcessOptions>, ProcessInfo>({
  id: 'process',
  summary: "kills the holder's process, on the machine that the gateway runs on",
  options: ProcessOptions,
  fenceInfo: ProcessInfo,
  example: { options: { graceMs: 2_000 }, fenceInfo: { pid: 4711 } },
  // What the dead process had sent may still be on its way, and children of its own go on: nothing about calls.
  proves: () => ['no-new-calls'],

  complete(info) {
    // What is complete and not alive here belongs to another machine, or is over; the fence will say which.
    if (isComplete(info) && lookAtLeader(info).state !== 'alive') return info
    if (readStat(ownPid) === null) throw new FenceInfoFault('this machine has no /proc that shows processes')
    const stat = readStat(info.pid)
    if (stat === null) throw new FenceInfoFault(`there is no process ${info.pid} on ${hostname()}`)
    if (info.pid === ownPid) throw new FenceInfoFault(`${info.pid} is the gateway itself`)
    const { startTime, group } = stat
    const found = { pid: info.pid, startTime, ...machine(), processGroup: group, ...cgroupOf(info.pid) }
    if (info.startTime !== undefined && info.startTime !== startTime)
      throw new FenceInfoFault(`process ${info.pid} has the start time ${startTime}, not ${info.startTime}`)
    for (const [key, value] of Object.entries(info)) {
      const right = Object.entries(found).find(([name]) => name === key)?.[1]
      if (value !== undefined && value !== right)
        throw new FenceInfoFault(`${key} is ${right ?? 'not known'} here, not ${value}`)
    }
    return found
  },

  target: (info) => [info.bootId ?? '?', info.pidNamespace ?? '?', info.pid, info.startTime ?? '?'].join('/'),

  create(options, { clock }) {
    const reach = { process: processReach, group: groupReach, cgroup: cgroupReach }[options.kill]()
    return {
      check: (info) => reach.check(info),

      async fence(info, attempt) {
        if (!strike(reach, info, 'SIGTERM', attempt, options.graceMs > 0)) return
        const killAtMs = clock.monotonicMs() + options.graceMs
        while (clock.monotonicMs() < killAtMs) {
          if (reach.look(info).state !== 'alive') return
          await pause(clock, Math.max(0, Math.min(POLL_MS, killAtMs - clock.monotonicMs())), attempt.signal)
        }
        strike(reach, info, 'SIGKILL', attempt, true)
      },

      verify(info) {
        const sight = reach.look(info)
        switch (sight.state) {
          case 'gone':
            return Promise.resolve({
              state: 'fenced',
              evidence: { observed: sight.detail, request: `read /proc/${info.pid}/stat on ${hostname()}` },
            })
          case 'alive':
            return Promise.resolve({ state: 'not-fenced', reason: sight.detail })
          case 'unknown':
            return Promise.resolve({ state: 'unknown', reason: sight.detail })
        }
      },

      monitor() {
        if (readStat(ownPid) === null) {
          return Promise.reject(new Error('/proc shows no processes: this driver works on Linux only'))
        }
        if (readStat(1) === null) {
          return Promise.reject(
            new Error(
              '/proc hides the processes of others: without it (ProtectProc=, hidepid=) this driver can work',
            ),
          )
        }
        return Promise.resolve()
      },
    }
  },
})

/**
 * Sends the signal where the incarnation is alive; false where it is gone. Between the look at the start time and the
 * signal there is no await, so the window in which the pid could pass on is some microseconds, within which the kernel
 * would have to reap the process and hand out every other pid first. A pidfd would close it; Node has none.
 */
function strike(reach: Reach, info: ProcessInfo, signal: Signal, attempt: Attempt, wanted: boolean): boolean {
  const sight = reach.look(info)
  if (sight.state === 'unknown') throw new Error(sight.detail)
  if (sight.state === 'gone') {
    attempt.note(sight.detail)
    return false
  }
  if (!wanted) return true
  if (info.pid <= 1 || info.pid === ownPid) throw new Error(`process ${info.pid} is never struck`)
  reach.check(info)
  if (!attempt.mayStrike()) throw new StrikeWithheld(`${signal} was withheld: this attempt is over`)
  const told = reach.strike(info, signal)
  if (told !== null) attempt.note(`sent ${signal} to ${told}`)
  return told !== null || reach.look(info).state !== 'gone'
}

function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer.cancel()
      reject(new StrikeWithheld('this attempt is over'))
    }
    const timer = clock.after(delayMs, () => {
      signal.removeEventListener('abort', abort)
      resolve()
    })
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}
