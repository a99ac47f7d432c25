// A call is brought to one end, and whoever is responsible for it hears of seal and drain limit.

import { describe, expect, test } from 'vitest'
import { OpenCall } from '../../../gateway/proxy/open-call.ts'
import { FakeEntry } from '../../support/echo-backend-gateway.ts'

function entry(): FakeEntry {
  return new FakeEntry({
    backend: 'b',
    method: 'POST',
    target: '/',
    rule: 'r',
    locks: [],
    tokens: [],
    waitMs: 0,
    quietMs: null,
  })
}

describe('an open call', () => {
  test.each([
    ['ended', 'unknown'],
    ['unknown', 'ended'],
    ['ended', 'ended'],
    ['unknown', 'unknown'],
  ] as const)('that is %s does not become %s', (first, second) => {
    const reported = entry()
    const call = new OpenCall(reported)
    const say = { ended: () => call.ended(), unknown: () => call.unknown('why') }
    say[first]()
    say[second]()
    call.job('late', { kind: 'vsphere-task', task: 't' })
    expect(reported.log).toEqual([first === 'ended' ? 'ended' : 'unknown: why'])
  })

  test('tells the last listener only, also one that comes late', () => {
    const heard: string[] = []
    const reported = entry()
    const call = new OpenCall(reported)
    call.whenSealed(() => heard.push('sealed, first'))
    call.whenSealed(() => heard.push('sealed'))
    call.whenAbandoned(() => heard.push('abandoned, first'))
    call.whenAbandoned(() => heard.push('abandoned'))
    reported.seal()
    reported.abandon()
    expect(heard).toEqual(['sealed', 'abandoned'])
    call.whenSealed(() => heard.push('sealed, late'))
    call.whenAbandoned(() => heard.push('abandoned, late'))
    expect(heard.slice(2)).toEqual(['sealed, late', 'abandoned, late'])
  })
})
