// A real clock, attempts as the sequencer makes them, and processes to fence: what the tests of the drivers share.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import type { FenceCallback } from '../../../gateway/core/fence-record.ts'
import type { Clock } from '../../../gateway/spi/clock.ts'
import type { Attempt } from '../../../gateway/spi/fencer.ts'

export const realClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}

export interface TestAttempt extends Attempt {
  readonly notes: string[]
  abort(): void
}

/** `mayStrike: false` is an attempt whose claim was lost. */
export function anAttemptNow(
  settings: {
    readonly lengthMs?: number
    readonly number?: number
    readonly mayStrike?: boolean
    /** Under its name, what has been called back. */
    readonly fencer?: string
    readonly callbacks?: readonly FenceCallback[]
  } = {},
): TestAttempt {
  const notes: string[] = []
  const controller = new AbortController()
  const lengthMs = settings.lengthMs ?? 15_000
  const deadlineMs = realClock.monotonicMs() + lengthMs
  setTimeout(() => controller.abort(new Error('the time of the attempt is over')), lengthMs).unref()
  return {
    clock: realClock,
    note: (line) => notes.push(line),
    notes,
    fenceId: 'f00',
    number: settings.number ?? 1,
    ...(settings.fencer === undefined ? {} : { fencer: settings.fencer }),
    callbacks: () => settings.callbacks ?? [],
    holder: { id: 'a-test' },
    signal: controller.signal,
    deadlineMs,
    mayStrike: () =>
      settings.mayStrike !== false && !controller.signal.aborted && realClock.monotonicMs() < deadlineMs,
    abort: () => controller.abort(new Error('the claim is lost')),
  }
}

export interface Victim {
  readonly pid: number
  readonly child: ChildProcess
  /** All that it has printed. */
  output(): string
  isAlive(): boolean
  end(): Promise<void>
}

/** A process that prints a line once it stands, and then only waits. */
export async function startVictim(script = 'setInterval(() => {}, 1000)'): Promise<Victim> {
  const child = spawn(process.execPath, ['-e', `${script}; console.log('ready')`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const { pid, stdout } = child
  if (pid === undefined || stdout === null) throw new Error('no victim')
  let output = ''
  stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  await once(stdout, 'data')
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null
  return {
    pid,
    child,
    output: () => output,
    isAlive,
    async end() {
      if (!isAlive()) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}
