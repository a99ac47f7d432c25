// A very small vSphere client for tests: logs in, calls a method with arguments as XML, and shows the whole answer.
// It sends what it is told to and repeats nothing.

import { Agent, request as send } from 'undici'
import { child, childText, escapeXml, parseXml, type XmlElement } from '../../fencers/xml/document.ts'

export interface SoapReference {
  readonly type: string
  readonly value: string
}

export interface SoapAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** First element of the body; null where the answer is not SOAP. */
  readonly body: XmlElement | null
  /** Type of the fault (`NotAuthenticated`, `NoPermission`, …), else null. */
  readonly fault: string | null
  readonly faultMessage: string | null
  /** Text of `returnval`, else null. */
  readonly returnval: string | null
}

export interface SoapSession {
  readonly cookie: string
  readonly key: string
  readonly userName: string
}

export interface SoapClientOptions {
  /** Where the SDK is, with or without the path; `/sdk` is added where there is none. */
  readonly url: string
  readonly ca?: string
  readonly timeoutMs?: number
}

export interface SoapClient {
  login(userName: string, password: string, headers?: Readonly<Record<string, string>>): Promise<SoapSession>
  /** `args` is the XML after `_this`. */
  call(
    method: string,
    target: SoapReference,
    args?: string,
    options?: {
      readonly session?: SoapSession | null
      readonly headers?: Readonly<Record<string, string>>
      readonly signal?: AbortSignal
    },
  ): Promise<SoapAnswer>
  /** A property of an object through the property collector, as the element `val`; null where it cannot be read. */
  property(
    target: SoapReference,
    path: string,
    options?: { readonly session?: SoapSession | null; readonly headers?: Readonly<Record<string, string>> },
  ): Promise<XmlElement | null>
  close(): Promise<void>
}

export const SESSION_MANAGER: SoapReference = { type: 'SessionManager', value: 'SessionManager' }
export const PROPERTY_COLLECTOR: SoapReference = { type: 'PropertyCollector', value: 'propertyCollector' }
export const ROOT_FOLDER: SoapReference = { type: 'Folder', value: 'group-d1' }

export function createSoapClient(options: SoapClientOptions): SoapClient {
  const agent = new Agent({ connect: options.ca === undefined ? {} : { ca: options.ca } })
  const base = new URL(options.url)
  if (base.pathname === '/') base.pathname = '/sdk'
  const timeoutMs = options.timeoutMs ?? 20_000
  let current: SoapSession | null = null

  const client: SoapClient = {
    async login(userName, password, headers = {}) {
      const args = `<userName>${escapeXml(userName)}</userName><password>${escapeXml(password)}</password>`
      const answer = await client.call('Login', SESSION_MANAGER, args, { session: null, headers })
      const returned = child(answer.body ?? undefined, 'returnval')
      const key = childText(returned, 'key')
      const cookie = /vmware_soap_session="?([^";]+)/.exec(String(answer.headers['set-cookie'] ?? ''))?.[1]
      if (key === undefined || cookie === undefined) {
        throw new Error(`the login was refused: ${answer.status} ${answer.fault} ${answer.faultMessage}`)
      }
      current = { cookie, key, userName }
      return current
    },

    async call(method, target, args = '', callOptions = {}) {
      const session = callOptions.session === undefined ? current : callOptions.session
      const envelope =
        `<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" ` +
        `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"><soapenv:Body>` +
        `<${method} xmlns="urn:vim25"><_this type="${target.type}">${escapeXml(target.value)}</_this>${args}</${method}>` +
        `</soapenv:Body></soapenv:Envelope>`
      const answer = await send(base, {
        method: 'POST',
        dispatcher: agent,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        headers: {
          'content-type': 'text/xml; charset=utf-8',
          soapaction: '"urn:vim25/6.5"',
          ...(session === null ? {} : { cookie: `vmware_soap_session="${session.cookie}"` }),
          ...callOptions.headers,
        },
        body: envelope,
        ...(callOptions.signal === undefined ? {} : { signal: callOptions.signal }),
      })
      return readAnswer(answer.statusCode, answer.headers, await answer.body.text())
    },

    async property(target, path, callOptions = {}) {
      const spec =
        `<specSet><propSet><type>${target.type}</type><pathSet>${path}</pathSet></propSet>` +
        `<objectSet><obj type="${target.type}">${escapeXml(target.value)}</obj></objectSet></specSet><options></options>`
      const answer = await client.call('RetrievePropertiesEx', PROPERTY_COLLECTOR, spec, callOptions)
      const objects = child(child(answer.body ?? undefined, 'returnval'), 'objects')
      return child(child(objects, 'propSet'), 'val') ?? null
    },

    close: () => agent.close(),
  }
  return client
}

function readAnswer(status: number, headers: SoapAnswer['headers'], text: string): SoapAnswer {
  const body = soapBody(text)
  const fault = body?.name === 'Fault' ? body : undefined
  const detail = child(fault, 'detail')?.children[0]
  return {
    status,
    headers,
    text,
    body,
    fault: fault === undefined ? null : (detail?.attributes['type'] ?? detail?.name ?? 'Fault'),
    faultMessage: childText(fault, 'faultstring') ?? null,
    returnval: childText(body ?? undefined, 'returnval') ?? null,
  }
}

function soapBody(text: string): XmlElement | null {
  if (!text.trimStart().startsWith('<')) return null
  return child(parseXml(text), 'Body')?.children[0] ?? null
}
