import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { describeWith } from '../house/availability.ts'
import { FOUNDING_RULES, OTHER_RULES } from './mutants.ts'
import { SOURCES, search } from './spin.ts'

const SEARCH_MS_MAX = 900_000
const MUTANT_MS_MAX = 240_000
const root = join(import.meta.dirname, '..', '..')

/** `statesMin`: a model in which little happens keeps every promise. */
const CONFIGURATIONS = [
  { name: 'exclusive grants, a crash', defines: [], statesMin: 3_000_000 },
  { name: 'readers and writers, a crash', defines: ['SHARED'], statesMin: 3_000_000 },
  { name: 'a session that takes the lock twice, a crash', defines: ['TWICE'], statesMin: 400_000 },
  { name: 'exclusive grants, a gateway that outlives its lease', defines: ['LAPSE'], statesMin: 5_000_000 },
  {
    name: 'a session that takes the lock twice, a lost lease',
    defines: ['LAPSE', 'TWICE'],
    statesMin: 400_000,
  },
  { name: 'readers and a writer, a lost lease', defines: ['LAPSE', 'SHARED', 'TWICE'], statesMin: 5_000_000 },
  { name: 'a writer who goes over to reading, a crash', defines: ['DOWNGRADE'], statesMin: 4_000_000 },
  { name: 'a reader who upgrades beside another, a crash', defines: ['UPGRADE'], statesMin: 3_000_000 },
  {
    name: 'a reader who upgrades, and a writer, a crash',
    defines: ['UPGRADE', 'WRITER'],
    statesMin: 1_000_000,
  },
  {
    name: 'an operator’s word in place of the quiet time, a crash',
    defines: ['VOUCH'],
    statesMin: 4_000_000,
  },
]

describeWith(['spin', 'gcc'], 'the protocol as a model, searched to its end by spin', () => {
  it.each(CONFIGURATIONS)(
    'keeps every promise: $name',
    async ({ name, defines, statesMin }) => {
      const { states, depth, seconds, broken } = await search(defines, {
        optimize: true,
        timeoutMs: SEARCH_MS_MAX,
      })
      process.stdout.write(`model: ${name}: ${states} states, depth ${depth}, ${seconds} s\n`)
      expect(broken).toBeNull()
      expect(states).toBeGreaterThan(statesMin)
    },
    SEARCH_MS_MAX,
  )

  it.each([...FOUNDING_RULES, ...OTHER_RULES])(
    'breaks $breaks without the rule that $rule',
    async ({ define, in: configuration, breaks }) => {
      const { broken } = await search([...configuration, define], {
        optimize: false,
        timeoutMs: MUTANT_MS_MAX,
      })
      expect(broken).toMatch(new RegExp(`^${breaks}: `))
    },
    MUTANT_MS_MAX,
  )
})

describe('what docs/protocol.md says of the model', () => {
  const section =
    /^## The model$([\s\S]*?)^## /m.exec(readFileSync(join(root, 'docs/protocol.md'), 'utf8'))?.[1] ?? ''
  const model = [...SOURCES.values()].join('\n')

  it('names only what is in the model and in the code', () => {
    const rows = section.split('\n').filter((line) => line.includes('.ts`: `'))
    expect(rows.length).toBeGreaterThan(10)
    const missing: string[] = []
    for (const row of rows) {
      const [inModel = '', , inCode = ''] = row.split(' | ')
      for (const [, name = ''] of inModel.matchAll(/`(\w+)`/g))
        if (!new RegExp(`\\b${name}\\b`).test(model)) missing.push(`${name} in the model`)
      for (const [, path = '', names = ''] of inCode.matchAll(/`([\w/-]+\.ts)`: ((?:`#?\w+`(?:, )?)+)/g)) {
        const file = join(root, 'gateway', path)
        const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
        for (const [, name = ''] of names.matchAll(/`(#?\w+)`/g))
          if (!text.includes(`${name}(`)) missing.push(`${name} in ${path}`)
      }
    }
    expect(missing).toEqual([])
  })

  it('has a rule for each one that can be taken away', () => {
    const inModel = new Set([...model.matchAll(/\bNO_[A-Z_]+\b/g)].map(([name]) => name))
    const names = new Set([...FOUNDING_RULES, ...OTHER_RULES].map(({ define }) => define))
    const values = ['NO_CALL', 'NO_RECORD', 'NO_FENCE', 'NO_ENDING', 'NO_NEWER_OPENED']
    expect([...inModel].filter((name) => !names.has(name) && !values.includes(name))).toEqual([])
    expect([...names].filter((name) => !inModel.has(name))).toEqual([])
    expect(FOUNDING_RULES.length).toBe(17)
  })
})
