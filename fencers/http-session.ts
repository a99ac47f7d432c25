// Logs the holder's token or session out at a REST API, by requests that the configuration spells out, and looks whether it is gone.
// It must never log out the session that it works under, and never take a bare status for the holder's end.

import { z } from 'zod'
import { type Attempt, defineFencer, type Verification } from '../gateway/spi/fencer.ts'
import { FreeFormInfo, targetOf } from './free-form/info.ts'
import {
  createHttpEndpoint,
  type HttpAnswer,
  type HttpRequest,
  HttpTls,
  HttpUrl,
  strikeCheck,
} from './http/client.ts'
import { at, faultOfRules, judge, judgementFields } from './http/judgement.ts'
import { createOwnSession } from './http/own-session.ts'
import {
  demandFilling,
  renderHeader,
  renderJson,
  renderPath,
  strayBraces,
  type TemplateScope,
  variablesIn,
} from './http/template.ts'

const Statuses = z.array(z.int().min(100).max(599)).min(1)
const Headers = z.record(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/), z.string())

const requestFields = {
  method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']),
  path: z.string().startsWith('/'),
  headers: Headers.default({}),
  /** Any JSON. */
  body: z.unknown().optional(),
}
const Request = z.strictObject({ ...requestFields, expect: Statuses.default([200, 201, 202, 204]) })
type Request = z.infer<typeof Request>
type AnyRequest = z.infer<z.ZodObject<typeof requestFields>>

const Capture = z.union([
  z.strictObject({ header: z.string().min(1) }),
  z.strictObject({ cookie: z.string().min(1) }),
  z.strictObject({ json: z.string().startsWith('/') }),
])

const Login = z.strictObject({
  ...requestFields,
  expect: Statuses.default([200, 201]),
  capture: z.record(z.string().regex(/^[A-Za-z]\w*$/), Capture).default({}),
})

const Verify = z
  .strictObject({ ...requestFields, method: requestFields.method.default('GET'), ...judgementFields })
  .superRefine((rules, context) => {
    const fault = faultOfRules(rules)
    if (fault !== null) context.addIssue({ code: 'custom', message: fault })
  })

const SessionOptions = z
  .strictObject({
    url: HttpUrl.describe('of the API; the paths of all requests lie below it'),
    tls: HttpTls,
    basic: z
      .strictObject({ username: z.string().min(1), password: z.string().min(1) })
      .optional()
      .describe('user name and password, sent with every request'),
    secrets: z
      .record(z.string().regex(/^[A-Za-z]\w*$/), z.string().min(1))
      .default({})
      .describe('for {{secrets.NAME}} in the requests; never in any record'),
    headers: Headers.default({}).describe('added to every request'),
    login: Login.optional().describe(
      'request that opens the session of this fencer; capture: {NAME: {header: …}, {cookie: …} or {json: /pointer}} gives {{login.NAME}}',
    ),
    logout: Request.optional().describe(
      'request that closes the session of this fencer, when the gateway stops',
    ),
    fence: Request.extend({ gone: Statuses.default([]) }).describe(
      'request that logs the holder out; gone: what it is answered where nobody is there any more',
    ),
    verify: Verify.describe(
      'request that looks; alive and gone (lists of {status, json, differs, present}), or list: {at, item, witness, json, more}',
    ),
    unfence: Request.optional().describe(
      'request that lets the holder in again, where fencing has outlasted him',
    ),
    monitor: Request.describe(
      'request that shows that the API answers and knows this fencer; changes nothing',
    ),
    proves: z
      .array(z.enum(['no-new-calls', 'swept', 'blocks', 'flushed']))
      .default([])
      .describe(
        'what a session that is gone means at this API; by itself nothing: its holder may log in again',
      ),
  })
  .superRefine((options, context) => {
    const { login, logout, fence, verify, unfence, monitor } = options
    const ours = [...Object.keys(options.secrets).map((name) => `secrets.${name}`)]
    const logged = [...ours, ...Object.keys(login?.capture ?? {}).map((name) => `login.${name}`)]
    const ofHolder = (name: string): boolean => name.startsWith('fenceInfo.') || name === 'fence.id'
    const check = (place: string, part: unknown, known: (name: string) => boolean): void => {
      if (strayBraces(part))
        context.addIssue({ code: 'custom', path: [place], message: 'braces that name no variable' })
      for (const name of variablesIn(part).filter((found) => !known(found)))
        context.addIssue({ code: 'custom', path: [place], message: `{{${name}}} is not known here` })
    }
    check('login', login, (name) => ours.includes(name))
    check('headers', options.headers, (name) => ours.includes(name))
    for (const [place, part] of Object.entries({ logout, monitor }))
      check(place, part, (name) => logged.includes(name))
    for (const [place, part] of Object.entries({ fence, verify, unfence }))
      check(place, part, (name) => logged.includes(name) || ofHolder(name))
    for (const [place, part] of Object.entries({ fence, verify })) {
      if (!variablesIn(part).some((name) => name.startsWith('fenceInfo.')))
        context.addIssue({
          code: 'custom',
          path: [place],
          message: 'names nothing of fenceInfo: whom would it mean?',
        })
    }
  })
type SessionOptions = z.infer<typeof SessionOptions>

/** The fencer's own session: what its login answer gave. */
type Captured = Readonly<Record<string, string>>

const LOGOUT_MS_MAX = 3_000

/**
 * What it proves is the operator's to say, because it differs: a revoked Keystone token may be taken for good by services
 * that have validated it within their cache time; a deleted Kubernetes pod says nothing of its processes; a locked account of
 * an array blocks. `gone` is believed only with something in the answer that the API itself must have written.
 */
export default defineFencer<SessionOptions, FreeFormInfo>({
  id: 'http-session',
  summary: "logs the holder's token or session out at a REST API",
  options: SessionOptions,
  fenceInfo: FreeFormInfo,
  example: {
    options: {
      url: 'https://array.example',
      tls: { fingerprint: '00'.repeat(32) },
      login: {
        method: 'POST',
        path: '/sessions',
        body: { user: 'fencer', password: '{{secrets.password}}' },
        capture: { id: { json: '/id' }, token: { header: 'X-Auth-Token' } },
      },
      secrets: { password: 'file:/run/secrets/array' },
      fence: {
        method: 'DELETE',
        path: '/sessions/{{fenceInfo.sessionId}}',
        headers: { 'X-Auth-Token': '{{login.token}}' },
        gone: [404],
      },
      verify: {
        path: '/sessions',
        headers: { 'X-Auth-Token': '{{login.token}}' },
        list: {
          at: '/items',
          item: { '/id': '{{fenceInfo.sessionId}}' },
          witness: { '/id': '{{login.id}}' },
        },
      },
      monitor: { method: 'GET', path: '/sessions', headers: { 'X-Auth-Token': '{{login.token}}' } },
    },
    fenceInfo: { sessionId: 's-4711' },
  },
  proves: (options) => options.proves,
  target: targetOf,

  create(options) {
    const endpoint = createHttpEndpoint(options)
    const { host } = endpoint

    async function logIn(signal: AbortSignal): Promise<Captured> {
      if (options.login === undefined) return {}
      const answer = await send(options.login, { secrets: options.secrets }, signal)
      if (!options.login.expect.includes(answer.status))
        throw new Error(`${host} answered the login with ${answer.status}`)
      const captured: Record<string, string> = {}
      for (const [name, from] of Object.entries(options.login.capture)) {
        const value =
          'header' in from
            ? answer.header(from.header)
            : 'cookie' in from
              ? answer.cookie(from.cookie)
              : at(answer.json, from.json)
        if ((typeof value !== 'string' && typeof value !== 'number') || value === '')
          throw new Error(`the login answer of ${host} holds no ${name}`)
        captured[name] = String(value)
      }
      return captured
    }

    const own = createOwnSession(logIn)

    function rendered(wanted: AnyRequest, scope: TemplateScope): HttpRequest {
      const headers = Object.entries({ ...options.headers, ...wanted.headers })
      return {
        method: wanted.method,
        path: renderPath(wanted.path, scope),
        headers: {
          ...(options.basic === undefined ? {} : { authorization: basicOf(options.basic) }),
          ...Object.fromEntries(headers.map(([name, value]) => [name, renderHeader(value, scope)])),
        },
        ...(wanted.body === undefined ? {} : { json: renderJson(wanted.body, scope) }),
      }
    }

    async function send(
      wanted: AnyRequest,
      scope: TemplateScope,
      signal: AbortSignal,
      lastCheck?: () => void,
    ): Promise<HttpAnswer> {
      return await endpoint.send(rendered(wanted, scope), signal, lastCheck)
    }

    /** Where the fencer's own session has ended, once more under a new one: a 401 has changed nothing. */
    async function call(
      wanted: AnyRequest,
      scope: TemplateScope,
      signal: AbortSignal,
      lastCheck?: () => void,
    ): Promise<{ readonly answer: HttpAnswer; readonly scope: TemplateScope }> {
      for (let again = false; ; again = true) {
        const session = await own.get(signal)
        const whole = { ...scope, secrets: options.secrets, login: session }
        const answer = await send(wanted, whole, signal, lastCheck)
        const isOwnEnd =
          answer.status === 401 && variablesIn(wanted).some((name) => name.startsWith('login.'))
        if (!isOwnEnd || again) return { answer, scope: whole }
        own.drop(session)
      }
    }

    async function change(
      wanted: Request,
      gone: readonly number[],
      info: FreeFormInfo,
      attempt: Attempt,
    ): Promise<void> {
      const session = await own.get(attempt.signal)
      if (valuesIn(info).some((value) => Object.values(session).includes(value)))
        throw new Error("the session is the fencer's own, and is never logged out")
      const { answer } = await call(wanted, scopeOf(info, attempt), attempt.signal, strikeCheck(attempt))
      const said = `${host} answered ${answer.status} to ${wanted.method} ${wanted.path}`
      if (!wanted.expect.includes(answer.status) && !gone.includes(answer.status)) throw new Error(said)
      attempt.note(said)
    }

    async function observe(info: FreeFormInfo, attempt: Attempt): Promise<Verification> {
      const { answer, scope } = await call(options.verify, scopeOf(info, attempt), attempt.signal)
      const request = `${options.verify.method} ${options.verify.path}`
      const said = `${host} answered ${answer.status} to ${request}`
      switch (judge(answer, options.verify, scope)) {
        case 'alive':
          return { state: 'not-fenced', reason: `${said}, which shows the session alive` }
        case 'gone':
          return {
            state: 'fenced',
            evidence: { observed: `${said}, which shows the session gone`, request },
          }
        case 'unknown':
          return { state: 'unknown', reason: `${said}, which shows the session neither alive nor gone` }
      }
    }

    const { unfence } = options
    return {
      check(info) {
        const login = Object.fromEntries(
          Object.keys(options.login?.capture ?? {}).map((name) => [name, 'any']),
        )
        const scope = { fenceInfo: info, fence: { id: 'any' }, secrets: options.secrets, login }
        const { alive, gone, list } = options.verify
        demandFilling(() => {
          for (const wanted of [options.fence, options.verify, unfence])
            if (wanted !== undefined) rendered(wanted, scope)
          renderJson([alive, gone, list], scope)
        })
      },

      fence: (info, attempt) => change(options.fence, options.fence.gone, info, attempt),

      async verify(info, attempt) {
        try {
          return await observe(info, attempt)
        } catch (error) {
          if (!(error instanceof Error)) throw error
          return { state: 'unknown', reason: `${host} could not be asked: ${error.message}` }
        }
      },

      async monitor({ signal }) {
        const { answer } = await call(options.monitor, {}, signal)
        if (!options.monitor.expect.includes(answer.status))
          throw new Error(
            `${host} answered ${answer.status} to ${options.monitor.method} ${options.monitor.path}`,
          )
      },

      ...(unfence === undefined
        ? {}
        : { unfence: (info: FreeFormInfo, attempt: Attempt) => change(unfence, [], info, attempt) }),

      async close() {
        const session = own.take()
        if (session !== null && options.logout !== undefined) {
          const scope = { secrets: options.secrets, login: session }
          // A session that cannot be closed now ends by the idle time-out of the API.
          await send(options.logout, scope, AbortSignal.timeout(LOGOUT_MS_MAX)).catch(() => undefined)
        }
        await endpoint.close()
      },
    }
  },
})

function scopeOf(info: FreeFormInfo, attempt: Attempt): TemplateScope {
  return { fenceInfo: info, fence: { id: attempt.fenceId } }
}

function basicOf({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function valuesIn(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(valuesIn) : []
}
