// Which call of Cinder's v3 API does what to the volumes. Enough of it for a client to create, change and delete one.

import { type Started, type Volume, VolumeError, type VolumeShelf } from './volumes.ts'

export interface Call {
  readonly method: string
  readonly target: string
  readonly body: unknown
  /** Links are built from it, as Cinder does. */
  readonly host: string | undefined
}

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly settled: Promise<void>
}

const done = Promise.resolve()

function version(host: string): unknown {
  return {
    id: 'v3.0',
    status: 'CURRENT',
    version: '3.0',
    min_version: '3.0',
    updated: '2026-01-01T00:00:00Z',
    links: [{ rel: 'self', href: `http://${host}/v3/` }],
    'media-types': [],
  }
}

function show(volume: Volume, project: string, host: string): unknown {
  return {
    id: volume.id,
    name: volume.name,
    size: volume.sizeGb,
    status: volume.status,
    metadata: volume.metadata,
    created_at: volume.createdAt,
    attachments: [],
    links: [{ rel: 'self', href: `http://${host}/v3/${project}/volumes/${volume.id}` }],
  }
}

function section(body: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof body === 'object' && body !== null && name in body) {
    const value: unknown = Reflect.get(body, name)
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value))
  }
  throw new VolumeError(400, `The body has no "${name}".`)
}

function sizeIn(fields: Readonly<Record<string, unknown>>, name: string): number {
  const size = fields[name]
  if (typeof size === 'number' && Number.isInteger(size) && size > 0) return size
  throw new VolumeError(400, `"${name}" is not a whole number above 0.`)
}

function textIn(fields: Readonly<Record<string, unknown>>, name: string): string | null {
  const value = fields[name]
  return typeof value === 'string' ? value : null
}

function accepted(started: Started, body: unknown): Answer {
  return { status: 202, body, settled: started.settled }
}

/** The kind of an action stands in the body's first key, not in method or path. */
function act(shelf: VolumeShelf, id: string, body: unknown): Answer {
  const [action] = typeof body === 'object' && body !== null ? Object.keys(body) : []
  switch (action) {
    case 'os-extend':
      return accepted(shelf.extend(id, sizeIn(section(body, action), 'new_size')), null)
    case 'os-reset_status':
      return accepted(shelf.setStatus(id, textIn(section(body, action), 'status') ?? 'error'), null)
    case 'os-reserve':
      return accepted(shelf.setStatus(id, 'attaching'), null)
    case 'os-unreserve':
      return accepted(shelf.setStatus(id, 'available'), null)
    case 'os-force_delete':
      return accepted(shelf.delete(id, true), null)
    default:
      throw new VolumeError(400, `There is no such action: ${action ?? 'none'}`)
  }
}

function changeMetadata(shelf: VolumeShelf, id: string, body: unknown, replace: boolean): Answer {
  const given = Object.entries(section(body, 'metadata')).map(([key, value]) => [key, String(value)] as const)
  const kept = replace ? {} : shelf.get(id).metadata
  const { volume, settled } = shelf.update(id, { metadata: { ...kept, ...Object.fromEntries(given) } })
  return { status: 200, body: { metadata: volume.metadata }, settled }
}

function ofOneVolume(shelf: VolumeShelf, call: Call, project: string, id: string, host: string): Answer {
  switch (call.method) {
    case 'GET':
      return { status: 200, body: { volume: show(shelf.get(id), project, host) }, settled: done }
    case 'PUT': {
      const name = textIn(section(call.body, 'volume'), 'name')
      const { volume, settled } = shelf.update(id, name === null ? {} : { name })
      return { status: 200, body: { volume: show(volume, project, host) }, settled }
    }
    case 'DELETE':
      return accepted(shelf.delete(id, false), null)
    default:
      throw new VolumeError(404, 'The resource could not be found.')
  }
}

function ofAllVolumes(shelf: VolumeShelf, call: Call, project: string, host: string): Answer {
  if (call.method === 'GET') {
    return {
      status: 200,
      body: { volumes: shelf.list().map((volume) => show(volume, project, host)) },
      settled: done,
    }
  }
  if (call.method !== 'POST') throw new VolumeError(404, 'The resource could not be found.')
  const fields = section(call.body, 'volume')
  const started = shelf.create({ name: textIn(fields, 'name'), sizeGb: sizeIn(fields, 'size') })
  return accepted(started, { volume: show(started.volume, project, host) })
}

/** Throws `VolumeError` where Cinder answers with an error. */
export function route(shelf: VolumeShelf, call: Call): Answer {
  const host = call.host ?? 'localhost'
  const path = call.target.split('?')[0] ?? ''
  if (path === '/') return { status: 300, body: { versions: [version(host)] }, settled: done }
  if (path === '/v3' || path === '/v3/') {
    return { status: 200, body: { versions: [version(host)] }, settled: done }
  }
  const [, v3, project, volumes, id, part, ...rest] = path.split('/')
  if (v3 !== 'v3' || project === undefined || volumes !== 'volumes' || rest.length > 0) {
    throw new VolumeError(404, 'The resource could not be found.')
  }
  if (id === undefined || (id === 'detail' && part === undefined))
    return ofAllVolumes(shelf, call, project, host)
  if (part === undefined) return ofOneVolume(shelf, call, project, id, host)
  if (part === 'action' && call.method === 'POST') return act(shelf, id, call.body)
  if (part === 'metadata') {
    if (call.method === 'GET')
      return { status: 200, body: { metadata: shelf.get(id).metadata }, settled: done }
    if (call.method === 'POST' || call.method === 'PUT') {
      return changeMetadata(shelf, id, call.body, call.method === 'PUT')
    }
  }
  throw new VolumeError(404, 'The resource could not be found.')
}
