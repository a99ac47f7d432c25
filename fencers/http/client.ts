// One HTTP endpoint as a fencer meets it: TLS that can be pinned, answers of bounded size, and no step that was not asked for.
// It follows no redirect, repeats nothing, and no message of its errors holds a header or a body.

import { Agent, buildConnector, request } from 'undici'
import { z } from 'zod'
import { type Attempt, StrikeWithheld } from '../../gateway/spi/fencer.ts'

export const HttpTls = z
  .strictObject({
    ca: z.string().optional(),
    fingerprint: z
      .string()
      .regex(/^(?:[0-9a-f]{2}:?){31}[0-9a-f]{2}$/i, {
        error: 'the SHA-256 of the certificate, 64 hexadecimal digits',
      })
      .optional(),
  })
  .prefault({})
  .describe(
    'ca: PEM of the authority to trust; fingerprint: SHA-256 of the one certificate to accept, whatever its name',
  )

export const HttpUrl = z
  .url({ protocol: /^https?$/ })
  .refine((url) => new URL(url).username === '' && new URL(url).search === '' && new URL(url).hash === '', {
    error: 'a URL without user name, query and fragment; there are options for that',
  })

export interface HttpOptions {
  readonly url: string
  readonly tls: z.infer<typeof HttpTls>
}

export interface HttpRequest {
  readonly method: string
  /** Below the endpoint's URL, percent-encoded, with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is; for what was signed. */
  readonly text?: string
}

export interface HttpAnswer {
  readonly status: number
  /** Of several of one name, the last. */
  header(name: string): string | undefined
  /** Of a cookie that the answer sets. */
  cookie(name: string): string | undefined
  /** Undefined where the body is no JSON. */
  readonly json: unknown
}

export interface HttpEndpoint {
  readonly host: string
  /**
   * Rejects where there was no whole answer; what had been sent then may have been carried out. `lastCheck` is asked
   * before the request is handed over, with no await in between; it throws to withhold it.
   */
  send(wanted: HttpRequest, signal: AbortSignal, lastCheck?: () => void): Promise<HttpAnswer>
  close(): Promise<void>
}

const ANSWER_BYTES_MAX = 4 * 1024 * 1024
const ANSWER_MS_MAX = 30_000
const CONNECT_MS_MAX = 10_000

export function createHttpEndpoint({ url, tls }: HttpOptions): HttpEndpoint {
  const endpoint = new URL(url)
  const agent = new Agent({ connections: 8, connect: connectorOf(tls) })

  return {
    host: endpoint.host,

    async send(wanted, signal, lastCheck) {
      signal.throwIfAborted()
      const target = targetOf(endpoint, wanted.path)
      const body = wanted.text ?? (wanted.json === undefined ? null : JSON.stringify(wanted.json))
      lastCheck?.()
      const answer = await request(target, {
        dispatcher: agent,
        method: wanted.method,
        signal,
        headersTimeout: ANSWER_MS_MAX,
        bodyTimeout: ANSWER_MS_MAX,
        headers: {
          accept: 'application/json',
          ...(body === null ? {} : { 'content-type': 'application/json' }),
          ...wanted.headers,
        },
        body,
      })
      const text = await readBounded(answer.body, endpoint.host)
      const headers = new Map(
        Object.entries(answer.headers).map(([name, value]) => [
          name.toLowerCase(),
          Array.isArray(value) ? value.at(-1) : value,
        ]),
      )
      return {
        status: answer.statusCode,
        header: (name) => headers.get(name.toLowerCase()),
        cookie: (name) => cookieIn([answer.headers['set-cookie'] ?? []].flat(), name),
        json: jsonOf(text),
      }
    },

    close: () => agent.destroy(),
  }
}

/** For `lastCheck`: right before what destroys something. */
export function strikeCheck(attempt: Attempt): () => void {
  return () => {
    if (!attempt.mayStrike()) throw new StrikeWithheld('nothing was sent: this attempt is over')
  }
}

function connectorOf({ ca, fingerprint }: HttpOptions['tls']): buildConnector.connector {
  const settings = { timeout: CONNECT_MS_MAX, allowH2: false }
  if (fingerprint === undefined) return buildConnector({ ...settings, ...(ca === undefined ? {} : { ca }) })
  // The fingerprint takes the place of authority and name. A resumed TLS session shows no certificate.
  const connect = buildConnector({ ...settings, rejectUnauthorized: false, maxCachedSessions: 0 })
  const wanted = fingerprint.replaceAll(':', '').toLowerCase()
  return (options, callback) => {
    connect(options, (...outcome) => {
      const [error, socket] = outcome
      if (error !== null) return callback(error, null)
      if (fingerprintOf(socket) === wanted) return callback(null, socket)
      socket.destroy()
      callback(
        new Error(`the certificate of ${options.host ?? options.hostname} is not the pinned one`),
        null,
      )
    })
  }
}

function fingerprintOf(socket: object): string | null {
  if (!('getPeerCertificate' in socket) || typeof socket.getPeerCertificate !== 'function') return null
  const certificate: unknown = socket.getPeerCertificate()
  const shown = z.object({ fingerprint256: z.string() }).safeParse(certificate)
  return shown.success ? shown.data.fingerprint256.replaceAll(':', '').toLowerCase() : null
}

/** What is left of `..` in a path would lead out of the endpoint. */
function targetOf(endpoint: URL, path: string): URL {
  const target = new URL(endpoint.origin + endpoint.pathname.replace(/\/$/, '') + path)
  if (
    target.origin !== endpoint.origin ||
    !path.startsWith('/') ||
    /(?:^|\/)\.{1,2}(?:\/|$)/.test(path.split('?')[0] ?? '')
  )
    throw new Error(`the path ${path.slice(0, 200)} does not lie below the endpoint's URL`)
  return target
}

function cookieIn(lines: readonly string[], name: string): string | undefined {
  const line = lines.findLast((candidate) => candidate.trimStart().startsWith(`${name}=`))
  return line?.slice(line.indexOf('=') + 1).split(';')[0]
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function readBounded(body: AsyncIterable<Uint8Array>, host: string): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of body) {
    bytes += piece.byteLength
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`${host} sent more than ${ANSWER_BYTES_MAX} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}
