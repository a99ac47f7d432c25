// How far a strike reaches: the holder's process alone, its whole process group, or its whole cgroup. Each looks for what is left of
// all of it, and signals nothing of which it cannot tell that it is the holder's.

import { kill, pid as ownPid } from 'node:process'
import { FenceInfoFault } from '../../gateway/spi/fencer.ts'
import { errorCode } from '../host/machine.ts'
import { type Cgroup, holdsUs, killAll, stateOf } from './cgroup.ts'
import { type LeaderSight, lookAtLeader, type ProcessInfo } from './leader.ts'
import { isDead, membersOf, type ProcessStat, readStat } from './proc.ts'

export type Sight =
  | { readonly state: 'alive'; readonly detail: string }
  | { readonly state: 'gone'; readonly detail: string }
  /** Not to be told from here; nothing may be signalled. */
  | { readonly state: 'unknown'; readonly detail: string }

export type Signal = 'SIGTERM' | 'SIGKILL'

export interface Reach {
  /** Throws `FenceInfoFault` where the holder cannot be struck so. */
  check(info: ProcessInfo): void
  look(info: ProcessInfo): Sight
  /** Right after a look that saw it alive. Answers whom it has told; null where nobody was left. */
  strike(info: ProcessInfo, signal: Signal): string | null
}

export function processReach(): Reach {
  return {
    check: () => undefined,
    look: lookAtLeader,
    strike: (info, signal) => (send(info.pid, signal) ? `process ${info.pid}` : null),
  }
}

/**
 * The number of a group is given to no new process while anybody is in it. So while the leader is there, dead or alive, and while one of
 * those is who were seen in it under the leader, it is the holder's; with the leader and all of them gone, nobody can tell.
 */
export function groupReach(): Reach {
  const seen = new Map<string, ReadonlySet<string>>()
  const remember = (info: ProcessInfo, members: readonly ProcessStat[]): void => {
    const key = keyOf(info.pid, info.startTime)
    seen.delete(key)
    if (seen.size >= REMEMBERED_MAX) seen.delete([...seen.keys()][0] ?? '')
    seen.set(key, new Set(members.map((member) => keyOf(member.pid, member.startTime))))
  }
  return {
    check(info) {
      if (info.processGroup !== info.pid)
        throw new FenceInfoFault(
          `process ${info.pid} leads no process group (start it with setsid), and this fencer ends whole groups`,
        )
      if (readStat(ownPid)?.group === info.pid)
        throw new FenceInfoFault(`the gateway itself is in the process group ${info.pid}`)
    },
    look(info) {
      const leader = lookAtLeader(info)
      if (leader.state === 'unknown') return leader
      if (leader.state === 'gone' && (leader.cause === 'booted' || leader.cause === 'another')) return leader
      const members = membersOf(info.pid)
      if (leader.state === 'gone' && members.length === 0)
        return { state: 'gone', detail: `${leader.detail}, and nobody is left of its group` }
      const known = seen.get(keyOf(info.pid, info.startTime))
      const isOurs =
        leader.state === 'alive' ||
        leader.cause === 'dead' ||
        members.some((member) => known?.has(keyOf(member.pid, member.startTime)))
      if (!isOurs)
        return {
          state: 'unknown',
          detail: `${leader.detail}, and whether the processes of group ${info.pid} were its own cannot be told`,
        }
      remember(info, members)
      return { state: 'alive', detail: `${members.length} of process group ${info.pid} are alive` }
    },
    strike(info, signal) {
      const told = send(-info.pid, signal)
      // A leader may have moved to another group, and is still the holder.
      const stat = readStat(info.pid)
      const leader = stat !== null && stat.startTime === info.startTime && !isDead(stat)
      const toldLeader = leader && stat.group !== info.pid && send(info.pid, signal)
      return told || toldLeader ? `process group ${info.pid}` : null
    },
  }
}

/** SIGTERM goes to the leader, who knows what to do with the others; the end comes to all at once. */
export function cgroupReach(): Reach {
  return {
    check: (info) => void cgroupIn(info),
    look(info) {
      const leader: LeaderSight = lookAtLeader(info)
      if (leader.state === 'unknown') return leader
      if (leader.state === 'gone' && leader.cause === 'booted') return leader
      const { cgroup, cgroupId } = info
      if (cgroup === undefined || cgroupId === undefined)
        return { state: 'unknown', detail: `in which cgroup process ${info.pid} was is not on record` }
      const state = stateOf({ cgroup, cgroupId })
      if (state === 'unknown') return { state, detail: `the cgroup ${cgroup} cannot be seen from here` }
      if (leader.state === 'gone' && state !== 'populated')
        return { state: 'gone', detail: `${leader.detail}, and its cgroup ${cgroup} is ${state}` }
      return { state: 'alive', detail: `${leader.detail}; its cgroup ${cgroup} is ${state}` }
    },
    strike(info, signal) {
      const leader = lookAtLeader(info).state === 'alive'
      if (signal === 'SIGTERM') return leader && send(info.pid, signal) ? `process ${info.pid}` : null
      const cgroup = cgroupIn(info)
      const all = killAll(cgroup)
      const toldLeader = leader && send(info.pid, signal)
      return all || toldLeader ? `the cgroup ${cgroup.cgroup}` : null
    },
  }
}

const REMEMBERED_MAX = 1_000

function cgroupIn({ pid, cgroup, cgroupId }: ProcessInfo): Cgroup {
  if (cgroup === undefined || cgroupId === undefined)
    throw new FenceInfoFault(
      `process ${pid} is in no cgroup (v2) of its own, and this fencer ends whole cgroups`,
    )
  if (holdsUs({ cgroup, cgroupId })) throw new FenceInfoFault(`the gateway itself is in the cgroup ${cgroup}`)
  return { cgroup, cgroupId }
}

function keyOf(pid: number, startTime: number | undefined): string {
  return `${pid}@${startTime ?? '?'}`
}

/** False where there is nobody of that number; a negative one is a group's. */
function send(target: number, signal: Signal): boolean {
  try {
    kill(target, signal)
    return true
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false
    throw new Error(`${signal} to ${target} failed: ${errorCode(error)}`, { cause: error })
  }
}
