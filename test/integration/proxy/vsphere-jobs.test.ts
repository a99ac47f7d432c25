// What goes on at a vSphere besides plain tasks: leases, tasks of /sms and /vslm, and tasks whose result names others.

import { describe, expect, test } from 'vitest'
import type { JobRule, VsphereTaskProbe } from '../../../gateway/spi/policy.ts'
import { type Answerer, type SeenRequest, startEchoBackend } from '../../support/echo-backend.ts'
import { eventually, startTestGateway } from '../../support/echo-backend-gateway.ts'
import { RawClient } from '../../support/raw-http.ts'
import { closeLater } from './kept.ts'

const soap = (body: string) =>
  `<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`
const CONTENT = soap(
  '<RetrieveServiceContentResponse xmlns="urn:vim25"><returnval><propertyCollector type="PropertyCollector">pc-1</propertyCollector><sessionManager type="SessionManager">sm-1</sessionManager></returnval></RetrieveServiceContentResponse>',
)
const property = (name: string, value: string) => `<propSet><name>${name}</name><val>${value}</val></propSet>`
const shown = (type: string, id: string, properties: string) =>
  soap(
    `<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects><obj type="${type}">${id}</obj>${properties}</objects></returnval></RetrievePropertiesExResponse>`,
  )
const FAULT = soap(
  '<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>x</faultstring><detail><NotAuthenticatedFault xmlns="urn:vim25" xsi:type="NotAuthenticated"/></detail></soapenv:Fault>',
)

/** A call whose answer names the job; the looks at it are answered by `look`, and kept. */
async function started(options: {
  readonly probe: VsphereTaskProbe
  readonly look: (request: SeenRequest) => { readonly status: number; readonly body: string }
  readonly cookie?: string
  readonly observer?: { readonly username: string; readonly password: string }
}) {
  const looks: SeenRequest[] = []
  const answer: Answerer = (request, response) => {
    if (request.target === '/x') response.end('job')
    else if (request.body.includes('<RetrieveServiceContent')) response.end(CONTENT)
    else if (request.body.includes('<Login ')) {
      response.setHeader('Set-Cookie', 'vmware_soap_session="watcher"; Path=/; HttpOnly')
      response.end(soap('<LoginResponse xmlns="urn:vim25"/>'))
    } else {
      looks.push(request)
      const { status, body } = options.look(request)
      response.writeHead(status).end(body)
    }
  }
  const backend = await startEchoBackend(answer)
  closeLater(() => backend.close())
  const job: JobRule = {
    appliesTo: (status) => status === 200,
    bodyBytesMax: 4096,
    read: () => ({ kind: 'job', id: options.probe.task, probe: options.probe }),
  }
  const gateway = await startTestGateway(
    backend.url,
    { job },
    options.observer === undefined ? {} : { observer: options.observer },
  )
  closeLater(() => gateway.listener.close())
  const client = await RawClient.open(gateway.port)
  closeLater(() => {
    client.close()
    return Promise.resolve()
  })
  const cookie = options.cookie === undefined ? '' : `Cookie: ${options.cookie}\r\n`
  client.send(
    `POST /x HTTP/1.1\r\nHost: vc.example\r\nFencing-Token: 7\r\n${cookie}Content-Length: 3\r\n\r\nabc`,
  )
  await client.answer()
  const [entry] = gateway.gate.entries
  entry?.seal()
  return { looks, log: () => entry?.log ?? [] }
}

const OWN = 'vmware_soap_session="own"'

describe('a lease of an export or import', () => {
  test.each([
    ['done', 'HttpNfcLease', 'session[52-a]52-b'],
    ['error', 'HttpNfcLease', 'session[52-a]52-b'],
  ] as const)('is over when its state is %s, and not while bytes may flow', async (last, type, task) => {
    const states = ['initializing', 'ready', 'ready', last]
    const { looks, log } = await started({
      probe: { kind: 'vsphere-task', task, type },
      cookie: OWN,
      look: () => ({
        status: 200,
        body: shown(type, task, property('state', states.shift() ?? 'none left')),
      }),
    })
    await eventually(() => log().length === 2)
    expect(states).toEqual([])
    expect(log()).toEqual([`job ${task}`, 'ended'])
    expect(looks[0]?.body).toContain(
      `<propSet><type>HttpNfcLease</type><all>false</all><pathSet>state</pathSet>`,
    )
    expect(looks[0]?.body).toContain(`<obj type="HttpNfcLease">${task}</obj>`)
  })

  test('is over where the session that opened it says that it is gone, and nobody else’s word counts', async () => {
    const gone = { status: 500, body: FAULT.replaceAll('NotAuthenticated', 'ManagedObjectNotFound') }
    const probe = { kind: 'vsphere-task', task: 'session[a]b', type: 'HttpNfcLease' } as const
    const own = await started({ probe, cookie: OWN, look: () => gone })
    await eventually(() => own.log().length === 2)
    expect(own.log()).toEqual(['job session[a]b', 'ended'])
    const others = await started({
      probe,
      cookie: OWN,
      observer: { username: 'watcher', password: 'secret' },
      look: ({ headers }) => (headers['cookie'] === OWN ? { status: 500, body: FAULT } : gone),
    })
    await eventually(() => others.log().length === 2)
    expect(others.log()[1]).toMatch(/^unknown: lease session\[a\]b is not known/)
  })

  test('that ended with its session, and so cannot be seen any more, is unknown', async () => {
    const { log } = await started({
      probe: { kind: 'vsphere-task', task: 'session[a]b', type: 'HttpNfcLease' },
      cookie: OWN,
      look: () => ({ status: 500, body: FAULT }),
    })
    await eventually(() => log().length === 2)
    expect(log()[1]).toMatch(/^unknown: the session that started lease session\[a\]b is gone/)
  })
})

describe('a task whose result names others', () => {
  const result =
    '<attempted><vm type="VirtualMachine">vm-1</vm><task type="Task">task-2</task></attempted><attempted><vm type="VirtualMachine">vm-3</vm><task type="Task">task-4</task></attempted>'

  test('is over when all of them are', async () => {
    const states: Record<string, string> = { 'task-1': 'running', 'task-2': 'queued', 'task-4': 'running' }
    const { looks, log } = await started({
      probe: { kind: 'vsphere-task', task: 'task-1', parts: true },
      cookie: OWN,
      look: ({ body }) => {
        const task = /<obj type="Task">([^<]+)</.exec(body)?.[1] ?? ''
        const state = property('info.state', states[task] ?? 'none')
        return {
          status: 200,
          body: shown('Task', task, state + (task === 'task-1' ? property('info.result', result) : '')),
        }
      },
    })
    const asked = (task: string) => looks.filter(({ body }) => body.includes(`>${task}<`)).length
    await eventually(() => asked('task-1') >= 2)
    expect(asked('task-2')).toBe(0)
    states['task-1'] = 'success'
    await eventually(() => asked('task-2') >= 2)
    states['task-2'] = 'error'
    await eventually(() => asked('task-4') >= 2)
    expect(log()).toEqual(['job task-1'])
    states['task-4'] = 'success'
    await eventually(() => log().length === 2)
    expect(log()).toEqual(['job task-1', 'ended'])
  })

  test('is unknown where one of them is not known any more', async () => {
    const gone = FAULT.replaceAll('NotAuthenticated', 'ManagedObjectNotFound')
    const { log } = await started({
      probe: { kind: 'vsphere-task', task: 'task-1', parts: true },
      cookie: OWN,
      look: ({ body }) =>
        body.includes('>task-1<')
          ? {
              status: 200,
              body: shown(
                'Task',
                'task-1',
                property('info.state', 'success') + property('info.result', result),
              ),
            }
          : { status: 500, body: gone },
    })
    await eventually(() => log().length === 2)
    expect(log()[1]).toMatch(/^unknown: task task-1 is not known/)
  })
})

describe.each([
  ['SmsTask', '/sms/sdk', 'QuerySmsTaskInfo', 'urn:sms'],
  ['VslmTask', '/vslm/sdk', 'VslmQueryInfo', 'urn:vslm'],
] as const)('a task of the type %s', (type, target, method, namespace) => {
  const answered = (state: string) =>
    soap(
      `<${method}Response xmlns="${namespace}"><returnval><key>t</key><state>${state}</state></returnval></${method}Response>`,
    )

  test('is asked about where the call was sent, with the session that the call bore', async () => {
    const states = ['queued', 'running', 'success']
    const { looks, log } = await started({
      probe: { kind: 'vsphere-task', task: 't-1', type, target, session: '"in-header"' },
      look: () => ({ status: 200, body: answered(states.shift() ?? 'none left') }),
    })
    await eventually(() => log().length === 2)
    expect(states).toEqual([])
    expect(log()).toEqual(['job t-1', 'ended'])
    expect(looks[0]).toMatchObject({ method: 'POST', target })
    expect(looks[0]?.body).toContain(
      `<${method} xmlns="${namespace}"><_this type="${type}">t-1</_this></${method}>`,
    )
    expect(looks[0]?.body).toContain('<vcSessionCookie>&quot;in-header&quot;</vcSessionCookie>')
  })

  test('is asked about by the observer once that session is gone', async () => {
    const { looks, log } = await started({
      probe: { kind: 'vsphere-task', task: 't-1', type, target },
      cookie: OWN,
      observer: { username: 'watcher', password: 'secret' },
      look: ({ body }) =>
        body.includes('<vcSessionCookie>watcher<')
          ? { status: 200, body: answered('error') }
          : { status: 500, body: FAULT },
    })
    await eventually(() => log().length === 2)
    expect(log()).toEqual(['job t-1', 'ended'])
    expect(looks.map(({ body }) => /<vcSessionCookie>(\w+)</.exec(body)?.[1])).toEqual(['own', 'watcher'])
  })

  test('is not over by an answer that does not say so', async () => {
    const answers = [
      '',
      '<other/>',
      soap(`<OtherResponse><state>success</state></OtherResponse>`),
      answered('success'),
    ]
    const { looks, log } = await started({
      probe: { kind: 'vsphere-task', task: 't-1', type, target },
      cookie: OWN,
      look: () => ({ status: 200, body: answers.shift() ?? '' }),
    })
    await eventually(() => log().length === 2)
    expect(looks).toHaveLength(4)
  })
})
