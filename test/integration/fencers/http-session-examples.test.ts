// deploy/examples/sessions.yaml against small APIs of ours that behave as those of Keystone, Kubernetes and the arrays are
// documented to: each fences its holder, sees it, and is not fooled by what looks the same.

import { readFileSync } from 'node:fs'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import driver from '../../../fencers/http-session.ts'
import type { Fencer } from '../../../gateway/spi/fencer.ts'
import {
  type RestAnswer,
  type RestCall,
  type RestServer,
  startRestServer,
} from '../../support/rest-server.ts'
import { anAttemptNow, realClock } from './support.ts'

interface World {
  readonly fenceInfo: Readonly<Record<string, unknown>>
  answer(call: RestCall): RestAnswer
  isAlive(): boolean
  /** Something that is not the holder's end, and looks like it. */
  deceive?(): void
}

const said = (call: RestCall, ...path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    call.json,
  )
const basic = `Basic ${Buffer.from('fencer:secret').toString('base64')}`

const worlds: Readonly<Record<string, () => World>> = {
  keystone() {
    const tokens = new Set(['holders-token'])
    let own = 0
    return {
      fenceInfo: { token: 'holders-token' },
      isAlive: () => tokens.has('holders-token'),
      answer(call) {
        const error = (code: number, title: string) => ({
          status: code,
          json: { error: { code, title, message: 'x' } },
        })
        if (call.method === 'POST') {
          if (said(call, 'auth', 'identity', 'password', 'user', 'password') !== 'secret')
            return error(401, 'Unauthorized')
          tokens.add(`own-${++own}`)
          return { status: 201, headers: { 'X-Subject-Token': `own-${own}` }, json: { token: {} } }
        }
        if (!tokens.has(String(call.headers['x-auth-token']))) return error(401, 'Unauthorized')
        const subject = String(call.headers['x-subject-token'])
        if (!tokens.has(subject)) return error(404, 'Not Found')
        if (call.method === 'DELETE') tokens.delete(subject)
        return call.method === 'DELETE'
          ? { status: 204 }
          : { status: 200, json: { token: { expires_at: '2031-01-01T00:00:00Z' } } }
      },
    }
  },

  pod() {
    let uid: string | null = 'uid-1'
    let denied = false
    return {
      fenceInfo: { namespace: 'openstack', pod: 'cinder-volume-0', uid: 'uid-1' },
      isAlive: () => uid === 'uid-1',
      deceive: () => {
        denied = true
      },
      answer(call) {
        const status = (code: number, reason: string) => ({
          status: code,
          json: { kind: 'Status', reason, details: { name: 'cinder-volume-0', kind: 'pods' } },
        })
        if (call.headers['authorization'] !== 'Bearer secret') return status(401, 'Unauthorized')
        if (call.path === '/api/v1/pods') return { status: 200, json: { kind: 'PodList' } }
        if (denied) return status(403, 'Forbidden')
        if (uid === null) return status(404, 'NotFound')
        if (call.method === 'DELETE') {
          if (said(call, 'preconditions', 'uid') !== uid) return status(409, 'Conflict')
          // With a grace it would go on for that long; without one, a stateful set makes a new one under the name at once.
          if (said(call, 'gracePeriodSeconds') === 0) uid = 'uid-2'
        }
        return { status: 200, json: { kind: 'Pod', metadata: { name: 'cinder-volume-0', uid } } }
      },
    }
  },

  'vcenter-rest'() {
    const sessions = new Set(['holders-session'])
    return {
      fenceInfo: { apiSession: 'holders-session' },
      isAlive: () => sessions.has('holders-session'),
      answer(call) {
        const id = String(call.headers['vmware-api-session-id'])
        if (!sessions.has(id)) return { status: 401, json: { error_type: 'UNAUTHENTICATED', messages: [] } }
        if (call.method === 'DELETE') sessions.delete(id)
        return call.method === 'DELETE'
          ? { status: 204 }
          : { status: 200, json: { user: 'nova@vsphere.local' } }
      },
    }
  },

  solidfire() {
    const sessions = new Set(['aa-11', 'bb-22'])
    let deaf = false
    return {
      fenceInfo: { sessionId: 'aa-11' },
      isAlive: () => sessions.has('aa-11'),
      deceive: () => {
        deaf = true
      },
      answer(call) {
        if (call.headers['authorization'] !== basic) return { status: 401 }
        const id = said(call, 'id')
        // As something between would answer that knows JSON.
        if (deaf) return { status: 200, json: { result: { sessions: [] } } }
        if (said(call, 'method') === 'DeleteAuthSession') {
          const known = sessions.delete(String(said(call, 'params', 'sessionID')))
          return { status: 200, json: known ? { id, result: {} } : { id, error: { name: 'xUnknown' } } }
        }
        return {
          status: 200,
          json: { id, result: { sessions: [...sessions].map((sessionID) => ({ sessionID })) } },
        }
      },
    }
  },

  pure() {
    const tokens = new Set(['holders-token'])
    return {
      fenceInfo: { token: 'holders-token' },
      isAlive: () => tokens.has('holders-token'),
      answer(call) {
        const refused = { status: 401, json: { errors: [{ message: 'not authorized' }] } }
        if (call.path === '/api/2.26/login')
          return call.headers['api-token'] === 'secret' ? { status: 200, json: {} } : refused
        const token = String(call.headers['x-auth-token'])
        if (!tokens.has(token)) return refused
        if (call.path === '/api/2.26/logout') tokens.delete(token)
        return { status: 200, json: { items: [{ name: 'array' }] } }
      },
    }
  },

  powerstore() {
    let locked = false
    return {
      fenceInfo: { userId: '17' },
      isAlive: () => !locked,
      answer(call) {
        if (call.headers['authorization'] !== basic) return { status: 401 }
        if (call.path === '/api/rest/login_session')
          return {
            status: 200,
            headers: { 'DELL-EMC-TOKEN': 'csrf', 'Set-Cookie': 'auth_cookie=c00kie; Path=/; Secure' },
            json: [{ id: 'x' }],
          }
        if (call.headers['dell-emc-token'] !== 'csrf' || call.headers['cookie'] !== 'auth_cookie=c00kie')
          return { status: 403 }
        if (call.method === 'PATCH') {
          locked = said(call, 'is_locked') === true
          return { status: 204 }
        }
        return { status: 200, json: { id: '17', is_locked: locked } }
      },
    }
  },

  ontap() {
    let locked = false
    let other = false
    const owner = { uuid: '02c9e252-41be-11e9-81d5-00a0986138f7' }
    return {
      fenceInfo: { ownerUuid: owner.uuid, account: 'cinder' },
      isAlive: () => !locked,
      deceive: () => {
        other = true
      },
      answer(call) {
        if (call.headers['authorization'] !== basic) return { status: 401 }
        if (call.method === 'PATCH') locked = said(call, 'locked') === true
        if (other) return { status: 200, json: { owner, name: 'somebody-else', locked: true } }
        return { status: 200, json: call.method === 'PATCH' ? {} : { owner, name: 'cinder', locked } }
      },
    }
  },
}

const Example = z.object({ fencers: z.record(z.string(), z.looseObject({ driver: z.string() })) })
const context = { clock: realClock, note: () => undefined }

describe('the example of HTTP sessions', () => {
  let examples: z.infer<typeof Example>['fencers']
  const servers: RestServer[] = []
  const fencers: Fencer<Readonly<Record<string, unknown>>>[] = []

  beforeAll(() => {
    const file = new URL('../../../deploy/examples/sessions.yaml', import.meta.url)
    const whole = Example.parse(parse(readFileSync(file, 'utf8').replaceAll(/"file:[^"]*"/g, '"secret"')))
    examples = Object.fromEntries(
      Object.entries(whole.fencers).filter(([, { driver: id }]) => id === 'http-session'),
    )
  })
  afterEach(async () => {
    await Promise.all(fencers.splice(0).map(async (fencer) => await fencer.close?.()))
    await Promise.all(servers.splice(0).map((server) => server.close()))
  })

  async function enter(name: string) {
    const world = worlds[name]?.()
    if (world === undefined) throw new Error(`there is no API like that of ${name} here`)
    const server = await startRestServer((call) => world.answer(call))
    servers.push(server)
    const { driver: _id, tls: _tls, ...written } = examples[name] ?? { driver: '' }
    const url = server.url + new URL(String(written['url'])).pathname.replace(/\/$/, '')
    const fencer = driver.create(driver.options.parse({ ...written, url }), context)
    fencers.push(fencer)
    return { world, server, fencer }
  }

  test('there is an API here for each of them', () => {
    expect(Object.keys(examples).sort()).toEqual(Object.keys(worlds).sort())
  })

  describe.each(Object.keys(worlds))('%s', (name) => {
    test('fences the holder, once and again, and sees it', async () => {
      const { world, fencer } = await enter(name)
      expect(() => fencer.check?.(world.fenceInfo)).not.toThrow()
      for (const key of Object.keys(world.fenceInfo))
        expect(() => fencer.check?.({ ...world.fenceInfo, [key]: '' }), key).toThrow(`fenceInfo.${key}`)
      await fencer.monitor({ ...context, signal: AbortSignal.timeout(5_000) })
      expect((await fencer.verify(world.fenceInfo, anAttemptNow())).state).toBe('not-fenced')
      expect(world.isAlive()).toBe(true)
      for (let number = 1; number <= 2; number++) {
        await fencer.fence(world.fenceInfo, anAttemptNow({ number }))
        expect((await fencer.verify(world.fenceInfo, anAttemptNow({ number }))).state).toBe('fenced')
      }
      expect(world.isAlive()).toBe(false)
      if (fencer.unfence !== undefined) {
        await fencer.unfence(world.fenceInfo, anAttemptNow())
        expect((await fencer.verify(world.fenceInfo, anAttemptNow())).state).toBe('not-fenced')
      }
    })

    test('is not fooled: by a 404 from between, an empty answer, or what only looks like it', async () => {
      const { world, server, fencer } = await enter(name)
      await fencer.verify(world.fenceInfo, anAttemptNow())
      for (const kind of ['proxy-404', 'empty', 'error', 'lie'] as const) {
        server.fault(kind)
        expect((await fencer.verify(world.fenceInfo, anAttemptNow())).state).toBe('unknown')
      }
      server.fault(null)
      world.deceive?.()
      expect((await fencer.verify(world.fenceInfo, anAttemptNow())).state).not.toBe('fenced')
      expect(world.isAlive()).toBe(true)
    })
  })

  test('a pod that was made anew under the name is left alone', async () => {
    const { world, server, fencer } = await enter('pod')
    await fencer.fence({ ...world.fenceInfo, uid: 'uid-0' }, anAttemptNow())
    expect(world.isAlive()).toBe(true)
    expect((await fencer.verify({ ...world.fenceInfo, uid: 'uid-0' }, anAttemptNow())).state).toBe('fenced')
    expect(server.calls.filter((call) => call.method === 'DELETE')).toHaveLength(1)
  })
})
