// Reads of /proc what a fence of a process has to know: its state, its start, its process group. Reads only.

import { readdirSync, readFileSync } from 'node:fs'
import { errorCode } from '../host/machine.ts'

export interface ProcessStat {
  readonly pid: number
  readonly state: string
  /** Clock ticks since the boot: with the pid, the incarnation. */
  readonly startTime: number
  readonly group: number
}

/** Null where there is no such process, or /proc hides it. */
export function readStat(pid: number): ProcessStat | null {
  return readStatAt(String(pid))
}

/** A process whose first thread has ended looks dead while its other threads go on. */
export function isDead(stat: ProcessStat): boolean {
  return isDeadState(stat.state) && !hasLiveThread(stat.pid)
}

/** The living processes of a process group. */
export function membersOf(group: number): readonly ProcessStat[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^[1-9]\d*$/.test(name)) return []
    const stat = readStatAt(name)
    return stat !== null && stat.group === group && !isDead(stat) ? [stat] : []
  })
}

function readStatAt(path: string): ProcessStat | null {
  const text = readOrNull(`/proc/${path}/stat`)
  if (text === null) return null
  // The name of the program stands in parentheses and may hold spaces and parentheses itself.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const pid = Number(text.slice(0, text.indexOf(' ')))
  return { pid, state: fields[0] ?? '', group: Number(fields[2]), startTime: Number(fields[19]) }
}

function hasLiveThread(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => {
      const stat = readStatAt(`${pid}/task/${thread}`)
      return stat !== null && !isDeadState(stat.state)
    })
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

function isDeadState(state: string): boolean {
  return state === 'Z' || state === 'X'
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isGone(error)) return null
    throw error
  }
}

function isGone(error: unknown): boolean {
  return errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH'
}
