// What an answer of the property collector says of a task, and that nothing but the task's own state is taken for it.

import { describe, expect, test } from 'vitest'
import { readTask } from '../../../gateway/proxy/vsphere-tasks.ts'

const object = (task: string, name: string, value: string) =>
  `<objects><obj type="Task">${task}</obj><propSet><name>${name}</name><val>${value}</val></propSet></objects>`
const answer = (inner: string) =>
  `<e:Envelope><e:Body><r><returnval>${inner}</returnval></r></e:Body></e:Envelope>`

describe('the state of a task', () => {
  test('is read from its own object and property', () => {
    const body = answer(
      object('task-1', 'info.state', 'success') + object('task-12', 'info.state', 'running'),
    )
    expect(readTask({ status: 200, body }, 'task-12')).toEqual({ kind: 'state', state: 'running', parts: [] })
  })

  test.each([
    ['of another task', 200, answer(object('task-1', 'info.state', 'success'))],
    ['of another property', 200, answer(object('task-12', 'info.progress', 'success'))],
    ['with another status', 503, answer(object('task-12', 'info.state', 'success'))],
    [
      'beside a fault',
      200,
      answer(`${object('task-12', 'info.state', 'success')}<missingSet><fault/></missingSet>`),
    ],
    ['cut off', 200, answer(object('task-12', 'info.state', 'success')).slice(0, -9)],
    ['not there', 200, ''],
  ])('is unclear where the answer is %s', (_name, status, body) => {
    expect(readTask({ status, body }, 'task-12').kind).toBe('unclear')
  })
})
