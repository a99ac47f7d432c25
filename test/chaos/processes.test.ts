// A run waits for nobody without an end.

import { afterEach, describe, expect, it } from 'vitest'
import { type Patience, Program, type ProgramEnd } from './processes.ts'

const place = { address: '127.0.0.1', prefix: [] }
const patience = { startMsMax: 30_000, endMsMax: 10_000 }
let program: Program | null = null

afterEach(() => program?.end())

function programOf(code: string, less: Partial<Patience> = {}) {
  const hung: string[] = []
  const ends: ProgramEnd[] = []
  const argv = () => [process.execPath, '-e', code]
  program = new Program({
    name: 'party',
    place,
    argv,
    onEnd: (end) => ends.push(end),
    onHung: (what) => hung.push(what),
    patience: { ...patience, ...less },
  })
  return { program, hung, ends }
}

describe('a program that hangs', () => {
  it('at its start, is killed and counts as not started, not as crashed', async () => {
    const { program, hung, ends } = programOf('setInterval(() => {}, 1_000)', { startMsMax: 500 })
    expect(await program.start(true)).toBe(null)
    expect(hung).toEqual(['had not begun 0.5 s after its start'])
    expect(ends).toMatchObject([{ signal: 'SIGKILL', ours: true }])
    expect(program.running).toBe(false)
  })

  it('at its end, is killed', async () => {
    const code = 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1_000); process.send("here")'
    const { program, hung, ends } = programOf(code, { endMsMax: 300 })
    expect(await program.start(true)).toBe('here')
    await program.end('SIGTERM')
    expect(hung).toEqual(['had not ended 0.3 s after SIGTERM'])
    expect(ends).toMatchObject([{ signal: 'SIGKILL', ours: true }])
  })

  it('is not spoken of where it does what it has to', async () => {
    const { program, hung } = programOf('setInterval(() => {}, 1_000); process.send("here")')
    expect(await program.start(true)).toBe('here')
    await program.end('SIGTERM')
    expect(hung).toEqual([])
    expect(program.running).toBe(false)
  })
})
