import { describe, expect, it } from 'vitest'
import { lockSources } from '../../../gateway/config/index.ts'
import { foreignLock } from '../../../gateway/core/lock-source.ts'
import { faultsOf, read, warningsOf } from './read.ts'

const HEAD = `store: { etcd: { endpoints: ['http://127.0.0.1:2379'] } }
fencers: { k: { driver: process } }
plans: { p: { levels: [[k]] } }
defaultPlan: p
sources:
`
const TOOZ = `  tooz:
    prefix: /tooz/locks
    locks:
      - { match: 'cinder-(?<id>[0-9a-f-]{36})', lock: 'cinder/volume/{id}', fenceInfo: { id: '{id}' } }
`

describe('sources', () => {
  it('come with what the disappearance of a key means by default, and no plan of their own', () => {
    const result = read(HEAD + TOOZ)
    if (result.kind === 'faulty') throw new Error(JSON.stringify(result.faults))
    const [source] = lockSources(result.config.sources)
    if (source === undefined) throw new Error('there is a source')
    expect(source).toMatchObject({
      name: 'tooz',
      plan: null,
      unfenced: false,
      onDisappearance: { keyDeleted: 'released', leaseEnded: 'expired' },
    })
    const id = '5aa1c0de-0000-4000-8000-000000000001'
    expect(foreignLock([source], `/tooz/lockscinder-${id}`)).toMatchObject({
      lock: `cinder/volume/${id}`,
      fenceInfo: { id },
    })
  })

  it('are refused beside the embedded store, which nobody else reaches', () => {
    expect(faultsOf(`store: { embedded: { path: data } }\nsources:\n${TOOZ}`)).toMatchInlineSnapshot(`
      "f:3:3: sources are locks that others keep in etcd, and nobody else reaches the embedded store — expected no sources, or a store in etcd
      "
    `)
  })

  it('are refused where their keys could not be told from ours, or from one another', () => {
    expect(
      faultsOf(`${HEAD}  a: { prefix: /, locks: [{ match: x, lock: x }] }
  b: { prefix: /fencegate/locks/x, locks: [{ match: x, lock: x }] }
  c: { prefix: /fencegates, locks: [{ match: x, lock: x }] }
  d: { prefix: /fencegates/locks, locks: [{ match: x, lock: x }] }
`),
    ).toMatchInlineSnapshot(`
      "f:6:16: keys under / and under /fencegate/ (store.etcd.prefix) cannot be told apart — expected prefixes of which none begins with another
      f:7:16: keys under /fencegate/locks/x and under /fencegate/ (store.etcd.prefix) cannot be told apart — expected prefixes of which none begins with another
      f:8:16: keys under /fencegates and under / (sources.a) cannot be told apart — expected prefixes of which none begins with another
      f:9:16: keys under /fencegates/locks and under / (sources.a) cannot be told apart — expected prefixes of which none begins with another
      "
    `)
  })

  it('are refused with a pattern or a word that cannot be meant', () => {
    expect(
      faultsOf(`${HEAD}  a:
    prefix: /tooz/locks
    locks:
      - { match: 'a)(?:b', lock: x }
    onDisappearance: { keyDeleted: gone }
  b: { prefix: /locks/, locks: [], plan: p, unfenced: true }
`),
    ).toMatchInlineSnapshot(`
      "f:9:18: sources.a.locks[0].match is "a)(?:b" — expected a regular expression, with named groups such as (?<id>[0-9a-f-]{36})
      f:10:36: sources.a.onDisappearance.keyDeleted is "gone" — expected released or expired
      f:11:32: sources.b.locks is an empty list — expected at least one section with match and lock
      f:11:55: sources.b.unfenced is true — expected plan or unfenced, not both
      "
    `)
  })

  it('are refused with a template for which nothing was matched, and a plan that is not there', () => {
    expect(
      faultsOf(`${HEAD}  a:
    prefix: /tooz/locks
    locks:
      - { match: '(?<id>x)|(?<host>y)', lock: 'x/{name}', holder: '{}', fenceInfo: { a: '{host}', b: '{c}', d: 1 } }
      - { match: x, lock: '{id}' }
    plan: q
`),
    ).toMatchInlineSnapshot(`
      "f:9:47: {name} stands for no group of match — expected one of {id}, {host}
      f:9:67: {} stands for no group of match — expected one of {id}, {host}
      f:9:102: {c} stands for no group of match — expected one of {id}, {host}
      f:10:27: {id} stands for no group of match — expected a group such as (?<id>…) in match
      f:11:11: there is no plan "q" — expected one of p; did you mean "p"?
      "
    `)
  })

  it('are warned of where the default plan would not know whom to fence', () => {
    const bare = TOOZ.replace(", fenceInfo: { id: '{id}' }", '')
    expect(warningsOf(HEAD + bare)).toContain('its holders are fenced')
    expect(warningsOf(`${HEAD + bare}    unfenced: true\n`)).not.toContain('its holders are fenced')
    expect(warningsOf(HEAD + TOOZ)).not.toContain('its holders are fenced')
  })
})
