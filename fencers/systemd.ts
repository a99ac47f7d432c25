// Stops the holder's systemd unit on the gateway's own machine, then kills what is left of it. It must never strike a unit
// that was started anew, and never conclude anything from the units of another machine.

import { readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { z } from 'zod'
import { type Attempt, defineFencer, FenceInfoFault } from '../gateway/spi/fencer.ts'
import { errorCode, machine } from './host/machine.ts'
import { type Report, type Script, type Step, unitScript } from './host/script.ts'
import { type HostTarget, strikeHost, verifyHost } from './host/strikes.ts'
import { describeEnding, runProgram } from './program/run.ts'

const SystemdOptions = z.strictObject({
  graceMs: z
    .int()
    .min(0)
    .max(600_000)
    .default(5_000)
    .describe('milliseconds between `systemctl stop` and SIGKILL (default: 5000); 0 kills at once'),
  systemctl: z
    .string()
    .regex(/^(?:systemctl|\/[^\0\n]{1,1000})$/)
    .default('systemctl')
    .describe('the program, where it is not on the usual PATH'),
})

const SystemdInfo = z.object({
  unit: z
    .string()
    .regex(/^[A-Za-z0-9:_.\\@-]{1,255}$/)
    .describe('name of the unit; the rest is filled in while the session is opened'),
  invocationId: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional()
    .describe('$INVOCATION_ID of the unit: a unit that was started anew has another'),
  bootId: z.string().max(64).optional().describe('of the machine: /proc/sys/kernel/random/boot_id'),
  host: z.string().max(320).optional().describe('machine id and name of the machine'),
})
type SystemdInfo = z.infer<typeof SystemdInfo>

export default defineFencer<z.infer<typeof SystemdOptions>, SystemdInfo>({
  id: 'systemd',
  summary: "stops the holder's systemd unit, on the machine that the gateway runs on",
  options: SystemdOptions,
  fenceInfo: SystemdInfo,
  example: { options: { graceMs: 10_000 }, fenceInfo: { unit: 'nova-compute@3.service' } },
  // What the unit had sent may still be on its way.
  proves: () => ['no-new-calls'],

  complete(info) {
    if (isComplete(info)) return info
    const here = machine()
    const invocationId = invocationOf(info.unit)
    if (info.invocationId !== undefined && info.invocationId !== invocationId) {
      throw new FenceInfoFault(`${info.unit} runs as ${invocationId}, not ${info.invocationId}`)
    }
    for (const key of ['bootId', 'host'] as const) {
      if (info[key] !== undefined && info[key] !== here[key]) {
        throw new FenceInfoFault(`${key} is ${here[key]} here, not ${info[key]}`)
      }
    }
    return { unit: info.unit, invocationId, bootId: here.bootId, host: here.host }
  },

  target: (info) => [info.bootId ?? '?', info.unit, info.invocationId ?? '?'].join('/'),

  create(options, context) {
    const seen = new Set<string>()

    const runScript = async (script: Script, attempt: Attempt): Promise<Report> => {
      const ending = await runProgram({
        argv: ['/bin/sh', '-s'],
        input: script.text,
        context: attempt,
        signal: attempt.signal,
      })
      return script.report(ending.output)
    }

    const unitTarget = (info: SystemdInfo): HostTarget => ({
      async run(step, attempt) {
        if (!isComplete(info)) {
          return { state: 'unknown', detail: `which invocation of ${info.unit} it was is not on record` }
        }
        const here = machine()
        if (info.bootId !== here.bootId) {
          return info.host === here.host
            ? { state: 'gone', detail: `${hostname()} was started anew since` }
            : { state: 'unknown', detail: `${info.unit} belongs to another machine than ${hostname()}` }
        }
        return await runScript(unitScript(info, step, options.systemctl), attempt)
      },
      seen,
      name: `${info.unit}/${info.invocationId ?? '?'}`,
      request: `systemctl show ${info.unit} on ${hostname()}`,
    })

    return {
      fence(info, attempt) {
        const steps: readonly Step[] = options.graceMs === 0 ? ['SIGKILL'] : ['stop', 'SIGKILL']
        return strikeHost(unitTarget(info), steps, attempt, options.graceMs)
      },
      verify: (info, attempt) => verifyHost(unitTarget(info), attempt),
      async monitor({ signal }) {
        const argv = [options.systemctl, 'show', '--no-pager', '--property=Version']
        const ending = await runProgram({ argv, context, signal })
        if (ending.code !== 0 || !/^Version=./m.test(ending.output)) {
          throw new Error(
            `systemd does not answer (${describeEnding(ending)}): ${ending.output.slice(0, 300)}`,
          )
        }
      },
    }
  },
})

type CompleteInfo = SystemdInfo & {
  readonly invocationId: string
  readonly bootId: string
  readonly host: string
}

function isComplete(info: SystemdInfo): info is CompleteInfo {
  return info.invocationId !== undefined && info.bootId !== undefined && info.host !== undefined
}

/** systemd keeps a link for each running unit that names its invocation: no program has to be asked. */
function invocationOf(unit: string): string {
  try {
    return readlinkSync(`/run/systemd/units/invocation:${unit}`)
  } catch (error) {
    throw new FenceInfoFault(`no unit ${unit} runs on ${hostname()} (${errorCode(error)})`)
  }
}
