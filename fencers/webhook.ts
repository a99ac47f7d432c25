// Has a service of the operator's fence the holder: a signed POST, then its status is polled until that says "fenced", or its
// callback is waited for. It must never take the answer to the POST for a proof, nor a word about another fence for one about this.

import { z } from 'zod'
import { latestWord } from '../gateway/core/fence-callback.ts'
import {
  type Attempt,
  type CallbackDelivery,
  defineFencer,
  type Verification,
} from '../gateway/spi/fencer.ts'
import { FreeFormInfo, targetOf } from './free-form/info.ts'
import { createHttpEndpoint, type HttpAnswer, HttpTls, HttpUrl, strikeCheck } from './http/client.ts'
import { at } from './http/judgement.ts'
import { demandFilling, renderPath, strayBraces, variablesIn } from './http/template.ts'
import { readCallback, signature, ticketOf } from './webhook/callback.ts'

const Path = z.string().startsWith('/')

const STATUS_PATH = '/{{fence.id}}'

const WebhookOptions = z
  .strictObject({
    url: HttpUrl.describe('of the service; both paths lie below it'),
    path: Path.default('/').describe('that the order is posted to'),
    statusPath: Path.refine(
      (path) => !strayBraces(path) && variablesIn(path).length > 0 && variablesIn(path).every(isKnown),
      { error: 'a path with {{fence.id}} or {{fenceInfo.NAME}} in it' },
    )
      .optional()
      .describe(`where the status of a fence is polled (default: ${STATUS_PATH}; with a callback: nowhere)`),
    callback: HttpUrl.optional().describe(
      'of the control API, as the service reaches it; it then calls back, and needs no status',
    ),
    monitorPath: Path.optional().describe(
      'to be answered with 2xx while the service could fence; else only the status path is tried',
    ),
    secret: z.string().min(16).describe('key of the signatures (HMAC-SHA256), shared with the service'),
    tls: HttpTls,
    unfence: z.boolean().default(false).describe('the service knows how to undo a fence (action: unfence)'),
    proves: z
      .array(z.enum(['no-new-calls', 'swept', 'blocks', 'flushed']))
      .default(['no-new-calls'])
      .describe('what the service brings about: no-new-calls (the default), swept, blocks, flushed'),
  })
  .refine(({ callback, statusPath, monitorPath }) => !callback || statusPath || monitorPath, {
    path: ['monitorPath'],
    error: 'a service that only calls back needs one: nobody could tell otherwise whether it is there',
  })
  .refine(({ callback, statusPath, proves }) => !callback || statusPath || proves.every(isSelfContained), {
    path: ['statusPath'],
    error:
      'needed for these `proves`: what a service calls back it may have seen before the last gateway sealed, so that shows no-new-calls alone',
  })
type WebhookOptions = z.infer<typeof WebhookOptions>

const Status = z.looseObject({
  fence: z.string(),
  state: z.enum(['fenced', 'pending', 'failed']),
  evidence: z.string().optional(),
})

const EVIDENCE_LENGTH_MAX = 500

/**
 * Signature: `Fencegate-Signature: v1=<hex>` over `<Fencegate-Timestamp>.<body>`, and over `<timestamp>.<path>` where there is no
 * body. The idempotency key is the fence and the attempt. Status: `{fence, state: fenced | pending | failed, evidence?}`. Callback:
 * a signed POST of `{fence, ticket, state: fenced | failed, evidence?}` to the URL in the order, with the ticket from there.
 */
export default defineFencer<WebhookOptions, FreeFormInfo>({
  id: 'webhook',
  summary: 'has a service of the operator fence the holder, and polls its status or waits for its callback',
  options: WebhookOptions,
  fenceInfo: FreeFormInfo,
  example: {
    options: { url: 'https://fencing.example/fences', secret: 'file:/run/secrets/webhook' },
    fenceInfo: { host: 'compute-3' },
  },
  proves: (options) => options.proves,
  target: targetOf,

  create(options) {
    const endpoint = createHttpEndpoint(options)
    const { host } = endpoint
    const statusPath = options.statusPath ?? (options.callback === undefined ? STATUS_PATH : null)

    async function post(action: 'fence' | 'unfence', info: FreeFormInfo, attempt: Attempt): Promise<void> {
      const text = JSON.stringify({
        action,
        ...(action === 'fence' ? answerable(attempt) : {}),
        fence: attempt.fenceId,
        attempt: attempt.number,
        remainingMs: Math.max(0, Math.round(attempt.deadlineMs - attempt.clock.monotonicMs())),
        holder: attempt.holder ?? null,
        fenceInfo: info,
      })
      const key = `${attempt.fenceId}-${attempt.number}${action === 'unfence' ? '-unfence' : ''}`
      const headers = { 'idempotency-key': key, ...signed(attempt.clock.wallMs(), text) }
      const request = { method: 'POST', path: options.path, text, headers }
      const answer = await endpoint.send(request, attempt.signal, strikeCheck(attempt))
      const said = `${host} answered ${answer.status} to the order to ${action}`
      if (!isFine(answer)) throw new Error(said)
      attempt.note(said)
    }

    /** Where and with what the service answers this order, and no other. */
    function answerable({ fencer, fenceId, number }: Attempt): object {
      if (options.callback === undefined || fencer === undefined) return {}
      const base = options.callback.replace(/\/$/, '')
      return {
        callback: {
          url: `${base}/v1/fences/${encodeURIComponent(fenceId)}/callback/${encodeURIComponent(fencer)}`,
          ticket: ticketOf(options.secret, { fence: fenceId, fencer, attempt: number }),
        },
      }
    }

    function signed(wallMs: number, content: string): Readonly<Record<string, string>> {
      const timestamp = String(Math.floor(wallMs / 1_000))
      return {
        'fencegate-timestamp': timestamp,
        'fencegate-signature': `v1=${signature(options.secret, timestamp, content)}`,
      }
    }

    function look(path: string, wallMs: number, signal: AbortSignal): Promise<HttpAnswer> {
      return endpoint.send({ method: 'GET', path, headers: signed(wallMs, path) }, signal)
    }

    async function observe(path: string, info: FreeFormInfo, attempt: Attempt): Promise<Verification> {
      const scope = { fenceInfo: info, fence: { id: attempt.fenceId } }
      const answer = await look(renderPath(path, scope), attempt.clock.wallMs(), attempt.signal)
      const status = Status.safeParse(answer.json)
      const said = `${host} answered ${answer.status} to GET ${path}`
      if (answer.status !== 200 || !status.success || status.data.fence !== attempt.fenceId)
        return { state: 'unknown', reason: `${said}, which is no status of this fence` }
      const { state, evidence = 'nothing' } = status.data
      const reported = `${host} reports ${state}, and gives as evidence: ${evidence.slice(0, EVIDENCE_LENGTH_MAX)}`
      if (state !== 'fenced') return { state: 'not-fenced', reason: reported }
      return { state: 'fenced', evidence: { observed: reported, request: `GET ${path}` } }
    }

    async function polled(path: string, info: FreeFormInfo, attempt: Attempt): Promise<Verification> {
      try {
        return await observe(path, info, attempt)
      } catch (error) {
        if (!(error instanceof Error)) throw error
        return { state: 'unknown', reason: `${host} could not be asked: ${error.message}` }
      }
    }

    /** Of what has come in by now, at whichever gateway; only signed words are among it. */
    function calledBack(attempt: Attempt): Verification {
      const word = latestWord(attempt.callbacks?.() ?? [])
      if (word.state === 'none') return { state: 'unknown', reason: `${host} has not called back` }
      const order = `the order ${attempt.fenceId}-${word.attempt}`
      if (word.state === 'contradicted')
        return { state: 'unknown', reason: `${host} has said fenced and failed of ${order}` }
      const said = `${host} called back ${word.state} to ${order}, and gave as evidence: ${word.evidence}`
      return word.state === 'failed'
        ? { state: 'not-fenced', reason: said }
        : { state: 'fenced', evidence: { observed: said, request: `callback to ${order}` } }
    }

    return {
      check: (info) =>
        demandFilling(() => renderPath(statusPath ?? '/', { fenceInfo: info, fence: { id: 'any' } })),

      fence: (info, attempt) => post('fence', info, attempt),
      ...(options.unfence
        ? { unfence: (info: FreeFormInfo, attempt: Attempt) => post('unfence', info, attempt) }
        : {}),

      async verify(info, attempt) {
        if (statusPath === null) return calledBack(attempt)
        const status = await polled(statusPath, info, attempt)
        // What is asked now is newer than what was called back, and shows more; it need not be there at all.
        const mayCall = options.callback !== undefined && options.proves.every(isSelfContained)
        return status.state === 'unknown' && mayCall ? calledBack(attempt) : status
      },

      ...(options.callback === undefined
        ? {}
        : { callback: (delivery: CallbackDelivery) => readCallback(options.secret, delivery) }),

      async monitor({ clock, signal }) {
        const path = options.monitorPath ?? (statusPath ?? '/').replace(/\{\{.*?\}\}/g, 'monitor')
        const answer = await look(path, clock.wallMs(), signal)
        // A service that knows nothing of such a fence says so with a 404 of its own.
        const isKnown = isFine(answer) || (options.monitorPath === undefined && isOwnNotFound(answer))
        if (!isKnown) throw new Error(`${host} answered ${answer.status} to GET ${path}`)
      },

      close: () => endpoint.close(),
    }
  },
})

function isKnown(name: string): boolean {
  return name === 'fence.id' || name.startsWith('fenceInfo.')
}

/** Shown by the holder's end alone, whenever that was seen. */
function isSelfContained(proof: string): boolean {
  return proof === 'no-new-calls'
}

function isFine(answer: HttpAnswer): boolean {
  return answer.status >= 200 && answer.status < 300
}

function isOwnNotFound(answer: HttpAnswer): boolean {
  return answer.status === 404 && typeof at(answer.json, '/error') === 'string'
}
