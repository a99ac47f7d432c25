// Speaks SOAP to a vCenter as the fencer's own account: logs in when it must, keeps that one session, logs out.
// No message of its errors holds the password or a cookie.

import { Agent, request } from 'undici'
import {
  child,
  childText,
  descendants,
  escapeXml,
  parseXml,
  type XmlElement,
  XmlFault,
} from '../xml/document.ts'

export interface VcenterOptions {
  readonly url: string
  readonly username: string
  readonly password: string
  readonly tls: { readonly ca?: string | undefined; readonly rejectUnauthorized: boolean }
}

export interface Reference {
  readonly type: string
  readonly value: string
}

export interface ServiceContent {
  readonly sessionManager: Reference
  readonly propertyCollector: Reference
  readonly taskManager: Reference
  readonly rootFolder: Reference | null
  readonly authorizationManager: Reference | null
}

/** vCenter answered, and said no. */
export class VcenterFault extends Error {
  override readonly name = 'VcenterFault'
  /** The fault's type: `NotFound`, `NotAuthenticated`, `NoPermission`, … */
  readonly kind: string

  constructor(kind: string, message: string) {
    super(message === '' ? kind : `${kind}: ${message}`)
    this.kind = kind
  }
}

export interface VcenterClient {
  content(signal: AbortSignal): Promise<ServiceContent>
  /** The key of the fencer's own session; logs in where there is none. */
  ownKey(signal: AbortSignal): Promise<string>
  /**
   * Calls a method under the fencer's session; where that has ended, logs in and calls once more, so only methods that
   * may be repeated belong here. `lastCheck` is asked right before each sending; it throws to withhold it.
   */
  call(
    method: string,
    target: Reference,
    args: string,
    signal: AbortSignal,
    lastCheck?: () => void,
  ): Promise<XmlElement>
  close(): Promise<void>
}

interface OwnSession {
  readonly cookie: string
  readonly key: string
}

const ANSWER_BYTES_MAX = 32 * 1024 * 1024
const ANSWER_MS_MAX = 60_000
const LOGOUT_MS_MAX = 3_000
const NOT_AUTHENTICATED = 'NotAuthenticated'
const SERVICE_INSTANCE: Reference = { type: 'ServiceInstance', value: 'ServiceInstance' }

export function vcenterAgent({ tls }: VcenterOptions): Agent {
  return new Agent({
    connections: 4,
    connect: {
      rejectUnauthorized: tls.rejectUnauthorized,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    },
  })
}

export function createVcenterClient(options: VcenterOptions): VcenterClient {
  const agent = vcenterAgent(options)
  let content: ServiceContent | null = null
  let session: OwnSession | null = null
  // Attempts that run at once share one login.
  let login: Promise<OwnSession> | null = null

  async function send(
    method: string,
    target: Reference,
    args: string,
    cookie: string | null,
    signal: AbortSignal,
  ): Promise<{ readonly body: XmlElement; readonly cookie: string | null }> {
    const answer = await request(options.url, {
      dispatcher: agent,
      method: 'POST',
      signal,
      headersTimeout: ANSWER_MS_MAX,
      bodyTimeout: ANSWER_MS_MAX,
      headers: {
        'content-type': 'text/xml; charset=utf-8',
        soapaction: '"urn:vim25/6.5"',
        ...(cookie === null ? {} : { cookie: `vmware_soap_session="${cookie}"` }),
      },
      body:
        '<?xml version="1.0" encoding="UTF-8"?>' +
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" ' +
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>' +
        `<${method} xmlns="urn:vim25"><_this type="${target.type}">${escapeXml(target.value)}</_this>${args}</${method}>` +
        '</soapenv:Body></soapenv:Envelope>',
    })
    const text = await readBounded(answer.body)
    const setCookie = String(answer.headers['set-cookie'] ?? '')
    return {
      body: answerOf(method, answer.statusCode, text),
      cookie: /vmware_soap_session="?([^";,]+)/.exec(setCookie)?.[1] ?? null,
    }
  }

  async function serviceContent(signal: AbortSignal): Promise<ServiceContent> {
    if (content !== null) return content
    const { body } = await send('RetrieveServiceContent', SERVICE_INSTANCE, '', null, signal)
    const returned = child(body, 'returnval')
    content = {
      sessionManager: reference(child(returned, 'sessionManager'), 'SessionManager'),
      propertyCollector: reference(child(returned, 'propertyCollector'), 'PropertyCollector'),
      taskManager: reference(child(returned, 'taskManager'), 'TaskManager'),
      rootFolder: optional(child(returned, 'rootFolder'), 'Folder'),
      authorizationManager: optional(child(returned, 'authorizationManager'), 'AuthorizationManager'),
    }
    return content
  }

  async function logIn(signal: AbortSignal): Promise<OwnSession> {
    const { sessionManager } = await serviceContent(signal)
    const args = `<userName>${escapeXml(options.username)}</userName><password>${escapeXml(options.password)}</password>`
    const { body, cookie } = await send('Login', sessionManager, args, null, signal)
    const key = childText(child(body, 'returnval'), 'key')
    if (key === undefined || cookie === null) throw new XmlFault('the login was answered without a session')
    session = { cookie, key }
    return session
  }

  async function ownSession(signal: AbortSignal): Promise<OwnSession> {
    if (session !== null) return session
    if (login !== null) {
      // The login of another attempt ends with that attempt; this one then tries for itself.
      const joined = await login.catch(() => null)
      if (joined !== null) return joined
      signal.throwIfAborted()
    }
    login ??= logIn(signal).finally(() => {
      login = null
    })
    return await login
  }

  return {
    content: serviceContent,
    ownKey: async (signal) => (await ownSession(signal)).key,

    async call(method, target, args, signal, lastCheck) {
      const own = await ownSession(signal)
      lastCheck?.()
      try {
        return (await send(method, target, args, own.cookie, signal)).body
      } catch (error) {
        if (!(error instanceof VcenterFault && error.kind === NOT_AUTHENTICATED)) throw error
      }
      if (session === own) session = null
      const fresh = await ownSession(signal)
      lastCheck?.()
      return (await send(method, target, args, fresh.cookie, signal)).body
    },

    async close() {
      const own = session
      session = null
      if (own !== null && content !== null) {
        const patience = AbortSignal.timeout(LOGOUT_MS_MAX)
        // A session that cannot be closed now ends by vCenter's idle time-out.
        await send('Logout', content.sessionManager, '', own.cookie, patience).catch(() => undefined)
      }
      await agent.destroy()
    },
  }
}

/** `val` of each property read, by object and path. Throws `VcenterFault` where one of them could not be read. */
export async function retrieve(
  client: VcenterClient,
  specSet: string,
  signal: AbortSignal,
): Promise<readonly { readonly object: Reference; readonly path: string; readonly value: XmlElement }[]> {
  const { propertyCollector } = await client.content(signal)
  const found: { object: Reference; path: string; value: XmlElement }[] = []
  let answer = await client.call(
    'RetrievePropertiesEx',
    propertyCollector,
    `<specSet>${specSet}</specSet><options></options>`,
    signal,
  )
  for (;;) {
    const page = child(answer, 'returnval')
    for (const entry of page?.children ?? []) {
      if (entry.name !== 'objects') continue
      const missing = child(entry, 'missingSet')
      if (missing !== undefined)
        throw new VcenterFault(missingKind(missing), childText(missing, 'path') ?? '')
      const object = reference(child(entry, 'obj'), '')
      for (const property of entry.children) {
        const value = child(property, 'val')
        if (property.name === 'propSet' && value !== undefined) {
          found.push({ object, path: childText(property, 'name') ?? '', value })
        }
      }
    }
    const token = childText(page, 'token')
    if (token === undefined) return found
    const more = `<token>${escapeXml(token)}</token>`
    answer = await client.call('ContinueRetrievePropertiesEx', propertyCollector, more, signal)
  }
}

function answerOf(method: string, status: number, text: string): XmlElement {
  let body: XmlElement | undefined
  try {
    body = child(parseXml(text), 'Body')?.children[0]
  } catch (error) {
    if (!(error instanceof XmlFault)) throw error
  }
  if (body === undefined) throw new VcenterFault(`HTTP ${status}`, `${method} was not answered in SOAP`)
  if (body.name === 'Fault') {
    const detail = child(body, 'detail')?.children[0]
    const kind = detail?.attributes['type'] ?? detail?.name.replace(/Fault$/, '') ?? 'Fault'
    // Of a call that is not permitted, what the caller would need.
    const privilege = childText(detail, 'privilegeId')
    throw new VcenterFault(
      kind.slice(kind.indexOf(':') + 1),
      (childText(body, 'faultstring') ?? '').slice(0, 500) +
        (privilege === undefined ? '' : ` (wants the privilege ${privilege.slice(0, 100)})`),
    )
  }
  // Without a session some versions answer a read with 200, and put the fault here.
  for (const missing of descendants(body, 'missingSet')) {
    if (missingKind(missing) === NOT_AUTHENTICATED) throw new VcenterFault(NOT_AUTHENTICATED, '')
  }
  if (body.name !== `${method}Response`)
    throw new VcenterFault('Answer', `${method} was answered by ${body.name}`)
  return body
}

function missingKind(missing: XmlElement): string {
  const fault = child(child(missing, 'fault'), 'fault')
  return fault?.attributes['type']?.replace(/^.*:/, '') ?? 'MissingProperty'
}

function reference(element: XmlElement | undefined, type: string): Reference {
  if (element === undefined || element.text === '') throw new XmlFault(`the answer names no ${type}`)
  return { type: element.attributes['type'] ?? type, value: element.text }
}

function optional(element: XmlElement | undefined, type: string): Reference | null {
  return element === undefined ? null : reference(element, type)
}

export async function readBounded(body: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of body) {
    bytes += piece.byteLength
    if (bytes > ANSWER_BYTES_MAX) throw new VcenterFault('Answer', `longer than ${ANSWER_BYTES_MAX} bytes`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}
