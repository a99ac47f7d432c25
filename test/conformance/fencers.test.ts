// One suite for every driver in fencers/: what gateway/spi/fencer.ts asks of it. A driver is found by its file; its
// `example` is what the general part runs on, and its world (fencer-worlds/) is something alive to fence.

import { createHook } from 'node:async_hooks'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { loadFencerRegistry } from '../../gateway/fencing/registry.ts'
import type { Fencer, FencerDriver } from '../../gateway/spi/fencer.ts'
import { anAttemptNow, realClock } from '../integration/fencers/support.ts'
import { type Cell, FAILURES, SECRET, SLOW, type World, type WorldMaker } from './fencer-worlds/world.ts'

const registry = await loadFencerRegistry()
const PROOFS = ['no-new-calls', 'swept', 'blocks', 'flushed']
const context = { clock: realClock, note: () => undefined }

const maker = z.custom<WorldMaker>(
  (value) => z.looseObject({ unavailable: z.function(), enter: z.function() }).safeParse(value).success,
)
const makers = new Map<string, WorldMaker>()
for (const file of readdirSync(new URL('fencer-worlds', import.meta.url))) {
  if (file === 'world.ts') continue
  const module: unknown = await import(new URL(`fencer-worlds/${file}`, import.meta.url).href)
  makers.set(file.replace(/\.ts$/, ''), z.object({ default: maker }).parse(module).default)
}

/** Files with tests of several drivers. */
const ALSO_OF: Readonly<Record<string, readonly string[]>> = {
  'fence-vmware-soap': ['fence-agent'],
  'vcenter-trouble': ['vsphere-session', 'vsphere-account'],
}

test('the suite has found the files of fencers/', () => {
  const files = readdirSync(new URL('../../fencers', import.meta.url)).filter((name) => name.endsWith('.ts'))
  expect(registry.ids).toHaveLength(files.length)
  expect(files.length).toBeGreaterThan(2)
})

describe.each(registry.ids)('%s', (id) => {
  const driver = registry.driver(id)
  if (driver === null) throw new Error(`the registry lists ${id} and does not have it`)
  const { example } = driver
  const open: Fencer<unknown>[] = []
  const worlds: World[] = []
  afterEach(async () => {
    for (const fencer of open.splice(0)) await fencer.close?.()
    for (const world of worlds.splice(0)) await world.close()
  })

  test('says of every option, and of every key that it wants, what it means', () => {
    for (const schema of [driver.options, driver.fenceInfo]) {
      const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
      for (const [name, terms] of Object.entries(properties))
        expect(z.looseObject({ description: z.string().min(5) }).safeParse(terms).success, name).toBe(true)
    }
  })

  test('shows an example that its own schemas accept', () => {
    expect(example).toBeDefined()
    expect(driver.options.safeParse(example?.options).error).toBeUndefined()
    expect(driver.fenceInfo.safeParse(example?.fenceInfo).error).toBeUndefined()
  })

  test('describes itself: one line, and schemas that a listing can print', () => {
    expect(driver.id).toBe(id)
    expect(driver.summary).toMatch(/^[^\n]{10,100}$/)
    for (const schema of [driver.options, driver.fenceInfo]) {
      expect(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })).toMatchObject({
        type: 'object',
      })
    }
  })

  test('refuses an option that it does not know, and leaves other fencers their keys of fenceInfo', () => {
    expect(driver.options.safeParse({ ...example?.options, noSuchOption: 1 }).success).toBe(false)
    expect(driver.fenceInfo.safeParse({ ...example?.fenceInfo, ofAnotherFencer: { a: 1 } }).success).toBe(
      true,
    )
    expect(driver.fenceInfo.safeParse({}).success).toBe(false)
  })

  test('claims proofs of the protocol only, and always the same', () => {
    const options = driver.options.parse(example?.options)
    const proofs = driver.proves(options)
    expect(PROOFS).toEqual(expect.arrayContaining([...proofs]))
    expect(new Set(proofs).size).toBe(proofs.length)
    expect(driver.proves(options)).toEqual(proofs)
  })

  test('names the target of equal fenceInfos alike', () => {
    const target = () => driver.target(driver.fenceInfo.parse({ ...example?.fenceInfo }))
    expect(target()).not.toBe('')
    expect(target()).toBe(target())
  })

  test('does no I/O when it is created', async () => {
    const options = driver.options.parse(example?.options)
    const seen: string[] = []
    const hook = createHook({
      init: (_asyncId, type) => {
        if (!/^(PROMISE|Immediate|TickObject|Microtask|Timeout)$/.test(type)) seen.push(type)
      },
    })
    hook.enable()
    const fencer = driver.create(options, context)
    hook.disable()
    open.push(fencer)
    await fencer.close?.()
    await fencer.close?.()
    expect(seen).toEqual([])
  })

  const worldMaker = makers.get(id)
  const worldAvailable = () => worldMaker === undefined || worldMaker.unavailable() === null
  // A driver without a world of its own here fails below: nobody would have seen it fence.
  describe.skipIf(!worldAvailable())('with something alive to fence', () => {
    beforeAll(() => worldMaker?.prepare(), 240_000)
    afterAll(() => worldMaker?.leave())

    async function enter(): Promise<{ world: World; fencer: Fencer<unknown>; info: unknown }> {
      if (worldMaker === undefined) throw new Error(`there is no world for ${id} in fencer-worlds/`)
      const world = await worldMaker.enter()
      worlds.push(world)
      const fencer = driver === null ? null : driver.create(driver.options.parse(world.options), context)
      if (fencer === null) throw new Error(`no driver ${id}`)
      open.push(fencer)
      return { world, fencer, info: opened(driver, world.fenceInfo) }
    }

    test('finds nothing wrong with a fenceInfo that it can act on', async () => {
      const { fencer, info } = await enter()
      expect(() => fencer.check?.(info)).not.toThrow()
    })

    test('never says "fenced" of a live target', async () => {
      const { world, fencer, info } = await enter()
      for (let i = 0; i < 3; i++) expect((await fencer.verify(info, anAttemptNow())).state).not.toBe('fenced')
      expect(await world.isAlive()).toBe(true)
    })

    test('fences, is seen to have, and may do it again', async () => {
      const { world, fencer, info } = await enter()
      for (let number = 1; number <= 3; number++) {
        const attempt = anAttemptNow({ number })
        await fencer.fence(info, attempt)
        await expect
          .poll(async () => (await fencer.verify(info, attempt)).state, { timeout: 10_000 })
          .toBe('fenced')
      }
      await expect.poll(() => world.isAlive()).toBe(false)
    })

    test('what is slow is waited for', async () => {
      const { world, fencer, info } = await enter()
      if (world.slow === undefined) {
        expect(makers.get(id)?.failures.slow).not.toEqual(SLOW)
        return
      }
      await world.slow()
      const attempt = anAttemptNow()
      let done = false
      const fencing = fencer.fence(info, attempt).finally(() => {
        done = true
      })
      const seen = await fencer.verify(info, attempt)
      if (seen.state === 'fenced') expect(await world.isAlive()).toBe(false)
      await fencing
      expect(done).toBe(true)
      await expect
        .poll(async () => (await fencer.verify(info, attempt)).state, { timeout: 10_000 })
        .toBe('fenced')
      await expect.poll(() => world.isAlive()).toBe(false)
    })

    test('a target that went by itself is success', async () => {
      const { world, fencer, info } = await enter()
      await world.destroy()
      const attempt = anAttemptNow()
      await fencer.fence(info, attempt)
      await expect
        .poll(async () => (await fencer.verify(info, attempt)).state, { timeout: 10_000 })
        .toBe('fenced')
    })

    test('leaves the target alone once it may not strike any more', async () => {
      const { world, fencer, info } = await enter()
      await expect(fencer.fence(info, anAttemptNow({ mayStrike: false }))).rejects.toThrow()
      const late = anAttemptNow()
      late.abort()
      await expect(fencer.fence(info, late)).rejects.toThrow()
      expect(await world.isAlive()).toBe(true)
    })

    test('returns soon after its deadline, whatever happens', async () => {
      const { fencer, info } = await enter()
      const startedMs = realClock.monotonicMs()
      await fencer.fence(info, anAttemptNow({ lengthMs: 1 })).catch(() => undefined)
      await fencer.verify(info, anAttemptNow({ lengthMs: 1 })).catch(() => undefined)
      expect(realClock.monotonicMs() - startedMs).toBeLessThan(2_000)
    })

    test('monitors without changing anything', async () => {
      const { world, fencer } = await enter()
      await fencer.monitor({ ...context, signal: AbortSignal.timeout(10_000) })
      expect(await world.isAlive()).toBe(true)
    })

    test('says no secret in notes, reasons and evidence', async () => {
      const { fencer, info } = await enter()
      const attempt = anAttemptNow()
      const said: unknown[] = [await fencer.verify(info, attempt)]
      await fencer.fence(info, attempt)
      said.push(await fencer.verify(info, attempt), attempt.notes)
      expect(JSON.stringify(said)).not.toContain(SECRET)
    })
  })
})

describe('each way to fail', () => {
  const integration = new URL('../integration/fencers/', import.meta.url)
  const sources = (id: string): string =>
    readdirSync(integration)
      .filter((name) => name.endsWith('.test.ts') && ALSO_OF[name.replace('.test.ts', '')] === undefined)
      .filter((name) => name === `${id}.test.ts` || name.startsWith(`${id}-`))
      .concat(Object.entries(ALSO_OF).flatMap(([name, ids]) => (ids.includes(id) ? [`${name}.test.ts`] : [])))
      .map((name) => readFileSync(new URL(name, integration), 'utf8'))
      .join('\n')
  const suite = readFileSync(new URL(import.meta.url), 'utf8')
  /** The name of a test stands first behind a parenthesis. */
  const isTest = (text: string, title: string): boolean =>
    [`'${title}'`, `"${title}"`].some((quoted) =>
      text
        .split(quoted)
        .slice(0, -1)
        .some((before) => /\(\s*$/.test(before)),
    )

  function faultOf(id: string, cell: Cell | undefined, failure: string): string | null {
    if (cell === undefined) return `${id}: nothing shows what becomes of it when it is ${failure}`
    if ('never' in cell) return cell.never.length > 20 ? null : `${id}, ${failure}: say why it cannot happen`
    if ('suite' in cell)
      return isTest(suite, cell.suite) ? null : `${id}, ${failure}: the suite has no test "${cell.suite}"`
    return isTest(sources(id), cell.test) ? null : `${id}, ${failure}: it has no test "${cell.test}"`
  }

  test.each(registry.ids)('of %s has a test, or a reason why it cannot happen', (id) => {
    const cells = makers.get(id)?.failures
    const faults = FAILURES.map((failure) => faultOf(id, cells?.[failure], failure))
    expect(faults.filter((fault) => fault !== null)).toEqual([])
  })

  test('a test that there is not is found missing', () => {
    expect(faultOf('process', { test: 'walks on water' }, 'slow')).toContain('has no test')
    expect(faultOf('process', { suite: 'walks on water' }, 'slow')).toContain('has no test')
    expect(faultOf('process', { never: 'no' }, 'slow')).toContain('say why')
    expect(faultOf('no-such-driver', undefined, 'slow')).toContain('nothing shows')
  })
})

/** As the session was opened with it. */
function opened(driver: FencerDriver | null, fenceInfo: unknown): unknown {
  const parsed = driver?.fenceInfo.parse(fenceInfo)
  return driver?.complete === undefined ? parsed : driver.complete(parsed)
}
