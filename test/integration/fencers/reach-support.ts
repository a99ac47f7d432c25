// Process groups and cgroups for the tests of those who end them: families that ignore SIGTERM, and cgroups that end with the test.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { startVictim, type Victim } from './support.ts'

export const alive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))

const victims: Victim[] = []
const strays: number[] = []
const folders: string[] = []

/** Ends all that was started here. */
export async function endAll(): Promise<void> {
  for (const pid of strays.splice(0)) if (alive(pid)) process.kill(pid, 'SIGKILL')
  await Promise.all(victims.splice(0).map((victim) => victim.end()))
  for (const folder of folders.splice(0))
    await expect.poll(() => emptied(folder), { timeout: 5_000 }).toBe(true)
}

/** Removes a cgroup that nobody lives in; false where somebody does. */
export function emptied(folder: string): boolean {
  if (!existsSync(folder)) return true
  if (/populated 1/.test(readFileSync(join(folder, 'cgroup.events'), 'utf8'))) return false
  rmdirSync(folder)
  return true
}

/** A shell that leads a group, and a child of it that ignores SIGTERM. */
export async function aFamily(
  leader = 'wait',
): Promise<{ leader: ChildProcess; pid: number; child: number }> {
  const shell = spawn('sh', ['-c', `sh -c 'trap "" TERM; echo $$; exec sleep 600' & ${leader}`], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const [line] = await once(shell.stdout, 'data')
  const pids = { leader: shell, pid: shell.pid ?? 0, child: Number(String(line).trim()) }
  strays.push(pids.pid, pids.child)
  return pids
}

/** Where cgroups (v2) are mounted; null where they are not. */
export const hierarchy = (): string | null => {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((candidate) => candidate.includes(' - cgroup2 '))
  return line?.split(' ')[4] ?? null
}
let made = 0
export function makeCgroup(name = `fencegate-test-${process.pid}-${++made}`): string {
  const folder = join(hierarchy() ?? '', name)
  mkdirSync(folder)
  folders.push(folder)
  return folder
}
/** Needs a mounted cgroup2 in which this user may make a cgroup and move a process into it; else it is skipped. */
export const cgroupsAvailable = (): boolean => {
  const root = hierarchy()
  if (root === null) return false
  const folder = join(root, `fencegate-try-${process.pid}`)
  try {
    mkdirSync(folder)
    const isKillable = existsSync(join(folder, 'cgroup.kill'))
    rmdirSync(folder)
    return isKillable
  } catch {
    return false
  }
}

/** A victim in a cgroup, and a child of it that has left its session and ignores SIGTERM. */
export async function inCgroup(folder: string): Promise<{ victim: Victim; child: number }> {
  const victim = await startVictim(
    `const { spawn } = require('node:child_process'); const { writeFileSync } = require('node:fs')
     writeFileSync(${JSON.stringify(join(folder, 'cgroup.procs'))}, String(process.pid))
     const child = spawn('setsid', ['sh', '-c', 'trap "" TERM; exec sleep 600'], { stdio: 'ignore' })
     console.log(child.pid); setInterval(() => {}, 1000)`,
  )
  victims.push(victim)
  await expect.poll(() => victim.output()).toContain('ready')
  const child = Number(victim.output().split('\n')[0])
  strays.push(child)
  return { victim, child }
}
