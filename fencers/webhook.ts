// Has a service of the operator's fence the holder: a signed POST, then its status is polled until that says "fenced".
// It must never take the answer to the POST for a proof, nor the status of another fence for this one's.

import { createHmac } from 'node:crypto'
import { z } from 'zod'
import { type Attempt, defineFencer, type Verification } from '../gateway/spi/fencer.ts'
import { FreeFormInfo, targetOf } from './free-form/info.ts'
import { createHttpEndpoint, type HttpAnswer, HttpTls, HttpUrl, strikeCheck } from './http/client.ts'
import { at } from './http/judgement.ts'
import { demandFilling, renderPath, strayBraces, variablesIn } from './http/template.ts'

const Path = z.string().startsWith('/')

const WebhookOptions = z.strictObject({
  url: HttpUrl.describe('of the service; both paths lie below it'),
  path: Path.default('/').describe('that the order is posted to'),
  statusPath: Path.refine(
    (path) => !strayBraces(path) && variablesIn(path).length > 0 && variablesIn(path).every(isKnown),
    { error: 'a path with {{fence.id}} or {{fenceInfo.NAME}} in it' },
  )
    .default('/{{fence.id}}')
    .describe('where the status of a fence is polled'),
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
type WebhookOptions = z.infer<typeof WebhookOptions>

const Status = z.looseObject({
  fence: z.string(),
  state: z.enum(['fenced', 'pending', 'failed']),
  evidence: z.string().optional(),
})

const EVIDENCE_LENGTH_MAX = 500

/**
 * Signature: `Fencegate-Signature: v1=<hex>` over `<Fencegate-Timestamp>.<body>`, and over `<timestamp>.<path>` where there is no
 * body. The idempotency key is the fence and the attempt. Status: `{fence, state: fenced | pending | failed, evidence?}`.
 */
export default defineFencer<WebhookOptions, FreeFormInfo>({
  id: 'webhook',
  summary: 'has a service of the operator fence the holder, and polls its status',
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

    async function post(action: 'fence' | 'unfence', info: FreeFormInfo, attempt: Attempt): Promise<void> {
      const text = JSON.stringify({
        action,
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

    function signed(wallMs: number, content: string): Readonly<Record<string, string>> {
      const timestamp = String(Math.floor(wallMs / 1_000))
      const signature = createHmac('sha256', options.secret).update(`${timestamp}.${content}`).digest('hex')
      return { 'fencegate-timestamp': timestamp, 'fencegate-signature': `v1=${signature}` }
    }

    function look(path: string, wallMs: number, signal: AbortSignal): Promise<HttpAnswer> {
      return endpoint.send({ method: 'GET', path, headers: signed(wallMs, path) }, signal)
    }

    async function observe(info: FreeFormInfo, attempt: Attempt): Promise<Verification> {
      const scope = { fenceInfo: info, fence: { id: attempt.fenceId } }
      const path = renderPath(options.statusPath, scope)
      const answer = await look(path, attempt.clock.wallMs(), attempt.signal)
      const status = Status.safeParse(answer.json)
      const said = `${host} answered ${answer.status} to GET ${options.statusPath}`
      if (answer.status !== 200 || !status.success || status.data.fence !== attempt.fenceId)
        return { state: 'unknown', reason: `${said}, which is no status of this fence` }
      const { state, evidence = 'nothing' } = status.data
      const reported = `${host} reports ${state}, and gives as evidence: ${evidence.slice(0, EVIDENCE_LENGTH_MAX)}`
      if (state !== 'fenced') return { state: 'not-fenced', reason: reported }
      return { state: 'fenced', evidence: { observed: reported, request: `GET ${options.statusPath}` } }
    }

    return {
      check: (info) =>
        demandFilling(() => renderPath(options.statusPath, { fenceInfo: info, fence: { id: 'any' } })),

      fence: (info, attempt) => post('fence', info, attempt),
      ...(options.unfence
        ? { unfence: (info: FreeFormInfo, attempt: Attempt) => post('unfence', info, attempt) }
        : {}),

      async verify(info, attempt) {
        try {
          return await observe(info, attempt)
        } catch (error) {
          if (!(error instanceof Error)) throw error
          return { state: 'unknown', reason: `${host} could not be asked: ${error.message}` }
        }
      },

      async monitor({ clock, signal }) {
        const path = options.monitorPath ?? options.statusPath.replace(/\{\{.*?\}\}/g, 'monitor')
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

function isFine(answer: HttpAnswer): boolean {
  return answer.status >= 200 && answer.status < 300
}

function isOwnNotFound(answer: HttpAnswer): boolean {
  return answer.status === 404 && typeof at(answer.json, '/error') === 'string'
}
