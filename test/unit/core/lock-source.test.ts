import { describe, expect, it } from 'vitest'
import {
  agreedText,
  foreignLock,
  groupsOf,
  type LockSource,
  placeholdersOf,
  wholeName,
} from '../../../gateway/core/lock-source.ts'

const VOLUME = '5aa1c0de-0000-4000-8000-000000000001'

const TOOZ: LockSource = {
  name: 'tooz',
  prefix: '/tooz/locks',
  rules: [
    {
      match: wholeName('cinder-(?<id>[0-9a-f-]{36})-delete_volume'),
      lock: 'cinder/volume/{id}',
      holder: 'deleter of {id}',
      fenceInfo: { volume: '{id}', cluster: 'ceph', retries: 3 },
    },
    {
      match: wholeName('cinder-(?<id>[0-9a-f-]{36})'),
      lock: 'cinder/volume/{id}',
      holder: null,
      fenceInfo: {},
    },
    { match: wholeName('host-(?<name>.*)'), lock: 'host/{name}', holder: null, fenceInfo: {} },
  ],
  plan: null,
  unfenced: false,
  onDisappearance: { keyDeleted: 'released', leaseEnded: 'expired' },
}

function lockOf(key: string): string | null {
  return foreignLock([TOOZ], key)?.lock ?? null
}

describe('a key of a source', () => {
  it('stands for the lock that its rule makes of what was matched', () => {
    expect(foreignLock([TOOZ], `/tooz/lockscinder-${VOLUME}-delete_volume`)).toMatchObject({
      lock: `cinder/volume/${VOLUME}`,
      holder: { id: `deleter of ${VOLUME}`, source: 'tooz' },
      fenceInfo: { volume: VOLUME, cluster: 'ceph', retries: 3 },
    })
  })

  it('stands for the same lock under another name', () => {
    expect(lockOf(`/tooz/lockscinder-${VOLUME}`)).toBe(`cinder/volume/${VOLUME}`)
  })

  it('is matched whole: what only begins or ends like it is another', () => {
    for (const key of [
      `x${VOLUME}`,
      `cinder-${VOLUME}0`,
      `cinder-${VOLUME}-delete_volumes`,
      `cinder-${VOLUME}\n`,
    ])
      expect(lockOf(`/tooz/locks${key}`)).toBeNull()
    expect(lockOf(`/tooz/lock${VOLUME}`)).toBeNull()
  })

  it('names its holder by itself where no rule does', () => {
    const key = `/tooz/lockscinder-${VOLUME}`
    expect(foreignLock([TOOZ], key)?.holder).toEqual({ id: key, source: 'tooz' })
  })

  it('is none of ours where it comes to no lock name', () => {
    expect(lockOf('/tooz/lockshost-a/b')).toBe('host/a/b')
    for (const name of ['', '/', 'a//b', 'a\u0000']) expect(lockOf(`/tooz/lockshost-${name}`)).toBeNull()
  })

  it('is none of ours where it was not UTF-8: several keys read the same then', () => {
    expect(lockOf('/tooz/lockshost-\u{FFFD}')).toBeNull()
  })
})

describe('a pattern', () => {
  it('is anchored as a whole, alternatives too', () => {
    const match = wholeName('a|b')
    expect(['a', 'b', 'ab', 'xb', 'ax'].map((name) => match.test(name))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ])
  })

  it('is not completed by what is put around it', () => {
    for (const pattern of ['a)(?:b', '(', '[', '(?<a>x)(?<a>y)'])
      expect(() => wholeName(pattern)).toThrow(SyntaxError)
  })

  it('tells the groups that it has, also those of one alternative', () => {
    expect(groupsOf(wholeName('(?<a>x)(?<b>y)?|(?<c>z)'))).toEqual(['a', 'b', 'c'])
    expect(groupsOf(wholeName('x'))).toEqual([])
  })

  it('fills what did not take part with nothing', () => {
    expect(placeholdersOf('{a}/{b}{a}')).toEqual(['a', 'b', 'a'])
  })
})

describe('the text to compare', () => {
  it('is empty without sources, and the same in another order', () => {
    const other = { ...TOOZ, name: 'a', prefix: '/locks/' }
    expect(agreedText([])).toBe('')
    expect(agreedText([TOOZ, other])).toBe(agreedText([other, TOOZ]))
  })

  it('differs where a pattern, a template, a plan or a meaning does', () => {
    const [rule, ...rules] = TOOZ.rules
    if (rule === undefined) throw new Error('there is a rule')
    const others: LockSource[] = [
      { ...TOOZ, rules: [{ ...rule, match: wholeName('x') }, ...rules] },
      { ...TOOZ, rules: [{ ...rule, lock: 'x' }, ...rules] },
      { ...TOOZ, rules },
      { ...TOOZ, plan: 'x' },
      { ...TOOZ, unfenced: true },
      { ...TOOZ, onDisappearance: { keyDeleted: 'expired', leaseEnded: 'expired' } },
    ]
    expect(new Set([TOOZ, ...others].map((source) => agreedText([source]))).size).toBe(others.length + 1)
  })
})
