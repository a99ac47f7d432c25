// Has a Pacemaker cluster fence the holder's node (stonith_admin), and looks for that in the cluster's own history.
// It must never take an exit code for a proof, nor what somebody told the cluster by hand.

import { z } from 'zod'
import {
  type Attempt,
  defineFencer,
  FenceInfoFault,
  type FencerContext,
  StrikeWithheld,
  type Verification,
} from '../gateway/spi/fencer.ts'
import { describeEnding, type Ending, runProgram } from './program/run.ts'
import { descendants, parseXml, type XmlElement, XmlFault } from './xml/document.ts'

/** Never an option, and never `*`, which is every node. */
const NodeName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/, { error: 'the name of a node' })

const PacemakerOptions = z.strictObject({
  action: z
    .enum(['off', 'reboot'])
    .default('off')
    .describe(
      'off (the default) or reboot, which the cluster may call done where the node did not come up again',
    ),
  nodes: z
    .array(NodeName)
    .min(1)
    .optional()
    .describe('the nodes that may be fenced; without it, whichever node of the cluster the holder names'),
  stonithAdmin: z
    .string()
    .regex(/^(?:stonith_admin|\/[^\0\n]{1,1000})$/)
    .default('stonith_admin')
    .describe('the program, where it is not on the usual PATH; it talks to the cluster of this machine'),
})
type PacemakerOptions = z.infer<typeof PacemakerOptions>

const PacemakerInfo = z.object({
  node: NodeName.describe("the holder's node, as the cluster calls it"),
  lastFenced: z
    .union([z.literal('never'), z.iso.datetime({ offset: true })])
    .optional()
    .describe(
      "when the history says that the node was fenced last as the holder started, or 'never': after a later one it is left alone",
    ),
})
type PacemakerInfo = z.infer<typeof PacemakerInfo>

/** One line of the cluster's history. */
interface FenceEvent {
  readonly action: string
  readonly target: string
  /** Who asked: the name of his program, the tag that he gave, his pid. */
  readonly client: string
  readonly status: string
  /** The node that did it; empty where nobody is named. */
  readonly delegate: string
  readonly completedMs: number
  readonly completed: string
}

const HISTORY_CHARACTERS_MAX = 1024 * 1024
const SAID_LENGTH_MAX = 500
/** The cluster gives an operation a fifth more time than it was asked for, and must be done before the attempt is. */
const CLUSTER_SHARE = 1 / 1.2
const MARGIN_MS = 500
/** What `stonith_admin --confirm` writes: an operator's word, which the gateway wants itself. */
const BY_HAND = 'a human'

export default defineFencer<PacemakerOptions, PacemakerInfo>({
  id: 'pacemaker',
  summary: "has a Pacemaker cluster fence the holder's node",
  power: true,
  options: PacemakerOptions,
  fenceInfo: PacemakerInfo,
  example: {
    options: { nodes: ['compute-3', 'compute-4'] },
    fenceInfo: { node: 'compute-3', lastFenced: '2026-01-31T04:12:09Z' },
  },
  // What the node had sent is on its way all the same.
  proves: () => ['no-new-calls'],
  target: (info) => info.node,

  create(options) {
    const run = (
      words: readonly string[],
      context: FencerContext & { readonly signal: AbortSignal },
    ): Promise<Ending> =>
      runProgram({
        argv: [options.stonithAdmin, ...words],
        // Times of the history in UTC.
        env: { LC_ALL: 'C', TZ: 'UTC' },
        context,
        signal: context.signal,
        outputMax: HISTORY_CHARACTERS_MAX,
      })

    const history = async (info: PacemakerInfo, attempt: Attempt): Promise<readonly FenceEvent[]> => {
      const words = [`--history=${info.node}`, '--verbose', '--output-as=xml', '--timeout=10']
      return eventsOf(await run(words, attempt)).filter((event) => event.target === info.node)
    }

    const strike = async (action: '--fence' | '--reboot' | '--unfence', node: string, attempt: Attempt) => {
      const remainingMs = attempt.deadlineMs - attempt.clock.monotonicMs() - MARGIN_MS
      const timeoutSeconds = Math.max(1, Math.floor((remainingMs / 1_000) * CLUSTER_SHARE))
      const words = [`${action}=${node}`, `--timeout=${timeoutSeconds}`, `--tag=${tagOf(attempt)}`]
      if (!attempt.mayStrike()) throw new StrikeWithheld('the cluster was not asked: this attempt is over')
      const ending = await run(words, attempt)
      const said = `stonith_admin ${action} ${node} ended with ${saidBy(ending)}`
      if (ending.code !== 0) throw new Error(said)
      attempt.note(said)
    }

    const check = (info: PacemakerInfo): void => {
      if (options.nodes !== undefined && !options.nodes.includes(info.node))
        throw new FenceInfoFault(`node: ${info.node} is none of this fencer's nodes`)
    }

    return {
      check,

      async fence(info, attempt) {
        check(info)
        const before = judge(info, attempt, await history(info, attempt))
        if (before.state === 'fenced') return attempt.note(before.evidence.observed)
        await strike(options.action === 'off' ? '--fence' : '--reboot', info.node, attempt)
      },

      async verify(info, attempt) {
        try {
          return judge(info, attempt, await history(info, attempt))
        } catch (error) {
          if (!(error instanceof Error)) throw error
          return { state: 'unknown', reason: `the cluster's history could not be read: ${error.message}` }
        }
      },

      async monitor(context) {
        const wanted = options.nodes?.map((node) => `--list=${node}`) ?? ['--list-registered']
        for (const word of wanted) {
          const ending = await run([word, '--output-as=xml', '--timeout=10'], context)
          if (ending.code !== 0) throw new Error(`stonith_admin ${word} ended with ${saidBy(ending)}`)
          const devices = descendants(parsed(ending), 'item').length
          if (devices === 0) throw new Error(`the cluster has no device that could fence (${word})`)
        }
      },

      async unfence(info, attempt) {
        check(info)
        await strike('--unfence', info.node, attempt)
      },
    }
  },
})

/** Of all attempts of a fence alike but for the number, so that any gateway finds what another one has asked for. */
function tagOf(attempt: Attempt): string {
  return `fencegate-${attempt.fenceId}-${attempt.number}`
}

function judge(info: PacemakerInfo, attempt: Attempt, events: readonly FenceEvent[]): Verification {
  const request = `stonith_admin --history ${info.node}`
  const strikes = events.filter((event) => event.action === 'off' || event.action === 'reboot')
  const ofThisFence = strikes.filter((event) => event.client.includes(`.fencegate-${attempt.fenceId}-`))
  const sinceMs =
    info.lastFenced === undefined
      ? Number.POSITIVE_INFINITY
      : info.lastFenced === 'never'
        ? Number.NEGATIVE_INFINITY
        : Date.parse(info.lastFenced)
  const isDone = (event: FenceEvent): boolean =>
    event.status === 'success' && event.delegate !== '' && event.delegate !== BY_HAND
  const own = ofThisFence.find(isDone)
  const done = own ?? strikes.find((event) => isDone(event) && event.completedMs > sinceMs)
  if (done !== undefined) {
    const asker = own === undefined ? 'for somebody else, after the holder had started' : 'for this fence'
    const observed = `${done.action} of ${info.node} succeeded at ${done.completed}, done by ${done.delegate} ${asker}`
    return { state: 'fenced', evidence: { observed, request } }
  }
  const [latest] = ofThisFence
  if (latest === undefined)
    return { state: 'unknown', reason: `the history knows of no fencing of ${info.node} for this fence` }
  const reason = `${latest.action} of ${info.node} for this fence is ${latest.status}`
  return { state: latest.status === 'success' ? 'unknown' : 'not-fenced', reason }
}

/** Newest first, as the cluster lists them. Throws where it is not the history, whole and well. */
function eventsOf(ending: Ending): readonly FenceEvent[] {
  if (ending.code !== 0) throw new Error(`stonith_admin --history ended with ${saidBy(ending)}`)
  const root = parsed(ending)
  const list = root.children.find((element) => element.name === 'list')
  const [status] = descendants(root, 'status')
  const events = (list?.children ?? []).filter((element) => element.name === 'fence_event').map(eventOf)
  const isWhole = list?.attributes['count'] === String(events.length) && status?.attributes['code'] === '0'
  if (!isWhole) throw new Error(`stonith_admin printed no history: ${ending.output.slice(0, 200)}`)
  return events
}

function eventOf({ attributes }: XmlElement): FenceEvent {
  const completed = attributes['completed'] ?? ''
  const completedMs = Date.parse(completed)
  return {
    action: attributes['action'] ?? '',
    target: attributes['target'] ?? '',
    client: attributes['client'] ?? '',
    status: attributes['status'] ?? '',
    delegate: attributes['delegate'] ?? '',
    completed,
    // Of an unknown time nothing is later than what the holder has said.
    completedMs: Number.isNaN(completedMs) ? Number.NEGATIVE_INFINITY : completedMs,
  }
}

/** What the program, or a library of it, has written around the document is no part of it. */
function parsed(ending: Ending): XmlElement {
  const from = ending.output.indexOf('<pacemaker-result')
  const end = '</pacemaker-result>'
  const to = ending.output.lastIndexOf(end)
  if (from === -1 || to < from)
    throw new Error(`stonith_admin printed no XML: ${ending.output.slice(0, 200)}`)
  try {
    return parseXml(ending.output.slice(from, to + end.length))
  } catch (error) {
    if (!(error instanceof XmlFault)) throw error
    throw new Error(`stonith_admin printed no XML: ${error.message}`, { cause: error })
  }
}

function saidBy(ending: Ending): string {
  const said = ending.output === '' ? '' : `: ${ending.output.slice(0, SAID_LENGTH_MAX)}`
  return `${describeEnding(ending)}${said}`
}
