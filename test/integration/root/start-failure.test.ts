// What keeps a gateway from starting is said in a sentence, with the setting that it is about.

import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../support/free-port.ts'
import { GatewayFolder } from '../../support/gateway-process.ts'

function makeFolder(): GatewayFolder {
  const folder = new GatewayFolder()
  onTestFinished(() => folder.remove())
  return folder
}

async function failureOf(folder: GatewayFolder): Promise<string> {
  const failure = await folder.start().then(
    () => 'it started',
    (error: unknown) => String(error),
  )
  expect(failure).toContain('it ended with 1')
  expect(failure).not.toMatch(/^ +at /m)
  return failure
}

describe('a gateway that cannot start', () => {
  test('says which store another gateway has open', async () => {
    const folder = makeFolder()
    folder.configure({})
    await folder.start()
    expect(await failureOf(folder)).toMatch(/another gateway has it open; store\.embedded\.path must be/)
  }, 30_000)

  test.each([
    ['a file', 'fencegate.yaml'],
    ['below a file', 'fencegate.yaml/x'],
    ['where nothing can be created', '/proc/fencegate/store'],
    ['a link to nothing', 'link'],
  ])(
    'says that the store of one cannot be %s',
    async (_what, path) => {
      const folder = makeFolder()
      symlinkSync('/nowhere/at/all', join(folder.path, 'link'))
      folder.configure({ store: { embedded: { path } } })
      expect(await failureOf(folder)).toMatch(
        /the embedded store cannot be opened: .*; store\.embedded\.path must be/,
      )
    },
    30_000,
  )

  test('says where it looked for etcd in vain', async () => {
    const folder = makeFolder()
    const endpoint = `http://127.0.0.1:${await freePort()}`
    folder.configure({ store: { etcd: { endpoints: [endpoint] } } })
    expect(await failureOf(folder)).toMatch(
      new RegExp(`the store does not answer: .*ECONNREFUSED [\\d.:]+; see that etcd runs at ${endpoint}`),
    )
  }, 30_000)

  test('says which port is taken, and by which setting it came there', async () => {
    const other = makeFolder()
    other.configure({})
    const port = Number(new URL((await other.start()).control).port)
    const folder = makeFolder()
    folder.configure({ control: { listen: `127.0.0.1:${port}` } })
    expect(await failureOf(folder)).toMatch(/the port is taken; end what uses it, or change control\.listen/)
  }, 30_000)

  test('says which configuration names a driver that is not there', async () => {
    const folder = makeFolder()
    folder.configure({ fencers: { mine: { driver: './mine.mjs' } } })
    expect(await failureOf(folder)).toMatch(
      /fencegate\.yaml: a driver of its fencers cannot be loaded: .*mine\.mjs/,
    )
  }, 30_000)

  test('says where a configuration is none', async () => {
    const folder = makeFolder()
    writeFileSync(folder.file, '- a\n')
    expect(await failureOf(folder)).toMatch(/fencegate\.yaml:1:1: the configuration is a list/)
  }, 30_000)
})
