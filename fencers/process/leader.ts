// The process that a session was opened for: what names its incarnation, and whether that is alive, as far as it can be told from here.

import { hostname } from 'node:os'
import { z } from 'zod'
import { machine } from '../host/machine.ts'
import { isDead, readStat } from './proc.ts'

/** A pid means nothing without the machine, the boot and the pid namespace that it was read in. */
export const ProcessInfo = z.object({
  pid: z.int().min(2).describe('the process; the rest is filled in while the session is opened'),
  startTime: z
    .int()
    .min(0)
    .optional()
    .describe('field 22 of /proc/PID/stat, clock ticks since boot: a recycled pid has another'),
  bootId: z.string().max(64).optional().describe('of the machine: /proc/sys/kernel/random/boot_id'),
  pidNamespace: z.string().max(64).optional().describe('in which the pid means this process'),
  host: z.string().max(320).optional().describe('name of the machine'),
  processGroup: z.int().min(0).optional().describe('field 5 of /proc/PID/stat; for kill: group'),
  cgroup: z.string().startsWith('/').max(4_096).optional().describe('of /proc/PID/cgroup; for kill: cgroup'),
  cgroupId: z.string().max(32).optional().describe("inode of the cgroup's folder: one made anew has another"),
})
export type ProcessInfo = z.infer<typeof ProcessInfo>

export type CompleteInfo = ProcessInfo & {
  readonly startTime: number
  readonly bootId: string
  readonly pidNamespace: string
  readonly host: string
}

export type LeaderSight =
  | { readonly state: 'alive'; readonly detail: string }
  | {
      readonly state: 'gone'
      /** `another`: the pid was handed out anew. `dead`: not yet collected, so the pid is still its own. */
      readonly cause: 'booted' | 'absent' | 'another' | 'dead'
      readonly detail: string
    }
  | { readonly state: 'unknown'; readonly detail: string }

export function isComplete(info: ProcessInfo): info is CompleteInfo {
  return (
    info.startTime !== undefined &&
    info.bootId !== undefined &&
    info.pidNamespace !== undefined &&
    info.host !== undefined
  )
}

export function lookAtLeader(info: ProcessInfo): LeaderSight {
  if (!isComplete(info)) {
    return { state: 'unknown', detail: `which incarnation of process ${info.pid} it was is not on record` }
  }
  const here = machine()
  if (info.bootId !== here.bootId) {
    // Machines that were cloned share a machine id: the host's name has to agree, too.
    return info.host === here.host
      ? { state: 'gone', cause: 'booted', detail: `${hostname()} was started anew since` }
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
      : { state: 'gone', cause: 'absent', detail: `there is no process ${info.pid}` }
  }
  if (stat.startTime !== info.startTime) {
    const detail = `process ${info.pid} is another one, started at ${stat.startTime}`
    return { state: 'gone', cause: 'another', detail }
  }
  if (isDead(stat)) {
    const detail = `process ${info.pid} is dead and waits for its parent to collect it`
    return { state: 'gone', cause: 'dead', detail }
  }
  return { state: 'alive', detail: `process ${info.pid} is alive (state ${stat.state})` }
}
