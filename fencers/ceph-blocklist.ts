// Puts the holder's Ceph client on the cluster's blocklist: the OSDs refuse its reads and writes, late ones too, once they
// have the map that says so. It must never list more than one instance of a client, nor believe an entry that it does not see.

import { z } from 'zod'
import { type Attempt, defineFencer, type FencerContext, StrikeWithheld } from '../gateway/spi/fencer.ts'
import { describeEnding, type Ending, runProgram } from './program/run.ts'

const path = z.string().regex(/^\/[^\0\n]{1,1000}$/, { error: 'an absolute path' })

const CephBlocklistOptions = z.strictObject({
  ceph: path.or(z.literal('ceph')).default('ceph').describe('the program, where it is not on the usual PATH'),
  conf: path.default('/etc/ceph/ceph.conf').describe('configuration of the cluster'),
  keyring: path.describe(
    'key of `name`, with the caps mon \'allow command "osd blocklist", allow command "osd blocklist ls"\'',
  ),
  name: z
    .string()
    .regex(/^client\.[A-Za-z0-9_.-]{1,100}$/)
    .default('client.fencegate')
    .describe('who asks (default: client.fencegate)'),
  expireSeconds: z
    .int()
    .min(3_600)
    .max(31_536_000)
    .default(2_592_000)
    .describe('how long the entry lasts (default: 30 days): longer than any client can sleep and come back'),
  proves: z
    .array(z.enum(['no-new-calls', 'swept', 'blocks', 'flushed']))
    .default([])
    .describe(
      'what that means for the protected backend; nothing unless told: Ceph refuses this client, any other API does not',
    ),
  spelling: z
    .enum(['blocklist', 'blacklist'])
    .default('blocklist')
    .describe('the word of the command: blacklist before Ceph 16'),
})
type CephBlocklistOptions = z.infer<typeof CephBlocklistOptions>

const CephBlocklistInfo = z.object({
  cephClient: z
    .string()
    .regex(/^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|\[[0-9a-f:]{2,39}\]):[0-9]{1,5}\/[1-9][0-9]{0,9}$/)
    .describe(
      'address:port/nonce of the client instance, as rados_getaddrs or `rbd status` say it, without v1: or v2:',
    ),
})
type CephBlocklistInfo = z.infer<typeof CephBlocklistInfo>

const LIST_MAX = 4 * 1_024 * 1_024
/** An entry of a whole range has `range` in place of `addr`. */
const entries = z.array(z.object({ addr: z.string().optional(), until: z.string() }))
/** An entry that is about to end, by this clock or by the cluster's, is none. */
const REMAINING_MS_MIN = 600_000

export default defineFencer<CephBlocklistOptions, CephBlocklistInfo>({
  id: 'ceph-blocklist',
  summary: "puts the holder's Ceph client on the cluster's blocklist",
  options: CephBlocklistOptions,
  fenceInfo: CephBlocklistInfo,
  example: {
    options: { keyring: '/etc/ceph/ceph.client.fencegate.keyring' },
    fenceInfo: { cephClient: '10.0.0.3:0/3710147553' },
  },
  // An OSD that has not got the newest map yet still accepts a call; a next holder who waits for that map is safe, as librbd
  // does. Whether that is so, and whether the backend is Ceph at all, only the operator knows.
  proves: (options) => options.proves,
  target: (info) => info.cephClient,

  create(options, context) {
    const until = async (info: CephBlocklistInfo, run: CephContext): Promise<string | null> => {
      const ending = await ceph(options, ['ls', '--format', 'json'], run)
      return parseList(ending).find((entry) => entry.addr === info.cephClient)?.until ?? null
    }
    return {
      async fence(info, attempt) {
        if (!attempt.mayStrike()) throw new StrikeWithheld('nothing was listed: this attempt is over')
        await change(options, ['add', info.cephClient, String(options.expireSeconds)], attempt)
      },

      async verify(info, attempt) {
        try {
          const listedUntil = await until(info, attempt)
          if (listedUntil === null) return { state: 'not-fenced', reason: `${info.cephClient} is not listed` }
          const remainingMs = Date.parse(listedUntil) - attempt.clock.wallMs()
          if (!(remainingMs > REMAINING_MS_MIN)) {
            return {
              state: 'not-fenced',
              reason: `${info.cephClient} is listed no longer than ${listedUntil}`,
            }
          }
          return {
            state: 'fenced',
            evidence: {
              observed: `${info.cephClient} is listed until ${listedUntil}`,
              request: `ceph osd ${options.spelling} ls`,
            },
          }
        } catch (error) {
          return { state: 'unknown', reason: error instanceof Error ? error.message : String(error) }
        }
      },

      async monitor({ signal }) {
        parseList(await ceph(options, ['ls', '--format', 'json'], { ...context, signal }))
      },

      async unfence(info, attempt) {
        if (!attempt.mayStrike()) throw new StrikeWithheld('nothing was taken off: this attempt is over')
        await change(options, ['rm', info.cephClient], attempt)
      },
    }
  },
})

type CephContext = FencerContext & { readonly signal: AbortSignal }

async function change(
  options: CephBlocklistOptions,
  words: readonly string[],
  attempt: Attempt,
): Promise<void> {
  const ending = await ceph(options, words, attempt)
  if (ending.output !== '') attempt.note(ending.output.slice(0, 1_000))
  if (ending.code !== 0) {
    throw new Error(`ceph osd ${options.spelling} ${words[0]} ended with ${describeEnding(ending)}`)
  }
}

function ceph(
  options: CephBlocklistOptions,
  words: readonly string[],
  context: CephContext,
): Promise<Ending> {
  const { conf, keyring, name, spelling } = options
  return runProgram({
    argv: [options.ceph, '--conf', conf, '--name', name, '--keyring', keyring, 'osd', spelling, ...words],
    context,
    signal: context.signal,
    outputMax: LIST_MAX,
  })
}

/** Throws where it is no list. Ceph writes an array of clients and, where it knows ranges, an array of those right behind it. */
function parseList(ending: Ending): z.infer<typeof entries> {
  const said = `ceph ended with ${describeEnding(ending)}: ${ending.output.slice(0, 500)}`
  if (ending.code !== 0) throw new Error(said)
  try {
    const arrays = ending.answer.trim().split(/(?<=\])\s*(?=\[)/)
    return arrays.flatMap((array) => entries.parse(JSON.parse(array)))
  } catch (error) {
    throw new Error(`this is no blocklist: ${said}`, { cause: error })
  }
}
