// One suite for every driver in fencers/: what gateway/spi/fencer.ts asks of it. A driver is found by its file; its
// `example` is what the general part runs on, and a world, where there is one below, is something alive to fence.

import { createHook } from 'node:async_hooks'
import { readdirSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { loadFencerRegistry } from '../../gateway/fencing/registry.ts'
import type { Fencer, FencerDriver } from '../../gateway/spi/fencer.ts'
import { anAttemptNow, realClock, startVictim } from '../integration/fencers/support.ts'
import { createSoapClient } from '../support/soap-client.ts'
import {
  startVcenterSimulator,
  type VcenterSimulator,
  vcenterSimulatorUnavailable,
} from '../support/vcenter-simulator.ts'

/** A target that is alive, and the options with which the driver can fence it. */
interface World {
  readonly options: Readonly<Record<string, unknown>>
  readonly fenceInfo: Readonly<Record<string, unknown>>
  isAlive(): Promise<boolean>
  /** Ends the target without the driver. */
  destroy(): Promise<void>
  close(): Promise<void>
}

let vcenter: VcenterSimulator | null = null
const vcenterAvailable = vcenterSimulatorUnavailable() === null
beforeAll(async () => {
  if (vcenterAvailable)
    vcenter = await startVcenterSimulator({ users: { fencer: 'very-secret-word', nova: 'n' } })
}, 240_000)
afterAll(() => vcenter?.stop())

const WORLDS: Readonly<Record<string, () => Promise<World>>> = {
  process: async () => {
    const victim = await startVictim()
    return {
      options: { graceMs: 100 },
      fenceInfo: { pid: victim.pid },
      isAlive: () => Promise.resolve(victim.isAlive()),
      destroy: () => victim.end(),
      close: () => victim.end(),
    }
  },
  exec: async () => {
    const victim = await startVictim()
    const look = 'kill -0 "$FENCE_INFO_PID" 2>/dev/null && exit 1; exit 0'
    return {
      options: {
        command: ['/bin/sh', '-c', 'kill -9 "$FENCE_INFO_PID" 2>/dev/null; exit 0'],
        verifyCommand: ['/bin/sh', '-c', look],
        env: { HOOK_PASSWORD: 'very-secret-word' },
      },
      fenceInfo: { pid: victim.pid },
      isAlive: () => Promise.resolve(victim.isAlive()),
      destroy: () => victim.end(),
      close: () => victim.end(),
    }
  },
  'vsphere-session': async () => {
    if (vcenter === null) throw new Error('no vCenter')
    const simulator = vcenter
    const client = createSoapClient({ url: simulator.url })
    const { key } = await client.login('nova', 'n')
    return {
      options: { url: simulator.url, username: 'fencer', password: 'very-secret-word' },
      fenceInfo: { sessionKey: key },
      isAlive: async () => (await simulator.sessions()).some((session) => session.key === key),
      destroy: async () => {
        await client.call('Logout', { type: 'SessionManager', value: 'SessionManager' })
      },
      close: () => client.close(),
    }
  },
}

const registry = await loadFencerRegistry()
const PROOFS = ['no-new-calls', 'swept', 'blocks', 'flushed']
const context = { clock: realClock, note: () => undefined }

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

  const makeWorld = WORLDS[id]
  const worldAvailable = () => id !== 'vsphere-session' || vcenterAvailable
  // A driver without a world of its own here fails below: nobody would have seen it fence.
  describe.skipIf(!worldAvailable())('with something alive to fence', () => {
    async function enter(): Promise<{ world: World; fencer: Fencer<unknown>; info: unknown }> {
      if (makeWorld === undefined) throw new Error(`there is no world for ${id}`)
      const world = await makeWorld()
      worlds.push(world)
      const fencer = driver === null ? null : driver.create(driver.options.parse(world.options), context)
      if (fencer === null) throw new Error(`no driver ${id}`)
      open.push(fencer)
      return { world, fencer, info: opened(driver, world.fenceInfo) }
    }

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
      expect(JSON.stringify(said)).not.toContain('very-secret-word')
    })
  })
})

/** As the session was opened with it. */
function opened(driver: FencerDriver | null, fenceInfo: unknown): unknown {
  const parsed = driver?.fenceInfo.parse(fenceInfo)
  return driver?.complete === undefined ? parsed : driver.complete(parsed)
}
