// Holds every pack of policies/ to its own examples, and the engine to its promises on those packs.

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { invariant } from '../../gateway/core/invariant.ts'
import {
  compilePolicy,
  describePolicy,
  exampleCall,
  failedExamples,
  formatPolicyFault,
  loadPolicies,
} from '../../gateway/policy/index.ts'
import fc from '../support/fast-check.ts'

const folder = join(import.meta.dirname, '../../policies')
const { packs, faults } = loadPolicies(folder)

it('finds packs at all, and no fault in any', () => {
  expect(faults.map(formatPolicyFault)).toEqual([])
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'))
  expect(files.length).toBeGreaterThanOrEqual(3)
  expect([...packs.keys()]).toEqual(files.map((file) => file.replace('.yaml', '')).toSorted())
})

describe.each([...packs.values()].map((pack) => [pack.name, pack] as const))('the pack %s', (_, pack) => {
  const compiled = compilePolicy({ pack })
  invariant(compiled.ok, compiled.ok ? '' : compiled.faults.map(formatPolicyFault).join('\n'))
  const policy = compiled.value
  const { examples, rules } = pack.source

  it.each(examples.map((example, index) => [`${index}: ${example.call}`, example] as const))(
    'decides as its example %s says',
    (_name, example) => {
      expect(failedExamples(policy, [example])).toEqual([])
    },
  )

  it('has examples of a read, of a mutation, of a refusal, and of the default', () => {
    const effects = new Set(examples.map(({ expect: wanted }) => wanted.effect ?? wanted.refused))
    expect(effects).toContain('read')
    expect(effects).toContain('mutate')
    expect(effects).toContain('bad-request')
    expect(examples.some(({ expect: wanted }) => wanted.rule === 'default')).toBe(true)
  })

  it('says of itself what a reader needs', () => {
    const description = describePolicy(pack)
    expect(description.documentation.length).toBeGreaterThan(0)
    expect(description.rules).toHaveLength(rules.length)
  })

  it('decides every example the same when it is asked why, and asks for the body before it needs it', () => {
    for (const example of examples) {
      const { head, body } = exampleCall(example)
      const needed = policy.bodyBytesNeeded(head)
      const seen = needed > 0 ? body : null
      const explained = policy.explain(head, seen)
      const bare = (value: unknown) => JSON.stringify(value)
      expect(bare(explained.classification)).toBe(bare(policy.classify(head, seen)))
      if (explained.classification.kind === 'call') expect(explained.trace.length).toBeGreaterThan(0)
    }
  })

  it('never lets a broken example pass as a read or a session call that was a mutation', () => {
    const mutations = examples.filter((example) => {
      const { head, body } = exampleCall(example)
      const found = policy.classify(head, policy.bodyBytesNeeded(head) > 0 ? body : null)
      return (
        found.kind === 'call' &&
        found.effect === 'mutate' &&
        body !== null &&
        policy.bodyBytesNeeded(head) > 0
      )
    })
    if (mutations.length === 0) return
    fc.assert(
      fc.property(fc.constantFrom(...mutations), fc.nat(), fc.nat(255), (example, at, byte) => {
        const { head, body } = exampleCall(example)
        invariant(body !== null, 'only examples with a body are here')
        const broken = Buffer.from(body)
        broken[at % broken.length] = byte
        const found = policy.classify(head, broken)
        expect(found.kind === 'refused' || ['mutate', 'deny'].includes(found.effect)).toBe(true)
      }),
      { numRuns: 2000 },
    )
  })
})
