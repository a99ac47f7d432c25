import { describe, expect, it } from 'vitest'
import { callHead } from '../../../gateway/spi/policy.ts'
import { policyOf } from './small-pack.ts'

const policy = policyOf(`
  - id: create
    method: POST
    path: "/p/{project?}/v"
    effect: mutate
    job: { kind: http, id: /v/id, probe: "/p/{project?}/v/{id}", pointer: /v/status, running: [busy] }
  - id: perhaps
    method: PUT
    path: /perhaps
    effect: mutate
    job: { kind: http, id: /job, probe: "/jobs/{id}", optional: true, statuses: [200, 202] }
  - id: remove
    method: DELETE
    path: "/p/{project}/v/{v}"
    effect: mutate
    job: { kind: http, probe: "/p/{project}/v/{v}" }
  - id: bare
    method: POST
    path: /bare
    effect: mutate
    job: { kind: http, id: "", probe: "/tasks/{id}" }
  - id: task
    method: POST
    path: /sdk
    effect: mutate
    job: { kind: vsphere-task }`)

function answer(method: string, target: string, status: number, body: string): unknown {
  const found = policy.classify(callHead(method, target), null)
  if (found.kind !== 'call' || found.job === null) return null
  const named = found.job.read(status, Buffer.from(body))
  return named.kind === 'job' && named.probe.kind === 'http' ? `${named.id} at ${named.probe.target}` : named
}

describe('a job rule', () => {
  it('names the job of an answer, with the call and the answer in its probe', () => {
    expect(answer('POST', '/p/a%20b/v', 202, '{"v":{"id":"7"}}')).toBe('create:7 at /p/a%20b/v/7')
    expect(answer('POST', '/p/v', 202, '{"v":{"id":"7"}}')).toBe('create:7 at /p/v/7')
    expect(answer('DELETE', '/p/x/v/y', 202, '')).toBe('remove:y at /p/x/v/y')
  })

  it('says how the probe is read', () => {
    const found = policy.classify(callHead('POST', '/p/x/v'), null)
    expect(found.kind === 'call' && found.job?.read(202, Buffer.from('{"v":{"id":"7"}}'))).toMatchObject({
      probe: { kind: 'http', pointer: '/v/status', runningValues: ['busy'], terminalStatuses: [404] },
    })
    expect(found.kind === 'call' && [found.job?.appliesTo(202), found.job?.appliesTo(500)]).toEqual([
      true,
      false,
    ])
    expect(found.kind === 'call' && found.job?.bodyBytesMax).toBe(65_536)
  })

  it('takes an answer that is nothing but the id', () => {
    expect(answer('POST', '/bare', 202, '"a:b"')).toBe('bare:a:b at /tasks/a%3Ab')
    for (const body of ['', '{}', '{"id":"a"}', 'null', '[]', '""', '"a" "b"'])
      expect(answer('POST', '/bare', 202, body)).toMatchObject({ kind: 'unreadable' })
  })

  it('takes an answer that names none for the end only where it may name none', () => {
    expect(answer('POST', '/p/x/v', 409, '{}')).toEqual({ kind: 'none' })
    expect(answer('POST', '/p/x/v', 202, '{}')).toMatchObject({ kind: 'unreadable' })
    expect(answer('PUT', '/perhaps', 200, '{}')).toEqual({ kind: 'none' })
    expect(answer('PUT', '/perhaps', 200, '{"job":"7"}')).toBe('perhaps:7 at /jobs/7')
  })

  it.each([
    ['{', 'no JSON'],
    ['', 'nothing'],
    ['{"v":{"id":{}}}', 'an id that is no text'],
    ['{"v":{"id":""}}', 'an empty id'],
    ['{"v":{"id":"a","id":"b"}}', 'two ids'],
    ['{"v":{"id":".."}}', 'an id that would leave the path'],
    ['{"v":{"id":"a/b"}}', 'an id with a slash'],
    [`{"v":{"id":"7"},"more":"${'a'.repeat(70_000)}"}`, 'an answer that is too long'],
    [`{"v":{"id":"${'a'.repeat(20_000)}"}}`, 'an id that no target can hold'],
  ])('finds %s unreadable: %s', (body) => {
    expect(answer('POST', '/p/x/v', 202, body)).toMatchObject({ kind: 'unreadable' })
  })

  it('names a vSphere Task, and nothing else of that form', () => {
    const soap = (inner: string) =>
      `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><R xmlns="urn:vim25">${inner}</R></e:Body></e:Envelope>`
    expect(answer('POST', '/sdk', 200, soap('<returnval type="Task">task-1</returnval>'))).toEqual({
      kind: 'job',
      id: 'task-1',
      probe: { kind: 'vsphere-task', task: 'task-1' },
    })
    for (const inner of [
      '',
      '<returnval type="HttpNfcLease">task-1</returnval>',
      '<returnval type="Task"/>',
      '<returnval type="Task">task-1</returnval><returnval type="Task">task-2</returnval>',
    ])
      expect(answer('POST', '/sdk', 200, soap(inner))).toMatchObject({ kind: 'unreadable' })
    expect(answer('POST', '/sdk', 200, 'lost')).toMatchObject({ kind: 'unreadable' })
    expect(answer('POST', '/sdk', 500, 'fault')).toEqual({ kind: 'none' })
  })
})
