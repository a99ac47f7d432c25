// One cgroup (v2) of this machine: who is in it, whether anybody is left, and the end of all of them at once. The kernel gives the
// number of a cgroup to no other one, so path and number together name the incarnation.

import { closeSync, fstatSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { errorCode } from '../host/machine.ts'

export interface Cgroup {
  /** Below the root of the hierarchy, as /proc/PID/cgroup has it. */
  readonly cgroup: string
  readonly cgroupId: string
}

/** Null where the process is in none, in the root, or in one that cannot be seen from here. */
export function cgroupOf(pid: number | 'self'): Cgroup | null {
  const cgroup = pathOf(pid)
  const folder = cgroup === null ? null : folderOf(cgroup)
  if (cgroup === null || folder === null) return null
  try {
    return { cgroup, cgroupId: String(statSync(folder, { bigint: true }).ino) }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
}

/** `gone`: removed, which takes nobody living in it, or replaced by another of its name. */
export function stateOf({ cgroup, cgroupId }: Cgroup): 'populated' | 'empty' | 'gone' | 'unknown' {
  if (folderOf(cgroup) === null) return 'unknown'
  return inside(cgroup, cgroupId, 'gone', (folder) => {
    const events = readFileSync(`${folder}/cgroup.events`, 'utf8')
    const populated = /^populated ([01])$/m.exec(events)?.[1]
    return populated === undefined ? 'unknown' : populated === '1' ? 'populated' : 'empty'
  })
}

/** Ends every process in it and below it, those that it is just starting too. False where it is gone. */
export function killAll({ cgroup, cgroupId }: Cgroup): boolean {
  return inside(cgroup, cgroupId, false, (folder) => {
    writeFileSync(`${folder}/cgroup.kill`, '1')
    return true
  })
}

/** Whether this process itself would be struck. */
export function holdsUs({ cgroup }: Cgroup): boolean {
  const own = pathOf('self')
  return own === null || own === cgroup || own.startsWith(`${cgroup}/`)
}

/** Through the opened folder: by its name another cgroup could be reached that has been made since. */
function inside<Result>(
  cgroup: string,
  cgroupId: string,
  gone: Result,
  act: (folder: string) => Result,
): Result {
  let handle: number | null = null
  try {
    handle = openSync(folderOf(cgroup) ?? '', 'r')
    return String(fstatSync(handle, { bigint: true }).ino) === cgroupId
      ? act(`/proc/self/fd/${handle}`)
      : gone
  } catch (error) {
    // ENODEV: removed while it was open.
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENODEV') return gone
    throw error
  } finally {
    if (handle !== null) closeSync(handle)
  }
}

function pathOf(pid: number | 'self'): string | null {
  try {
    const path = /^0::(\/.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1]
    return path === undefined || path.endsWith(' (deleted)') ? null : path
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return null
    throw error
  }
}

/** Null for the root, which cannot be struck, and for what lies outside of what is mounted here. */
function folderOf(cgroup: string): string | null {
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => line.includes(' - cgroup2 '))
  const [, , , root = '', point = ''] = mount?.split(' ') ?? []
  const base = root === '/' ? '' : root
  const isBelow = cgroup.startsWith(`${base}/`) && cgroup.length > base.length + 1
  const isPlain = cgroup.split('/').every((step) => step !== '..' && step !== '.')
  return mount === undefined || !isBelow || !isPlain ? null : point + cgroup.slice(base.length)
}
