// An API with sessions that are listed and deleted by id, as many arrays have it.

import { type RestCall, type RestServer, startRestServer } from './rest-server.ts'

export interface SessionApi {
  readonly server: RestServer
  /** Opens a session, and answers its id. */
  open(user: string): string
  isOpen(id: string): boolean
  end(id: string): void
  readonly sessions: ReadonlyMap<string, string>
  /** Of the driver http-session, logging in as `fencer`. */
  fencerOptions(password: string): Readonly<Record<string, unknown>>
}

export async function startSessionApi(settings: {
  readonly password: string
  readonly tls?: boolean
}): Promise<SessionApi> {
  const sessions = new Map<string, string>()
  let opened = 0
  const open = (user: string): string => {
    const id = `s-${++opened}`
    sessions.set(id, user)
    return id
  }
  const answer = ({ method, path, headers, text }: RestCall) => {
    if (method === 'POST' && path === '/sessions') {
      if (!text.includes(JSON.stringify(settings.password))) return { status: 401, json: { error: 'no' } }
      const id = open('fencer')
      return { status: 201, json: { id }, headers: { 'X-Auth-Token': `token-of-${id}` } }
    }
    const caller = String(headers['x-auth-token']).replace('token-of-', '')
    if (!sessions.has(caller)) return { status: 401, json: { error: 'who?' } }
    if (method === 'GET' && path === '/sessions')
      return { status: 200, json: { items: [...sessions].map(([id, user]) => ({ id, user })) } }
    const id = decodeURIComponent(path.replace('/sessions/', ''))
    if (method === 'DELETE')
      return sessions.delete(id) ? { status: 204 } : { status: 404, json: { error: 'no such session' } }
    return { status: 405 }
  }
  const server = await startRestServer(answer, { tls: settings.tls === true })
  const token = { 'X-Auth-Token': '{{login.token}}' }
  return {
    server,
    sessions,
    open,
    isOpen: (id) => sessions.has(id),
    end: (id) => void sessions.delete(id),
    fencerOptions: (password) => ({
      url: server.url,
      secrets: { password },
      login: {
        method: 'POST',
        path: '/sessions',
        body: { user: 'fencer', password: '{{secrets.password}}' },
        capture: { id: { json: '/id' }, token: { header: 'x-auth-token' } },
      },
      logout: { method: 'DELETE', path: '/sessions/{{login.id}}', headers: token },
      fence: { method: 'DELETE', path: '/sessions/{{fenceInfo.sessionId}}', headers: token, gone: [404] },
      verify: {
        path: '/sessions',
        headers: token,
        list: {
          at: '/items',
          item: { '/id': '{{fenceInfo.sessionId}}' },
          witness: { '/id': '{{login.id}}' },
        },
      },
      monitor: { method: 'GET', path: '/sessions', headers: token },
    }),
  }
}
