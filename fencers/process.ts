// Ends the holder's process on this machine: asks it to (SIGTERM), then makes it (SIGKILL).
// It must never signal a process that is not the incarnation that opened the session.

import { readdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { kill, pid as ownPid } from 'node:process'
import { z } from 'zod'
import type { Clock } from '../gateway/spi/clock.ts'
import { type Attempt, defineFencer, FenceInfoFault, StrikeWithheld } from '../gateway/spi/fencer.ts'
import { errorCode, machine } from './host/machine.ts'

const ProcessOptions = z.strictObject({
  graceMs: z
    .int()
    .min(0)
    .max(600_000)
    .default(5_000)
    .describe('milliseconds between SIGTERM and SIGKILL (default: 5000); 0 kills at once'),
})

/** A pid means nothing without the machine, the boot and the pid namespace that it was read in. */
const ProcessInfo = z.object({
  pid: z.int().min(2).describe('the process; the rest is filled in while the session is opened'),
  startTime: z
    .int()
    .min(0)
    .optional()
    .describe('field 22 of /proc/PID/stat, clock ticks since boot: a recycled pid has another'),
  bootId: z.string().max(64).optional().describe('of the machine: /proc/sys/kernel/random/boot_id'),
  pidNamespace: z.string().max(64).optional().describe('in which the pid means this process'),
  host: z.string().max(320).optional().describe('name of the machine'),
})
type ProcessInfo = z.infer<typeof ProcessInfo>

type Sight =
  | { readonly state: 'alive'; readonly detail: string }
  | { readonly state: 'gone'; readonly detail: string }
  /** Not to be told from here; nothing may be signalled. */
  | { readonly state: 'unknown'; readonly detail: string }

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
    if (isComplete(info)) return info
    if (readStat(ownPid) === null) throw new FenceInfoFault('this machine has no /proc that shows processes')
    const here = machine()
    const stat = readStat(info.pid)
    if (stat === null) throw new FenceInfoFault(`there is no process ${info.pid} on ${hostname()}`)
    if (info.pid === ownPid) throw new FenceInfoFault(`${info.pid} is the gateway itself`)
    if (info.startTime !== undefined && info.startTime !== stat.startTime) {
      throw new FenceInfoFault(
        `process ${info.pid} has the start time ${stat.startTime}, not ${info.startTime}`,
      )
    }
    for (const key of ['bootId', 'pidNamespace', 'host'] as const) {
      if (info[key] !== undefined && info[key] !== here[key]) {
        throw new FenceInfoFault(`${key} is ${here[key]} here, not ${info[key]}`)
      }
    }
    return { pid: info.pid, startTime: stat.startTime, ...here }
  },

  target: (info) => [info.bootId ?? '?', info.pidNamespace ?? '?', info.pid, info.startTime ?? '?'].join('/'),

  create: (options, { clock }) => ({
    async fence(info, attempt) {
      if (!strike(info, 'SIGTERM', attempt, options.graceMs > 0)) return
      const killAtMs = clock.monotonicMs() + options.graceMs
      while (clock.monotonicMs() < killAtMs) {
        if (look(info).state !== 'alive') return
        await pause(clock, Math.min(POLL_MS, killAtMs - clock.monotonicMs()), attempt.signal)
      }
      strike(info, 'SIGKILL', attempt, true)
    },

    verify(info) {
      const sight = look(info)
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
  }),
})

/**
 * Sends the signal where the incarnation is alive; false where it is gone. Between the look at the start time and the
 * signal there is no await, so the window in which the pid could pass on is some microseconds, within which the kernel
 * would have to reap the process and hand out every other pid first. A pidfd would close it; Node has none.
 */
function strike(
  info: ProcessInfo,
  signal: 'SIGTERM' | 'SIGKILL',
  attempt: Attempt,
  wanted: boolean,
): boolean {
  const sight = look(info)
  if (sight.state === 'unknown') throw new Error(sight.detail)
  if (sight.state === 'gone') {
    attempt.note(sight.detail)
    return false
  }
  if (!wanted) return true
  if (info.pid <= 1 || info.pid === ownPid) throw new Error(`process ${info.pid} is never struck`)
  if (!attempt.mayStrike()) throw new StrikeWithheld(`${signal} was withheld: this attempt is over`)
  try {
    kill(info.pid, signal)
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false
    throw new Error(`${signal} to process ${info.pid} failed: ${errorCode(error)}`, { cause: error })
  }
  attempt.note(`sent ${signal} to process ${info.pid}`)
  return true
}

function look(info: ProcessInfo): Sight {
  if (!isComplete(info)) {
    return { state: 'unknown', detail: `which incarnation of process ${info.pid} it was is not on record` }
  }
  const here = machine()
  if (info.bootId !== here.bootId) {
    // Machines that were cloned share a machine id: the host's name has to agree, too.
    return info.host === here.host
      ? { state: 'gone', detail: `${hostname()} was started anew since` }
      : { state: 'unknown', detail: `process ${info.pid} belongs to another machine than ${hostname()}` }
  }
  if (info.pidNamespace !== here.pidNamespace) {
    return { state: 'unknown', detail: `process ${info.pid} belongs to another pid namespace` }
  }
  const stat = readStat(info.pid)
  if (stat === null) {
    // Where /proc hides other users' processes (hidepid, systemd's ProtectProc=), it hides pid 1, too.
    return readStat(1) === null
      ? { state: 'unknown', detail: `/proc on ${hostname()} hides the processes of others` }
      : { state: 'gone', detail: `there is no process ${info.pid}` }
  }
  if (stat.startTime !== info.startTime) {
    return { state: 'gone', detail: `process ${info.pid} is another one, started at ${stat.startTime}` }
  }
  if (isDead(stat.state) && !hasLiveThread(info.pid)) {
    return { state: 'gone', detail: `process ${info.pid} is dead and waits for its parent to collect it` }
  }
  return { state: 'alive', detail: `process ${info.pid} is alive (state ${stat.state})` }
}

type CompleteInfo = ProcessInfo & {
  readonly startTime: number
  readonly bootId: string
  readonly pidNamespace: string
  readonly host: string
}

function isComplete(info: ProcessInfo): info is CompleteInfo {
  return (
    info.startTime !== undefined &&
    info.bootId !== undefined &&
    info.pidNamespace !== undefined &&
    info.host !== undefined
  )
}

function readStat(pid: number | string): { readonly state: string; readonly startTime: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name of the program stands in parentheses and may hold spaces and parentheses itself.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0] ?? '', startTime: Number(fields[19]) }
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return null
    throw error
  }
}

/** A process whose first thread has ended looks dead while its other threads go on. */
function hasLiveThread(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => {
      const stat = readStat(`${pid}/task/${thread}`)
      return stat !== null && !isDead(stat.state)
    })
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return false
    throw error
  }
}

function isDead(state: string): boolean {
  return state === 'Z' || state === 'X'
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
