// What a call to vSphere has started, by its answer: a method that is called so names a task, and any other may.

import { describe, expect, it } from 'vitest'
import { invariant } from '../../../gateway/core/invariant.ts'
import { classifySoap, vspherePolicy } from './vsphere-pack.ts'

const policy = vspherePolicy()

function reading(method: string, status: number, inner: string) {
  const found = classifySoap(policy, { method, target: ['VirtualMachine', 'vm-1'] })
  invariant(found.kind === 'call' && found.job !== null, `${method} has no job`)
  const body = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><${method}Response xmlns="urn:vim25">${inner}</${method}Response></e:Body></e:Envelope>`
  const read = found.job.read(status, Buffer.from(body))
  return read.kind === 'job' ? read.id : read.kind
}

const task = '<returnval type="Task">task-7</returnval>'

describe('the answer of vSphere', () => {
  it.each([
    ['PowerOffVM_Task', 200, task, 'task-7'],
    ['PowerOffVM_Task', 200, '', 'unreadable'],
    ['PowerOffVM_Task', 200, '<returnval type="Folder">group-v3</returnval>', 'unreadable'],
    ['PowerOffVM_Task', 200, '<returnval type="Task">70,000 letters</returnval>', 'unreadable'],
    ['PowerOffVM_Task', 500, task, 'none'],
    ['UnregisterVM', 200, '', 'none'],
    ['UnregisterVM', 200, '<returnval type="Folder">group-v3</returnval>', 'none'],
    ['UnregisterVM', 200, '<returnval>text</returnval><returnval>text</returnval>', 'none'],
    ['UnregisterVM', 200, '<returnval>70,000 letters</returnval>', 'none'],
    ['NotYetInvented', 200, task, 'task-7'],
    ['NotYetInvented', 200, task + task, 'unreadable'],
    ['NotYetInvented', 200, '<returnval type="Task"><!-- -->task-7</returnval>', 'unreadable'],
  ])('of %s, with status %i and %s, names %s', (method, status, inner, expected) => {
    const written = inner.replace('70,000 letters', 'x'.repeat(70_000))
    expect(reading(method, status, written)).toBe(expected)
  })
})
