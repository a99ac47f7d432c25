// Reads CPU time and memory of processes from /proc. Linux only; it never guesses where a reading is missing.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** The processes and all that descend from them. */
export function family(roots: readonly number[]): readonly number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const parent = parentOf(Number(name))
    if (parent === null) continue
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [Number(name)])
    else siblings.push(Number(name))
  }
  const found = [...roots]
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i] ?? -1) ?? []))
  return found
}

/**
 * User and system time of all threads, in microseconds. From `schedstat`, which counts nanoseconds; `stat` counts
 * hundredths of a second.
 */
export function cpuMicroseconds(pids: readonly number[]): number {
  let nanoseconds = 0
  for (const pid of pids)
    for (const thread of readdirSync(`/proc/${pid}/task`))
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0])
  if (!(nanoseconds > 0)) throw new Error('this kernel keeps no /proc/<pid>/schedstat')
  return nanoseconds / 1000
}

/** Resident memory, in bytes, summed. */
export function residentBytes(pids: readonly number[]): number {
  return sum(pids, 'VmRSS')
}

/** The most that was resident at once since `forgetPeak`, in bytes, summed. */
export function peakBytes(pids: readonly number[]): number {
  return sum(pids, 'VmHWM')
}

/** Sets the peak back to what is resident now. */
export function forgetPeak(pids: readonly number[]): void {
  for (const pid of pids) writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

function sum(pids: readonly number[], field: string): number {
  let bytes = 0
  for (const pid of pids) {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    if (found === null) throw new Error(`/proc/${pid}/status has no ${field}`)
    bytes += Number(found[1]) * 1024
  }
  return bytes
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return null
    throw error
  }
}
