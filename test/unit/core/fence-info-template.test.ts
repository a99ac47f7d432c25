// What a plan knows of its holders: over what they say, and never with a hole in it.

import { describe, expect, test } from 'vitest'
import {
  type FenceInfoTemplate,
  type FenceInfoValue,
  fillFenceInfo,
  templateFault,
} from '../../../gateway/core/fence-info-template.ts'

const HOSTS: Readonly<Record<string, Readonly<Record<string, FenceInfoValue>>>> = {
  'nova-1': { address: '10.0.0.11', port: 623, note: '' },
}

function fill(
  template: FenceInfoTemplate,
  holder: Readonly<Record<string, unknown>> = { id: 'n', host: 'nova-1' },
  fenceInfo: Readonly<Record<string, unknown>> = {},
) {
  const host = (name: string) => (Object.hasOwn(HOSTS, name) ? (HOSTS[name] ?? null) : null)
  return fillFenceInfo(template, { holder, fenceInfo, host })
}

describe('a fenceInfo template', () => {
  test('puts together what holder, fenceInfo and inventory say, and keeps numbers where they stand alone', () => {
    const template = {
      plug: '{{holder.host}}',
      url: 'https://{{ host.address }}:{{host.port}}/{{fenceInfo.slot}}',
      port: '{{host.port}}',
      lanplus: true,
    }
    expect(fill(template, undefined, { slot: 3, other: 'kept' })).toEqual({
      kind: 'filled',
      fenceInfo: {
        slot: 3,
        other: 'kept',
        plug: 'nova-1',
        url: 'https://10.0.0.11:623/3',
        port: 623,
        lanplus: true,
      },
    })
  })

  test('stands over what the holder says', () => {
    const filled = fill({ address: '{{host.address}}' }, undefined, { address: '10.9.9.9' })
    expect(filled).toEqual({ kind: 'filled', fenceInfo: { address: '10.0.0.11' } })
  })

  test.each([
    ['{{holder.rack}}', { host: 'nova-1' }, 'a: the session was opened without holder.rack'],
    ['{{fenceInfo.pid}}', { host: 'nova-1' }, 'a: the session was opened without fenceInfo.pid'],
    [
      '{{host.address}}',
      {},
      'a: the session was opened without holder.host, by which the inventory is asked',
    ],
    ['{{host.address}}', { host: 'nova-7' }, 'a: the inventory has no host "nova-7"'],
    ['{{host.plug}}', { host: 'nova-1' }, 'a: the inventory says no plug of host "nova-1"'],
    ['{{host.note}}', { host: 'nova-1' }, 'a: the inventory says no note of host "nova-1"'],
    ['{{holder.toString}}', { host: 'nova-1' }, 'a: the session was opened without holder.toString'],
    ['{{host.address}}', { host: '__proto__' }, 'a: the inventory has no host "__proto__"'],
    ['{{holder.list}}', { list: ['x'] }, 'a: the session was opened without holder.list'],
  ])('%s of %j is a fault that says what is missing', (value, holder, fault) => {
    expect(fill({ a: value }, holder)).toEqual({ kind: 'faulty', faults: [fault] })
  })

  test('names every fault at once', () => {
    expect(fill({ a: '{{holder.x}}-{{holder.y}}', b: '{{holder.x}}' })).toMatchObject({
      faults: [
        'a: the session was opened without holder.x',
        'a: the session was opened without holder.y',
        'b: the session was opened without holder.x',
      ],
    })
  })

  test('what a value says is never read as a template again', () => {
    expect(fill({ a: 'x{{fenceInfo.b}}' }, undefined, { b: '{{host.address}}$&' })).toMatchObject({
      fenceInfo: { a: 'x{{host.address}}$&' },
    })
  })
})

test.each([
  ['{{holder.host}}', true, null],
  [7, false, null],
  ['plain', false, null],
  ['{{host.address}}', false, 'it asks the inventory, and there is none'],
  ['{{holder}}', true, '"{{holder}}" is no such template'],
  ['{{session.id}}', true, '"{{session.id}}" is no such template'],
  ['{{holder.host', true, '"{{holder.host" is no such template'],
  ['holder.host}}', true, '"holder.host}}" is no such template'],
] as const)('%j with an inventory %s: %s', (value, hasInventory, fault) => {
  expect(templateFault(value, hasInventory)).toBe(fault)
})
