// Stops a process so that it has stopped when this returns: a signal is sent to all its threads, and one that runs goes on for a
// moment, in which it may answer once more.

import { existsSync, readdirSync, readFileSync } from 'node:fs'

const STOPPED_MS_MAX = 5_000
const pause = new Int32Array(new SharedArrayBuffer(4))

/** SIGSTOP. Throws where a thread still runs after five seconds. */
export function standStill(pid: number): void {
  process.kill(pid, 'SIGSTOP')
  const threads = `/proc/${pid}/task`
  // Elsewhere nobody tells.
  if (!existsSync(threads)) return
  const untilMs = performance.now() + STOPPED_MS_MAX
  while (!readdirSync(threads).every((thread) => isStopped(`${threads}/${thread}/stat`))) {
    if (performance.now() > untilMs) throw new Error(`process ${pid} does not stand still`)
    Atomics.wait(pause, 0, 0, 1)
  }
}

function isStopped(path: string): boolean {
  try {
    // The program's name stands in brackets before it, and may hold anything.
    return readFileSync(path, 'utf8').split(') ').at(-1)?.startsWith('T') === true
  } catch {
    // The thread has ended meanwhile.
    return true
  }
}
