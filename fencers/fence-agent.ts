// Has a ClusterLabs fence agent switch the holder's machine off, and asks it for the state until it says OFF.
// It must always write an action (without one an agent reboots), and must never take an agent's exit code for a proof.

import { z } from 'zod'
import {
  type Attempt,
  defineFencer,
  FenceInfoFault,
  type FencerContext,
  StrikeWithheld,
} from '../gateway/spi/fencer.ts'
import { metadataFaults, parseMetadata, suggestion } from './fence-agent/metadata.ts'
import { describeEnding, type Ending, runProgram } from './program/run.ts'

const parameterName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/)
  .refine((name) => !['action', 'option'].includes(name), { error: 'what is to be done stands in `action`' })
/** A line each on the agent's standard input: a value with a line break would be two parameters. */
const line = z
  .string()
  .max(4_096)
  .refine((value) => !/\p{Cc}/u.test(value) && value === value.trim(), {
    error: 'an agent cannot be given line breaks, control characters, or spaces at an end',
  })
const parameters = z.record(parameterName, z.union([line, z.number(), z.boolean()]))
type Parameters = z.infer<typeof parameters>

const FenceAgentOptions = z.strictObject({
  agent: z
    .string()
    .regex(/^(?:\/[^\0]+|fence_[a-z0-9_]+)$/)
    .describe('name of the agent, such as fence_ipmilan, or its absolute path'),
  action: z
    .enum(['off', 'reboot'])
    .default('off')
    .describe(
      'off (the default) leaves the machine off; reboot switches it on again once it was seen to be off',
    ),
  parameters: parameters.default({}).describe('of the agent, as its metadata names them: ip, lanplus, …'),
  secrets: parameters.default({}).describe('parameters that are never shown: password, …'),
  options: parameters
    .default({})
    .describe(
      'parameters and secrets in one: of these, what sounds like a secret (password, key, …) is never shown',
    ),
  machines: z
    .record(z.string().min(1).max(255), parameters)
    .optional()
    .describe(
      "what a holder's plug stands for: parameters of that machine; without it the plug goes to the agent",
    ),
  power: z
    .boolean()
    .default(true)
    .describe(
      'whether the agent cuts the power of a whole machine (the default); false: of storage or a port',
    ),
})
type FenceAgentOptions = z.infer<typeof FenceAgentOptions>

const FenceAgentInfo = z.object({
  plug: line
    .min(1)
    .max(255)
    .describe("the holder's machine: a key of `machines`, or the agent's plug (prefer an id to a name)"),
})
type FenceAgentInfo = z.infer<typeof FenceAgentInfo>

/** Of `options`. */
const SECRET_NAME = /pass|secret|token|key|community|credential/i

type Action = 'off' | 'on' | 'status' | 'monitor' | 'metadata'

const METADATA_MAX = 512 * 1_024
const STATUS_POLL_MS = 500
const REMEMBERED_MAX = 1_000
const MONITORED_AT_ONCE = 4
/** Of the action `status`; 1 is any failure. */
const ON = 0
const OFF = 2

export default defineFencer<FenceAgentOptions, FenceAgentInfo>({
  id: 'fence-agent',
  summary: "switches the holder's machine off with a ClusterLabs fence agent",
  options: FenceAgentOptions,
  fenceInfo: FenceAgentInfo,
  example: {
    options: {
      agent: 'fence_ipmilan',
      parameters: { username: 'fencer', lanplus: true },
      secrets: { password: 'file:/run/secrets/bmc' },
      machines: { 'compute-3': { ip: '10.0.9.3' } },
    },
    fenceInfo: { plug: 'compute-3' },
  },
  // What the machine had sent is on its way all the same.
  proves: () => ['no-new-calls'],
  cutsPower: (options) => options.power,
  // A device knows machines, not what runs on them: whichever incarnation it is by then is switched off.
  target: (info) => info.plug,

  create(options) {
    let checked = false
    /** With `action: reboot`: when each attempt has seen the machine off, before it was switched on again. */
    const seenOff = new Map<string, string>()

    const run = async (
      action: Action,
      own: Parameters,
      context: FencerContext & { readonly signal: AbortSignal },
    ): Promise<Ending> => {
      const settings =
        action === 'metadata' ? {} : { ...options.options, ...options.parameters, ...options.secrets, ...own }
      const lines = Object.entries(settings).map(([name, value]) => `${name}=${asText(value)}\n`)
      const ending = await runProgram({
        argv: [options.agent],
        env: { LC_ALL: 'C' },
        // Without an action, and with one that it does not know, an agent reboots.
        input: `action=${action}\n${lines.join('')}`,
        context,
        signal: context.signal,
        ...(action === 'metadata' ? { outputMax: METADATA_MAX } : {}),
      })
      return { ...ending, output: withoutSecrets(ending.output, options) }
    }

    /** Once: an agent does not change under a running gateway. */
    const checkMetadata = async (
      context: FencerContext & { readonly signal: AbortSignal },
    ): Promise<void> => {
      if (checked) return
      const ending = await run('metadata', {}, context)
      let faults: readonly string[]
      try {
        faults = metadataFaults(parseMetadata(ending.output), {
          parameters: new Set([
            ...Object.keys(options.parameters),
            ...Object.keys(options.secrets),
            ...Object.keys(options.options),
            ...(options.machines === undefined
              ? ['plug']
              : Object.values(options.machines).flatMap(Object.keys)),
          ]),
          actions: options.action === 'reboot' ? ['off', 'on', 'status'] : ['off', 'status'],
        })
      } catch (error) {
        throw new Error(`${options.agent} is no fence agent (${describeEnding(ending)})`, { cause: error })
      }
      if (faults.length > 0) throw new Error(`${options.agent}: ${faults.join('; ')}`)
      checked = true
    }

    return {
      check: (info) => void parametersOf(options, info),

      async fence(info, attempt) {
        const own = parametersOf(options, info)
        await checkMetadata(attempt)
        if (!attempt.mayStrike()) throw new StrikeWithheld('the agent was not run: this attempt is over')
        const off = await run('off', own, attempt)
        noteOutput(attempt, 'off', off)
        if (options.action === 'off') {
          if (off.code !== 0) throw new Error(`${options.agent} off ended with ${describeEnding(off)}`)
          return
        }
        while ((await run('status', own, attempt)).code !== OFF) await pause(attempt, STATUS_POLL_MS)
        if (seenOff.size >= REMEMBERED_MAX) seenOff.delete([...seenOff.keys()][0] ?? '')
        seenOff.set(attemptKey(attempt), new Date(attempt.clock.wallMs()).toISOString())
        if (!attempt.mayStrike()) throw new StrikeWithheld('the machine was left off: this attempt is over')
        const on = await run('on', own, attempt)
        noteOutput(attempt, 'on', on)
        // The fence is done; that the machine does not come back is the operator's to mend.
        if (on.code !== 0)
          attempt.note(`the machine was seen off, and did not come on again: ${describeEnding(on)}`)
      },

      async verify(info, attempt) {
        const seenAt = seenOff.get(attemptKey(attempt))
        const request = `${options.agent} action=status plug=${info.plug}`
        if (options.action === 'reboot' && seenAt !== undefined) {
          return { state: 'fenced', evidence: { observed: `the machine was OFF at ${seenAt}`, request } }
        }
        let ending: Ending
        try {
          ending = await run('status', parametersOf(options, info), attempt)
        } catch (error) {
          return { state: 'unknown', reason: error instanceof Error ? error.message : String(error) }
        }
        if (ending.code === OFF) {
          return {
            state: 'fenced',
            evidence: { observed: 'the agent says that the machine is OFF (exit code 2)', request },
          }
        }
        const said = `${describeEnding(ending)}${ending.output === '' ? '' : `: ${ending.output.slice(-500)}`}`
        return ending.code === ON
          ? { state: 'not-fenced', reason: 'the agent says that the machine is ON' }
          : { state: 'unknown', reason: `${options.agent} status ended with ${said}` }
      },

      async monitor(context) {
        await checkMetadata(context)
        const machines = Object.entries(options.machines ?? { '': {} })
        const faults: string[] = []
        while (machines.length > 0) {
          const some = machines.splice(0, MONITORED_AT_ONCE)
          await Promise.all(
            some.map(async ([name, own]) => {
              const ending = await run('monitor', own, context)
              const said = `${describeEnding(ending)}: ${ending.output.slice(-500)}`
              if (ending.code !== 0) faults.push(`${name} ${said}`.trim())
            }),
          )
        }
        if (faults.length > 0) throw new Error(`${options.agent} monitor: ${faults.join('; ')}`)
      },

      async unfence(info, attempt) {
        const own = parametersOf(options, info)
        await checkMetadata(attempt)
        if (!attempt.mayStrike()) throw new StrikeWithheld('the agent was not run: this attempt is over')
        const ending = await run('on', own, attempt)
        noteOutput(attempt, 'on', ending)
        if (ending.code !== 0) throw new Error(`${options.agent} on ended with ${describeEnding(ending)}`)
      },
    }
  },
})

function parametersOf(options: FenceAgentOptions, info: FenceAgentInfo): Parameters {
  if (options.machines === undefined) return { plug: info.plug }
  const own = Object.hasOwn(options.machines, info.plug) ? options.machines[info.plug] : undefined
  if (own === undefined) {
    const near = suggestion(info.plug, Object.keys(options.machines))
    throw new FenceInfoFault(`the fencer's machines have no ${info.plug}${near}`)
  }
  return own
}

function asText(value: string | number | boolean): string {
  if (typeof value === 'boolean') return value ? '1' : '0'
  return String(value)
}

/** Agents print their parameters where they are told to be verbose. */
function withoutSecrets(output: string, options: FenceAgentOptions): string {
  const sounding = Object.entries(options.options).flatMap(([name, value]) =>
    SECRET_NAME.test(name) ? [value] : [],
  )
  const secrets = [...Object.values(options.secrets), ...sounding]
    .map(asText)
    .filter((secret) => secret.length >= 4)
    .sort((a, b) => b.length - a.length)
  return secrets.reduce((text, secret) => text.replaceAll(secret, '[secret]'), output)
}

function noteOutput(attempt: Attempt, action: Action, ending: Ending): void {
  const output = ending.output === '' ? '' : `: ${ending.output}`
  attempt.note(`${action} ended with ${describeEnding(ending)}${output}`)
}

function attemptKey(attempt: Attempt): string {
  return `${attempt.fenceId}#${attempt.number}`
}

function pause(attempt: Attempt, delayMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      timer.cancel()
      reject(new Error('the machine was not seen off within the time of the attempt'))
    }
    const timer = attempt.clock.after(delayMs, () => {
      attempt.signal.removeEventListener('abort', abort)
      resolve()
    })
    if (attempt.signal.aborted) abort()
    else attempt.signal.addEventListener('abort', abort, { once: true })
  })
}
