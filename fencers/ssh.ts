// Ends the holder's process, or its systemd unit, on the holder's own host over ssh. The host's key has to be known: it is
// what says that the host is the one that was meant. It must never strike another incarnation than the one on record.

import { access, constants } from 'node:fs/promises'
import { z } from 'zod'
import { type Attempt, defineFencer, FenceInfoFault } from '../gateway/spi/fencer.ts'
import {
  probeScript,
  processScript,
  type Report,
  type Script,
  type ScriptReach,
  type Step,
  unitScript,
} from './host/script.ts'
import { createSshClient, SSH_FAILED, type SshContext } from './host/ssh-client.ts'
import { type HostTarget, strikeHost, verifyHost } from './host/strikes.ts'

const path = z.string().regex(/^\/[^\0\n]{1,1000}$/, { error: 'an absolute path' })

const host = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,254}$/, { error: 'a host name or an address' })

const SshOptions = z.strictObject({
  user: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/)
    .describe('who logs in; he must be allowed to signal the holder, or have `sudo`'),
  identityFile: path.describe('private key, without a passphrase, readable for the gateway only'),
  knownHostsFile: path.describe(
    "keys of the holders' hosts, as ssh-keyscan prints them; no other host is talked to",
  ),
  port: z.int().min(1).max(65_535).default(22).describe('of sshd (default: 22)'),
  sudo: z.boolean().default(false).describe('run the far end with `sudo -n` (default: false)'),
  kill: z
    .enum(['process', 'group', 'cgroup'])
    .default('process')
    .describe(
      'of a process: it alone (the default), the whole process group that it leads, or all that is in its cgroup (v2)',
    ),
  connectTimeoutSeconds: z.int().min(1).max(300).default(10).describe('for connecting (default: 10)'),
  monitorHosts: z
    .array(host)
    .max(1_000)
    .default([])
    .describe('hosts that a test of this fencer logs in to; without any it looks at the files only'),
  graceMs: z
    .int()
    .min(0)
    .max(600_000)
    .default(5_000)
    .describe(
      'milliseconds between asking (SIGTERM, systemctl stop) and SIGKILL (default: 5000); 0 kills at once',
    ),
})
type SshOptions = z.infer<typeof SshOptions>

const SshInfo = z
  .object({
    host: host.describe("the holder's host, as known_hosts has it"),
    pid: z.int().min(2).optional().describe('the process; with startTime, bootId and pidNamespace'),
    startTime: z.int().min(0).optional().describe('field 22 of /proc/PID/stat, read by the holder'),
    bootId: z
      .string()
      .regex(/^[0-9a-f-]{36}$/)
      .optional()
      .describe('/proc/sys/kernel/random/boot_id, read by the holder'),
    pidNamespace: z
      .string()
      .regex(/^pid:\[\d+\]$/)
      .optional()
      .describe(
        'readlink /proc/self/ns/pid, read by the holder: in a container its pid means another process',
      ),
    cgroup: z
      .string()
      .max(4_096)
      .regex(/^(?:\/(?!\.{1,2}(?:\/|$))[^/\0\n]{1,255})+$/)
      .optional()
      .describe('behind 0:: in /proc/self/cgroup, read by the holder; for kill: cgroup'),
    cgroupId: z
      .string()
      .regex(/^\d{1,20}$/)
      .optional()
      .describe("inode of that cgroup's folder (stat -c %i): one made anew has another"),
    unit: z
      .string()
      .regex(/^[A-Za-z0-9:_.\\@-]{1,255}$/)
      .optional()
      .describe('the systemd unit, in place of the process; with invocationId'),
    invocationId: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .optional()
      .describe('$INVOCATION_ID of the unit: a unit that was started anew has another'),
  })
  .refine((info) => targetOf(info) !== null, {
    error: 'either pid, startTime, bootId and pidNamespace, or unit and invocationId',
  })
type SshInfo = z.infer<typeof SshInfo>

export default defineFencer<SshOptions, SshInfo>({
  id: 'ssh',
  summary: "ends the holder's process or systemd unit on the holder's host over ssh",
  options: SshOptions,
  fenceInfo: SshInfo,
  example: {
    options: {
      user: 'fencegate',
      identityFile: '/etc/fencegate/fencer_ed25519',
      knownHostsFile: '/etc/fencegate/known_hosts',
      sudo: true,
    },
    fenceInfo: {
      host: 'compute-3',
      unit: 'nova-compute.service',
      invocationId: '0123456789abcdef0123456789abcdef',
    },
  },
  // What the dead process had sent may still be on its way.
  proves: () => ['no-new-calls'],
  target: (info) => `${info.host}/${targetOf(info)?.name ?? '?'}`,

  create(options, context) {
    const client = createSshClient(options)
    const seen = new Set<string>()

    const runScript = async (host: string, script: Script, run: SshContext): Promise<Report> => {
      const ending = await client.run(host, script.text, run)
      const report = script.report(ending.output)
      if (report.state === 'unknown' && ending.code === SSH_FAILED) {
        throw new Error(`ssh to ${host} failed: ${ending.output.slice(-500)}`)
      }
      return report
    }

    const hostTarget = (info: SshInfo): HostTarget => {
      const target = targetOf(info)
      if (target === null) throw new Error('the fenceInfo names no incarnation')
      return {
        run: (step: Step, attempt: Attempt) =>
          runScript(info.host, target.script(step, reachOf(options, info)), attempt),
        seen,
        name: `${info.host}/${target.name}`,
        request: `looked at ${target.name} on ${info.host} over ssh`,
      }
    }

    return {
      check: (info) => void reachOf(options, info),

      fence(info, attempt) {
        const ask = info.unit === undefined ? 'SIGTERM' : 'stop'
        const steps: readonly Step[] = options.graceMs === 0 ? ['SIGKILL'] : [ask, 'SIGKILL']
        return strikeHost(hostTarget(info), steps, attempt, options.graceMs)
      },
      verify: (info, attempt) => verifyHost(hostTarget(info), attempt),
      async monitor(run) {
        await access(options.identityFile, constants.R_OK)
        await access(options.knownHostsFile, constants.R_OK)
        for (const host of options.monitorHosts) {
          const report = await runScript(host, probeScript(), run)
          if (report.state !== 'alive') throw new Error(`${host}: ${report.detail}`)
        }
      },
      close: () => client.close(context),
    }
  },
})

interface Named {
  readonly name: string
  script(step: Step, reach: ScriptReach): Script
}

function reachOf({ kill }: SshOptions, { unit, cgroup, cgroupId }: SshInfo): ScriptReach {
  if (kill !== 'cgroup') return { kill }
  if (cgroup !== undefined && cgroupId !== undefined) return { kill, cgroup, cgroupId }
  if (unit !== undefined) return { kill: 'process' }
  throw new FenceInfoFault('cgroup and cgroupId are missing, and this fencer ends whole cgroups')
}

interface HolderInfo {
  readonly pid?: number | undefined
  readonly startTime?: number | undefined
  readonly bootId?: string | undefined
  readonly pidNamespace?: string | undefined
  readonly unit?: string | undefined
  readonly invocationId?: string | undefined
}

function targetOf(info: HolderInfo): Named | null {
  const { pid, startTime, bootId, pidNamespace, unit, invocationId } = info
  if (unit !== undefined) {
    if (invocationId === undefined || pid !== undefined) return null
    return {
      name: `${unit}/${invocationId}`,
      script: (step) => unitScript({ unit, invocationId }, step),
    }
  }
  if (pid === undefined || startTime === undefined || bootId === undefined || pidNamespace === undefined) {
    return null
  }
  return {
    name: [bootId, pidNamespace, pid, startTime].join('/'),
    script: (step, reach) => processScript({ pid, startTime, bootId, pidNamespace }, step, reach),
  }
}
