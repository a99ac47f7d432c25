import { describe, expect, it } from 'vitest'
import { mayBeSameLogin, readLoginName } from '../../../gateway/core/login-name.ts'

const same = (one: string, other: string): boolean => mayBeSameLogin(readLoginName(one), readLoginName(other))

describe('two login names', () => {
  it('may be one account’s in whichever form each is written', () => {
    for (const [one, other] of [
      ['nova-3', 'NOVA-3'],
      ['VSPHERE.LOCAL\\nova-3', 'nova-3@vsphere.local'],
      ['EXAMPLE\\nova-3', 'nova-3@example.com'],
      ['nova-3', 'nova-3@vsphere.local'],
      ['\\nova-3', ' nova-3 '],
      ['a@b@example.com', 'EXAMPLE.COM\\a@b'],
    ] as const) {
      expect(same(one, other), `${one} ${other}`).toBe(true)
      expect(same(other, one), `${other} ${one}`).toBe(true)
    }
  })

  it('are two accounts’ where users or whole domains differ', () => {
    for (const [one, other] of [
      ['nova-3', 'nova-33'],
      ['nova-3@example.com', 'nova-3@example.org'],
      ['EXAMPLE\\nova-3', 'nova-3@examples.com'],
      ['nova-3@eu.example.com', 'nova-3@example.com'],
      ['EXAMPLE\\nova-3', 'OTHER\\nova-3'],
    ] as const)
      expect(same(one, other), `${one} ${other}`).toBe(false)
  })
})
