// A call whose answer names a job ends with that job, and with nothing less.

import { describe, expect, test } from 'vitest'
import type { JobProbe, JobRule } from '../../../gateway/spi/policy.ts'
import { type Answerer, type SeenRequest, startEchoBackend } from '../../support/echo-backend.ts'
import { eventually, type FakePolicyOptions, startTestGateway } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'
import { closeLater } from './kept.ts'

const HTTP_PROBE: JobProbe = {
  kind: 'http',
  target: '/v3/volumes/v1',
  terminalStatuses: [404],
  pointer: '/volume/status',
  runningValues: ['creating', 'deleting'],
  nullIsOver: false,
}
const TASK_PROBE: JobProbe = { kind: 'vsphere-task', task: 'task-12' }

function rule(probe: JobProbe, bodyBytesMax = 4096): JobRule {
  return {
    appliesTo: (status) => status === 202,
    bodyBytesMax,
    read: (_status, body) => {
      const text = body.toString('utf8')
      if (text === 'none') return { kind: 'none' }
      return text.startsWith('job:')
        ? { kind: 'job', id: text, probe }
        : { kind: 'unreadable', reason: `got ${text}` }
    },
  }
}

/** Mutating calls are answered by `start`, the rest by `look`. */
async function setUp(options: {
  start: (response: Parameters<Answerer>[1]) => void
  look: Answerer
  policy: FakePolicyOptions
  observer?: { username: string; password: string }
}) {
  const backend = await startEchoBackend((request, response) => {
    if (request.target === '/x') options.start(response)
    else options.look(request, response)
  })
  closeLater(() => backend.close())
  const gateway = await startTestGateway(
    backend.url,
    options.policy,
    options.observer === undefined ? {} : { observer: options.observer },
  )
  closeLater(() => gateway.listener.close())
  const client = await RawClient.open(gateway.port)
  closeLater(() => {
    client.close()
    return Promise.resolve()
  })
  return { backend, gateway, client }
}

const accepted =
  (body: string, headers: Record<string, string> = {}) =>
  (response: Parameters<Answerer>[1]) => {
    response.writeHead(202, { 'Content-Length': Buffer.byteLength(body), ...headers })
    response.end(body)
  }

const status =
  (value: string): Answerer =>
  (_request, response) =>
    response.end(JSON.stringify({ volume: { status: value } }))

const CHANGE =
  'POST /x HTTP/1.1\r\nHost: cinder.example\r\nFencing-Token: 7\r\nX-Auth-Token: secret\r\nOpenStack-API-Version: volume 3.59\r\nCookie: vmware_soap_session="own"\r\nX-Else: 1\r\nAccept-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc'

describe('a job over HTTP', () => {
  test('keeps its call open until it is seen terminal, asking with the credentials of the call', async () => {
    let state = 'creating'
    const looks: SeenRequest[] = []
    const { backend, gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: (request, response) => {
        looks.push(request)
        status(state)(request, response)
      },
      policy: { job: rule(HTTP_PROBE) },
    })
    client.send(CHANGE)
    expect((await client.answer()).body).toBe('job:v1')
    const [entry] = gateway.gate.entries
    expect(entry?.log).toEqual(['job job:v1'])
    entry?.seal()
    await eventually(() => looks.length >= 2)
    expect(entry?.log).toEqual(['job job:v1'])
    expect(gateway.listener.jobs).toBe(1)
    state = 'available'
    await eventually(() => entry?.log.length === 2)
    expect(entry?.log).toEqual(['job job:v1', 'ended'])
    expect(gateway.listener.jobs).toBe(0)
    expect(looks[0]).toMatchObject({ method: 'GET', target: '/v3/volumes/v1', body: '' })
    expect(looks[0]?.headers).toMatchObject({
      host: 'cinder.example',
      'x-auth-token': 'secret',
      'openstack-api-version': 'volume 3.59',
    })
    expect(looks[0]?.headers['x-else']).toBeUndefined()
    expect(backend.seen[0]?.headers['accept-encoding']).toBeUndefined()
  })

  test('is asked for by POST where the policy says so, and is over only in a state that it calls a last one', async () => {
    let state = 'queued'
    const looks: SeenRequest[] = []
    const { gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: (request, response) => {
        looks.push(request)
        response.end(`<state>${state}</state>`)
      },
      policy: {
        job: rule({
          ...HTTP_PROBE,
          target: '/ask',
          terminalValues: ['done'],
          request: { type: 'text/xml', body: '<ask/>' },
          stateOf: (body) => /<state>(\w+)<\/state>/.exec(body)?.[1],
        }),
      },
    })
    client.send(CHANGE.replace('X-Auth-Token: secret', 'X-Dot-SVM-Name: vs1\r\niBaseToken: abc'))
    await client.answer()
    const [entry] = gateway.gate.entries
    entry?.seal()
    await eventually(() => looks.length >= 2)
    expect(entry?.log).toEqual(['job job:v1'])
    expect(looks[0]).toMatchObject({ method: 'POST', target: '/ask', body: '<ask/>' })
    expect(looks[0]?.headers).toMatchObject({
      'content-type': 'text/xml',
      'x-dot-svm-name': 'vs1',
      ibasetoken: 'abc',
    })
    state = 'done'
    await eventually(() => entry?.log.length === 2)
    expect(entry?.log).toEqual(['job job:v1', 'ended'])
  })

  test('is over with a null only where the policy says so, and never where nothing stands', async () => {
    let body = '{"volume":{}}'
    let looks = 0
    const { gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: (request, response) => {
        looks++
        expect(request.headers['x-openstack-ironic-api-version']).toBe('1.90')
        response.end(body)
      },
      policy: { job: rule({ ...HTTP_PROBE, nullIsOver: true }) },
    })
    client.send(CHANGE.replace('OpenStack-API-Version: volume 3.59', 'X-OpenStack-Ironic-API-Version: 1.90'))
    await client.answer()
    await eventually(() => looks >= 2)
    expect(gateway.gate.entries[0]?.log).toEqual(['job job:v1'])
    body = '{"volume":{"status":null}}'
    await eventually(() => gateway.gate.entries[0]?.log.length === 2)
    expect(gateway.gate.entries[0]?.log).toEqual(['job job:v1', 'ended'])
  })

  test('is over with a status that the policy calls terminal', async () => {
    const { gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: (_request, response) => response.writeHead(404).end(),
      policy: { job: rule(HTTP_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    await eventually(() => gateway.gate.entries[0]?.log.length === 2)
    expect(gateway.gate.entries[0]?.log).toEqual(['job job:v1', 'ended'])
  })

  test('is looked for again when the backend does not answer or answers nonsense', async () => {
    let looks = 0
    const { gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: (request, response) => {
        looks++
        if (looks === 1) response.destroy()
        else if (looks === 2) response.writeHead(500).end('broken')
        else if (looks === 3) response.end('{"volume":')
        else status('error')(request, response)
      },
      policy: { job: rule(HTTP_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    gateway.gate.entries[0]?.seal()
    await eventually(() => gateway.gate.entries[0]?.log.length === 2)
    expect(looks).toBe(4)
    expect(gateway.gate.entries[0]?.log).toEqual(['job job:v1', 'ended'])
  })

  test('that the backend keeps hiding is unknown, never over', async () => {
    const { gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: (_request, response) => response.writeHead(401).end(),
      policy: { job: rule(HTTP_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    gateway.gate.entries[0]?.seal()
    await eventually(() => gateway.gate.entries[0]?.log.length === 2)
    expect(gateway.gate.entries[0]?.log[1]).toBe('unknown: the backend answers 401 to /v3/volumes/v1')
  })

  test('is given up with its entry', async () => {
    const { gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: status('creating'),
      policy: { job: rule(HTTP_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    gateway.gate.entries[0]?.abandon()
    expect(gateway.gate.entries[0]?.log[1]).toMatch(/^unknown: abandoned/)
    expect(gateway.listener.jobs).toBe(0)
  })

  test('is unknown when the listener closes while it runs', async () => {
    const { gateway, client } = await setUp({
      start: accepted('job:v1'),
      look: status('creating'),
      policy: { job: rule(HTTP_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    await gateway.listener.close()
    expect(gateway.gate.entries[0]?.log[1]).toMatch(/^unknown: the gateway shut down/)
  })
})

describe('an answer that could name a job', () => {
  test.each([
    ['names none', accepted('none'), ['ended']],
    ['cannot be read', accepted('what?'), [expect.stringContaining('unknown: the answer should name a job')]],
    [
      'is compressed all the same',
      accepted('job:v1', { 'Content-Encoding': 'gzip' }),
      [expect.stringContaining('unknown: the answer may name a job but is compressed')],
    ],
    [
      'is longer than the policy reads',
      accepted(`job:${'x'.repeat(5000)}`),
      [expect.stringMatching(/^job job:x{4092}$/)],
    ],
    [
      'has a status that names none',
      (response: Parameters<Answerer>[1]) => response.writeHead(409).end('job:v1'),
      ['ended'],
    ],
  ])('and %s settles its call', async (_name, start, expected) => {
    const { gateway, client } = await setUp({
      start,
      look: status('creating'),
      policy: { job: rule(HTTP_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    expect(gateway.gate.entries[0]?.log).toEqual(expected)
  })
})

const soap = (body: string) =>
  `<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`
const CONTENT = soap(
  '<RetrieveServiceContentResponse xmlns="urn:vim25"><returnval><propertyCollector type="PropertyCollector">pc-1</propertyCollector><sessionManager type="SessionManager">sm-1</sessionManager></returnval></RetrieveServiceContentResponse>',
)
const stateOf = (state: string) =>
  soap(
    `<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects><obj type="Task">task-12</obj><propSet><name>info.state</name><val xsi:type="TaskInfoState">${state}</val></propSet></objects></returnval></RetrievePropertiesExResponse>`,
  )
const missing = (fault: string) =>
  soap(
    `<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects><obj type="Task">task-12</obj><missingSet><path>info.state</path><fault><fault xsi:type="${fault}"/><localizedMessage/></fault></missingSet></objects></returnval></RetrievePropertiesExResponse>`,
  )
const faultOf = (fault: string) =>
  soap(
    `<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>x</faultstring><detail><${fault}Fault xmlns="urn:vim25" xsi:type="${fault}"/></detail></soapenv:Fault>`,
  )

/** A vCenter of a few lines: `task` answers the look at the task, by the cookie of who asks. */
function vcenter(
  task: (cookie: string) => { status: number; body: string },
  logins: string[] = [],
): Answerer {
  return (request, response) => {
    if (request.body.includes('<RetrieveServiceContent')) response.end(CONTENT)
    else if (request.body.includes('<Login ')) {
      logins.push(request.body)
      response.setHeader('Set-Cookie', `vmware_soap_session="observer-${logins.length}"; Path=/; HttpOnly`)
      response.end(soap('<LoginResponse xmlns="urn:vim25"/>'))
    } else {
      const { status: code, body } = task(String(request.headers['cookie'] ?? ''))
      response.writeHead(code).end(body)
    }
  }
}

describe('a vSphere task', () => {
  test.each(['success', 'error'])(
    'is over when its state is %s, not while it is queued or running',
    async (last) => {
      const states = ['queued', 'running', last]
      const { backend, gateway, client } = await setUp({
        start: accepted('job:task-12'),
        look: vcenter(() => ({ status: 200, body: stateOf(states.shift() ?? 'none left') })),
        policy: { job: rule(TASK_PROBE) },
      })
      client.send(CHANGE)
      await client.answer()
      gateway.gate.entries[0]?.seal()
      await eventually(() => gateway.gate.entries[0]?.log.length === 2)
      expect(states).toEqual([])
      expect(gateway.gate.entries[0]?.log).toEqual(['job job:task-12', 'ended'])
      const look = backend.seen.find((request) => request.body.includes('RetrievePropertiesEx'))
      expect(look?.headers['cookie']).toBe('vmware_soap_session="own"')
      expect(look?.body).toContain('<_this type="PropertyCollector">pc-1</_this>')
      expect(backend.seen.filter((request) => request.body.includes('RetrieveServiceContent'))).toHaveLength(
        1,
      )
    },
  )

  test.each([
    ['in the missing set', { status: 200, body: missing('ManagedObjectNotFound') }],
    ['as a fault', { status: 500, body: faultOf('ManagedObjectNotFound') }],
  ])('that is not known any more (%s) is unknown, not over', async (_name, answer) => {
    const { gateway, client } = await setUp({
      start: accepted('job:task-12'),
      look: vcenter(() => answer),
      policy: { job: rule(TASK_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    await eventually(() => gateway.gate.entries[0]?.log.length === 2)
    expect(gateway.gate.entries[0]?.log[1]).toMatch(/^unknown: task task-12 is not known/)
  })

  test.each([
    ['in the missing set', { status: 200, body: missing('NotAuthenticated') }],
    ['as a fault', { status: 500, body: faultOf('NotAuthenticated') }],
  ])('whose session is gone (%s) is unknown without an observer', async (_name, answer) => {
    const { gateway, client } = await setUp({
      start: accepted('job:task-12'),
      look: vcenter(() => answer),
      policy: { job: rule(TASK_PROBE) },
    })
    client.send(CHANGE)
    await client.answer()
    await eventually(() => gateway.gate.entries[0]?.log.length === 2)
    expect(gateway.gate.entries[0]?.log[1]).toMatch(/^unknown: the session that started task task-12 is gone/)
  })

  test('whose session is gone is watched with the observer, who logs in again when his own session ends', async () => {
    const logins: string[] = []
    let observed = 0
    const { gateway, client } = await setUp({
      start: accepted('job:task-12'),
      look: vcenter((cookie) => {
        if (cookie === 'vmware_soap_session="observer-2"') return { status: 200, body: stateOf('success') }
        if (cookie === 'vmware_soap_session="observer-1"' && ++observed === 1)
          return { status: 200, body: stateOf('running') }
        return { status: 500, body: faultOf('NotAuthenticated') }
      }, logins),
      policy: { job: rule(TASK_PROBE) },
      observer: { username: 'watch<er', password: 'a&b' },
    })
    client.send(CHANGE)
    await client.answer()
    gateway.gate.entries[0]?.seal()
    await eventually(() => gateway.gate.entries[0]?.log.length === 2)
    expect(gateway.gate.entries[0]?.log).toEqual(['job job:task-12', 'ended'])
    expect(logins).toHaveLength(2)
    expect(logins[0]).toContain('<_this type="SessionManager">sm-1</_this>')
    expect(logins[0]).toContain('<userName>watch&lt;er</userName><password>a&amp;b</password>')
  })
})
