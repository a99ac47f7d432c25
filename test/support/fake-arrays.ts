// What arrays of eight kinds answer to Cinder's drivers, as far as one login and one changing call go. Each asks for its own
// kind of login, gives out sessions of its own, and lists the changes that it has made.

import { type RestAnswer, type RestCall, type RestServer, startRestServer } from './rest-server.ts'

export interface FakeArrays {
  readonly server: RestServer
  /** Method and path of each change, in order. */
  readonly changes: string[]
  /** Ends all sessions: whoever goes on with one is told to log in. */
  endSessions(): void
  close(): Promise<void>
}

type Answering = (call: RestCall, arrays: State) => RestAnswer | null

interface State {
  /** A new one. */
  readonly session: () => string
  readonly isOpen: (session: string | undefined) => boolean
  readonly change: (call: RestCall) => void
}

const USER = `Basic ${Buffer.from('cinder:secret').toString('base64')}`
const UNAUTHORIZED = { status: 401, headers: { 'www-authenticate': 'Basic realm="array"' }, json: {} }

export async function startFakeArrays(): Promise<FakeArrays> {
  const changes: string[] = []
  const sessions = new Set<string>()
  let opened = 0
  const state: State = {
    session() {
      const session = `session${++opened}`
      sessions.add(session)
      return session
    },
    isOpen: (session) => session !== undefined && sessions.has(session),
    change: ({ method, path }) => void changes.push(`${method} ${path}`),
  }
  const server = await startRestServer((call) => {
    for (const answer of ARRAYS) {
      const found = answer(call, state)
      if (found !== null) return found
    }
    return { status: 404, json: {} }
  })
  return { server, changes, endSessions: () => sessions.clear(), close: () => server.close() }
}

/** The password of Basic credentials, which PowerFlex takes its token in. */
function basicPassword(call: RestCall): string | undefined {
  const encoded = /^Basic (\S+)$/.exec(call.headers.authorization ?? '')?.[1]
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8').split(':')[1]
}

const ontap: Answering = (call, { change }) => {
  if (!/^\/api\/(?:cluster|storage|svm)/.test(call.path)) return null
  if (call.headers.authorization !== USER) return UNAUTHORIZED
  if (call.method !== 'GET') {
    change(call)
    return { status: 200, json: {} }
  }
  if (/^\/api\/cluster\/?$/.test(call.path))
    return { status: 200, json: { version: { generation: 9, major: 12, minor: 1 } } }
  return { status: 200, json: { records: [], num_records: 0 } }
}

const ZAPI_ANSWERS: Readonly<Record<string, string>> = {
  'system-get-ontapi-version': '<major-version>1</major-version><minor-version>20</minor-version>',
  'system-get-version':
    '<version-tuple><system-version-tuple><generation>9</generation><major>12</major><minor>1</minor>' +
    '</system-version-tuple></version-tuple>',
  'system-node-get-iter': '<num-records>0</num-records>',
}

const zapi: Answering = (call, { change }) => {
  if (!call.path.startsWith('/servlets/')) return null
  if (call.headers.authorization !== USER) return UNAUTHORIZED
  const method = /<netapp[^>]*><([\w-]+)/.exec(call.text.replaceAll('\n', ''))?.[1] ?? ''
  const known = ZAPI_ANSWERS[method]
  if (known === undefined) change(call)
  const text = `<netapp xmlns="http://www.netapp.com/filer/admin" version="1.20"><results status="passed">${known ?? ''}</results></netapp>`
  return { status: 200, headers: { 'content-type': 'text/xml' }, text }
}

const solidfire: Answering = (call, { change }) => {
  if (!call.path.startsWith('/json-rpc/')) return null
  if (call.headers.authorization !== USER) return UNAUTHORIZED
  const method = String(Object(call.json)['method'])
  if (!/^(?:Get|List)/.test(method)) change(call)
  const clusterInfo = { mvip: '127.0.0.1', svip: '127.0.0.1', uuid: 'u' }
  // More the driver asks for when it starts, and goes on without.
  const result = { clusterInfo, clusterAPIVersion: '12.3' }
  const error = { code: 500, name: 'xUnknownAPIMethod', message: 'not here' }
  const isKnown = !method.startsWith('GetClusterCapacity')
  return { status: 200, json: isKnown ? { id: null, result } : { id: null, error } }
}

function msaAnswer(properties: Readonly<Record<string, string>>): RestAnswer {
  const written = Object.entries(properties).map(
    ([name, value]) => `<PROPERTY name="${name}" type="string">${value}</PROPERTY>`,
  )
  const text = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<RESPONSE VERSION="L100">\n  <OBJECT basetype="status" name="status" oid="1">\n    ${written.join('\n    ')}\n  </OBJECT>\n</RESPONSE>\n`
  return { status: 200, headers: { 'content-type': 'text/xml' }, text }
}

const msa: Answering = (call, { session, isOpen, change }) => {
  const words = call.path.split('/')
  if (words[1] !== 'api' || !['login', 'show', 'create', 'delete', 'set'].includes(words[2] ?? ''))
    return null
  // Two letters more than in /api/login, PowerFlex's.
  if (words[2] === 'login') {
    if (words.length < 4) return null
    const response = { 'response-type': 'Success', 'response-type-numeric': '0', response: session() }
    return msaAnswer({ ...response, 'return-code': '1' })
  }
  const key = call.headers['sessionkey']
  if (typeof key !== 'string' || !isOpen(key))
    return msaAnswer({ 'response-type': 'Error', response: 'Invalid sessionkey', 'return-code': '-10027' })
  if (words[2] !== 'show') change(call)
  return msaAnswer({
    'response-type': 'Success',
    response: 'Command completed successfully.',
    'return-code': '0',
    'sc-fw': 'GLS280',
    'midplane-serial-number': '1',
  })
}

const powerflex: Answering = (call, { session, isOpen, change }) => {
  if (!/^\/api\/(?:login|version|instances|types)(?:\/|$)/.test(call.path)) return null
  if (call.path === '/api/login')
    return call.headers.authorization === USER ? { status: 200, json: session() } : UNAUTHORIZED
  if (!isOpen(basicPassword(call))) return UNAUTHORIZED
  if (call.path === '/api/version') return { status: 200, json: '3.5' }
  if (call.method !== 'GET') change(call)
  return { status: 200, json: { id: 'a1', mappedSdcInfo: null } }
}

const powerstore: Answering = (call, { change }) => {
  if (!call.path.startsWith('/api/rest/')) return null
  if (call.headers.authorization !== USER) return UNAUTHORIZED
  if (call.method !== 'GET') change(call)
  return call.method === 'GET' ? { status: 200, json: [] } : { status: 204 }
}

const powermax: Answering = (call, { change }) => {
  if (!call.path.startsWith('/univmax/')) return null
  if (call.headers.authorization !== USER) return UNAUTHORIZED
  if (call.method !== 'GET') {
    change(call)
    return { status: 204 }
  }
  return {
    status: 200,
    json: { ucode: '5978.711.711', version: 'V9.2.0.0', volumeId: '0009A', symmetrixId: '1' },
  }
}

const oceanstor: Answering = (call, { session, isOpen, change }) => {
  if (!call.path.startsWith('/deviceManager/rest/')) return null
  if (call.path.endsWith('/xx/sessions')) {
    const token = session()
    const cookie = session()
    return {
      status: 200,
      headers: { 'set-cookie': `session=ismsession=${cookie};path=/deviceManager/rest` },
      json: { data: { deviceid: '210235982610', iBaseToken: token, accountstate: 1 }, error: { code: 0 } },
    }
  }
  const token = call.headers['ibasetoken']
  if (typeof token !== 'string' || !isOpen(token))
    return { status: 200, json: { data: {}, error: { code: -401, description: 'unauthorized' } } }
  if (call.method !== 'GET') change(call)
  return { status: 200, json: { data: {}, error: { code: 0 } } }
}

const hitachi: Answering = (call, { session, isOpen, change }) => {
  if (!call.path.startsWith('/ConfigurationManager/')) return null
  if (call.path.endsWith('/sessions'))
    return call.headers.authorization === USER
      ? { status: 200, json: { token: session(), sessionId: 3 } }
      : UNAUTHORIZED
  if (!isOpen(/^Session (\S+)$/.exec(call.headers.authorization ?? '')?.[1])) return { status: 401, json: {} }
  if (call.path.includes('/jobs/')) return { status: 200, json: { status: 'Completed', state: 'Succeeded' } }
  if (call.method !== 'GET') change(call)
  return { status: 202, json: { jobId: 1, status: 'Completed', state: 'Succeeded' } }
}

const ARRAYS: readonly Answering[] = [
  ontap,
  zapi,
  solidfire,
  msa,
  powerflex,
  powerstore,
  powermax,
  oceanstor,
  hitachi,
]
