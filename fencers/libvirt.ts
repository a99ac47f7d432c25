// Ends the holder's virtual machine with virsh. The domain's id names the incarnation: each start gives it another. It must
// never take a machine that was moved to another host, or saved, for one that is gone.

import { z } from 'zod'
import {
  type Attempt,
  defineFencer,
  type FencerContext,
  StrikeWithheld,
  type Verification,
} from '../gateway/spi/fencer.ts'
import { describeEnding, type Ending, runProgram } from './program/run.ts'

const LibvirtOptions = z.strictObject({
  uri: z
    .string()
    .regex(/^[a-z0-9+]+:\/\/[^\s\0]{1,500}$/)
    .describe('of the hypervisor, such as qemu:///system or qemu+tls://compute-3/system'),
  virsh: z
    .string()
    .regex(/^(?:virsh|\/[^\0\n]{1,1000})$/)
    .default('virsh')
    .describe('the program, where it is not on the usual PATH'),
})
type LibvirtOptions = z.infer<typeof LibvirtOptions>

const LibvirtInfo = z.object({
  domainUuid: z
    .string()
    .regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    .describe('uuid of the domain, in small letters'),
  domainId: z
    .int()
    .min(1)
    .describe('of the running domain (virsh domid): a domain that was started anew has another'),
})
type LibvirtInfo = z.infer<typeof LibvirtInfo>

interface Sight {
  readonly state: 'alive' | 'gone' | 'unknown'
  readonly detail: string
}

/** How a domain came to be shut off so that nobody can go on with what it had in memory. */
const ENDED = new Set(['shutdown', 'destroyed', 'crashed', 'failed'])
const REMEMBERED_MAX = 1_000

export default defineFencer<LibvirtOptions, LibvirtInfo>({
  id: 'libvirt',
  summary: "ends the holder's virtual machine with virsh destroy",
  options: LibvirtOptions,
  fenceInfo: LibvirtInfo,
  example: {
    options: { uri: 'qemu:///system' },
    fenceInfo: { domainUuid: '6695eb01-f6a4-8304-79aa-97f2502e193f', domainId: 7 },
  },
  // What the machine had sent may still be on its way.
  proves: () => ['no-new-calls'],
  power: true,
  target: (info) => `${info.domainUuid}/${info.domainId}`,

  create(options, context) {
    /** Incarnations of which libvirt has said that it destroyed them: a transient domain vanishes with that. */
    const destroyed = new Set<string>()
    const keyOf = (info: LibvirtInfo): string => `${info.domainUuid}/${info.domainId}`

    const look = async (info: LibvirtInfo, attempt: Attempt): Promise<Sight> => {
      const uuid = info.domainUuid
      const ending = await virsh(options, `dominfo ${uuid}; domstate --reason ${uuid}`, attempt)
      return judge(info, ending, destroyed.has(keyOf(info)))
    }

    return {
      async fence(info, attempt) {
        const sight = await look(info, attempt)
        if (sight.state === 'gone') {
          attempt.note(sight.detail)
          return
        }
        if (sight.state === 'unknown') throw new Error(sight.detail)
        if (!attempt.mayStrike()) throw new StrikeWithheld('virsh destroy was withheld: this attempt is over')
        // By its id: a domain that was started anew in the meantime is not meant.
        const ending = await virsh(options, `destroy ${info.domainId}`, attempt)
        if (ending.output !== '') attempt.note(ending.output)
        if (ending.code !== 0) throw new Error(`virsh destroy ended with ${describeEnding(ending)}`)
        if (destroyed.size >= REMEMBERED_MAX) destroyed.delete([...destroyed][0] ?? '')
        destroyed.add(keyOf(info))
      },

      async verify(info, attempt): Promise<Verification> {
        let sight: Sight
        try {
          sight = await look(info, attempt)
        } catch (error) {
          return { state: 'unknown', reason: error instanceof Error ? error.message : String(error) }
        }
        if (sight.state === 'gone') {
          const request = `virsh -c ${options.uri} domstate --reason ${info.domainUuid}`
          return { state: 'fenced', evidence: { observed: sight.detail, request } }
        }
        return { state: sight.state === 'alive' ? 'not-fenced' : 'unknown', reason: sight.detail }
      },

      async monitor({ signal }) {
        const ending = await virsh(options, 'list', { ...context, signal })
        if (ending.code !== 0) {
          throw new Error(`virsh list ended with ${describeEnding(ending)}: ${ending.output.slice(0, 500)}`)
        }
      },
    }
  },
})

function virsh(
  options: LibvirtOptions,
  command: string,
  context: FencerContext & { readonly signal: AbortSignal },
): Promise<Ending> {
  return runProgram({
    argv: [options.virsh, '-q', '-c', options.uri, command],
    env: { LC_ALL: 'C' },
    context,
    signal: context.signal,
  })
}

function judge(info: LibvirtInfo, ending: Ending, wasDestroyed: boolean): Sight {
  const name = `the domain ${info.domainUuid}`
  if (ending.code !== 0) {
    const isMissing = /Domain not found|failed to get domain/.test(ending.output)
    if (isMissing && wasDestroyed)
      return { state: 'gone', detail: `${name} was destroyed, and is known no more` }
    // It may run on another host by now.
    const said = isMissing ? 'is not known here' : `cannot be looked at (${describeEnding(ending)})`
    return { state: 'unknown', detail: `${name} ${said}: ${ending.output.slice(0, 300)}` }
  }
  const fact = (label: string): string | undefined =>
    new RegExp(`^${label}: +(\\S+) *$`, 'm').exec(ending.output)?.[1]
  const id = fact('Id')
  const last = ending.output.trim().split('\n').at(-1)?.trim() ?? ''
  const [, state, reason = ''] = /^([a-z ]+?)(?: \(([a-z ]+)\))?$/.exec(last) ?? []
  // Of several commands the exit code is the last one's: only what both have said counts.
  if (
    fact('UUID') !== info.domainUuid ||
    id === undefined ||
    !/^(?:-|\d+)$/.test(id) ||
    state === undefined
  ) {
    return { state: 'unknown', detail: `virsh said nothing of ${name}: ${ending.output.slice(0, 300)}` }
  }
  if (state === 'shut off' || state === 'crashed') {
    if (id !== '-') return { state: 'alive', detail: `${name} is ${state}, and still has the id ${id}` }
    return wasDestroyed || ENDED.has(reason)
      ? { state: 'gone', detail: `${name} is ${state} (${reason})` }
      : { state: 'unknown', detail: `${name} is ${state} here (${reason}): it may go on elsewhere, or later` }
  }
  if (id === String(info.domainId))
    return { state: 'alive', detail: `${name} is ${state}, with the id ${id}` }
  if (id === '-') return { state: 'unknown', detail: `${name} is ${state}, without an id` }
  // A machine that came back from another host, or out of a file, is the same one under another id.
  return reason === 'booted' || wasDestroyed
    ? { state: 'gone', detail: `${name} was started anew: its id is ${id}` }
    : { state: 'unknown', detail: `${name} is ${state} (${reason}) under the id ${id}` }
}
