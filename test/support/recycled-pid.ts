// A program for a pid namespace of its own (unshare --pid --fork --mount-proc): the process fencer against a process that was given the
// very pid of the holder. Prints one line of JSON, what became of it. Its arguments: the fencer's options.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { readStat } from '../../fencers/process/proc.ts'
import driver from '../../fencers/process.ts'
import { anAttemptNow, realClock } from '../integration/fencers/support.ts'

const TRIES = 200

/** A leader of a process group, and a child of it where a command is given. */
async function start(command = 'exec sleep 600'): Promise<ChildProcess & { readonly pid: number }> {
  const child = spawn('sh', ['-c', `echo; ${command}`], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const { pid, stdout } = child
  if (pid === undefined) throw new Error('no process')
  await once(stdout, 'data')
  return Object.assign(child, { pid })
}

async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

/** Threads of this program take numbers too, so it is tried until it happens; and the start is told in hundredths of a second. */
async function startUnder(pid: number, notAt: number | undefined): Promise<ChildProcess> {
  for (let i = 0; i < TRIES; i++) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1))
    const child = await start()
    if (child.pid === pid && readStat(pid)?.startTime !== notAt) return child
    await end(child)
  }
  throw new Error(`the pid ${pid} was not handed out again`)
}

const options = driver.options.parse(JSON.parse(process.argv[2] ?? '{}'))
const fencer = driver.create(options, { clock: realClock, note: () => undefined })
const holder = await start()
const info = driver.complete?.({ pid: holder.pid }) ?? { pid: holder.pid }
const before = (await fencer.verify(info, anAttemptNow())).state
await end(holder)
const stranger = await startUnder(holder.pid, info.startTime)
const attempt = anAttemptNow()
await fencer.fence(info, attempt)
const after = await fencer.verify(info, attempt)
const isAlive = stranger.exitCode === null && stranger.signalCode === null
console.log(
  JSON.stringify({ before, after, notes: attempt.notes, samePid: stranger.pid === holder.pid, isAlive }),
)
if (isAlive) await end(stranger)
