// Bytes in at the client's side, bytes out at the backend's: whatever reaches a backend was checked as the very call that
// it is there, and other servers read it as the same.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeWith } from '../../../house/availability.ts'
import { startTestGateway, type TestGateway } from '../../../support/echo-backend-gateway.ts'
import fc from '../../../support/fast-check.ts'
import { RawClient } from '../../../support/raw-http.ts'
import { CORPUS, conversation } from './messages.ts'
import { LAST_READING, type Readers, type Reading, readBy, startReaders, TappedServer } from './readers.ts'

const RUNS = 250
const SENTINEL: Reading = { method: 'GET', target: '/sentinel', body: '' }
const QUIET_MS = 60

/** What was checked; a body that the policy did not ask for is null. */
interface Checked {
  readonly method: string
  readonly target: string
  readonly body: string | null
}

class Ground {
  readonly backend: TappedServer
  readonly gateway: TestGateway
  readonly checked: Checked[]
  /** Of the conversation before: of a call that was given up the backend may hear later. */
  #earlier: readonly Checked[] = []

  private constructor(backend: TappedServer, gateway: TestGateway, checked: Checked[]) {
    this.backend = backend
    this.gateway = gateway
    this.checked = checked
  }

  /** `seesBodies`: whether the policy asks for every body. */
  static async open(seesBodies: boolean, keepsAlive = true): Promise<Ground> {
    const backend = await new TappedServer(keepsAlive).listen()
    const checked: Checked[] = []
    const gateway = await startTestGateway(
      backend.url,
      {
        bodyBytes: seesBodies ? 65_536 : 0,
        classify: ({ method, target }, body) => {
          checked.push({ method, target, body: body === null ? null : body.toString('latin1') })
          return null
        },
      },
      { upgrades: ['websocket'], limits: { lingerMs: 20, closeMs: 0 } },
    )
    return new Ground(backend, gateway, checked)
  }

  async close(): Promise<void> {
    await this.gateway.listener.close()
    await this.backend.close()
  }

  /** Sends the pieces and a sentinel, and gives back what was checked and what came out. */
  async send(pieces: readonly string[]): Promise<{ checked: readonly Checked[]; seen: readonly Reading[] }> {
    const [checkedBefore, seenBefore] = [this.checked.length, this.backend.readings.length]
    const client = await RawClient.open(this.gateway.port)
    for (const piece of pieces) {
      client.send(piece)
      await new Promise<void>((resolve) => setImmediate(resolve))
    }
    client.send(`GET ${SENTINEL.target} HTTP/1.1\r\nHost: s\r\n\r\n`)
    const isOver = () =>
      client.closed ||
      this.backend.readings.slice(seenBefore).some(({ target }) => target === SENTINEL.target)
    let state = ''
    let sinceMs = performance.now()
    // A body that never comes makes silence: that is an end, too.
    while (!isOver() && performance.now() - sinceMs < QUIET_MS) {
      const now = `${client.received.length} ${this.checked.length} ${this.backend.readings.length}`
      if (now !== state) sinceMs = performance.now()
      state = now
      await new Promise<void>((resolve) => setTimeout(resolve, 1))
    }
    client.close()
    await expect.poll(() => this.gateway.listener.inFlight, { timeout: 20_000, interval: 1 }).toBe(0)
    const checked = this.checked.slice(checkedBefore)
    const earlier = this.#earlier
    this.#earlier = checked
    return {
      checked: [...earlier, ...checked],
      seen: this.backend.readings.slice(seenBefore),
    }
  }
}

/** Each that was seen was checked, as just that, in the same order; what was checked may have been refused. */
function unchecked(seen: readonly Reading[], checked: readonly Checked[]): Reading | null {
  let at = 0
  for (const reading of seen) {
    while (at < checked.length && !isSame(checked[at], reading)) at++
    if (at++ >= checked.length) return reading
  }
  return null
}

function isSame(one: Checked | undefined, reading: Reading): boolean {
  return (
    one !== undefined &&
    one.method === reading.method &&
    one.target === reading.target &&
    (one.body === null || one.body === reading.body)
  )
}

describe.each([
  ['all bodies are checked', true],
  ['bodies are streamed', false],
])('bytes from a client, where %s,', (_how, seesBodies) => {
  let ground: Ground
  beforeAll(async () => {
    ground = await Ground.open(seesBodies)
  })
  afterAll(() => ground.close())

  test.each(CORPUS)('reach the backend as the calls that were checked: %s', async (_name, text) => {
    const { checked, seen } = await ground.send([text])
    expect(unchecked(seen, checked)).toBeNull()
    // What one reader refuses another may take.
    expect(ground.backend.malformed).toEqual([])
  })

  test('reach the backend as the calls that were checked, whatever they are', async () => {
    let forwarded = 0
    await fc.assert(
      fc.asyncProperty(conversation, async (pieces) => {
        const { checked, seen } = await ground.send(pieces)
        forwarded += seen.length
        expect(unchecked(seen, checked)).toBeNull()
        expect(ground.backend.malformed).toEqual([])
      }),
      { numRuns: RUNS },
    )
    // A gateway that forwards nothing lets nothing through.
    expect(forwarded).toBeGreaterThan(RUNS / 2)
  }, 120_000)
})

describeWith(['nginx', 'haproxy', 'go'], 'what the gateway sends to a backend', () => {
  let origin: TappedServer
  let ground: Ground
  let readers: Readers
  beforeAll(async () => {
    origin = await new TappedServer().listen()
    ground = await Ground.open(true, false)
    readers = await startReaders(origin)
  }, 120_000)
  afterAll(async () => {
    await readers.close()
    await ground.close()
    await origin.close()
  })

  test('is read by nginx, HAProxy and Go as the same requests', async () => {
    for (const [, text] of CORPUS) await ground.send([text])
    const samples = fc.sample(conversation, 150)
    for (const pieces of samples) await ground.send(pieces)
    const streams = ground.backend.streams()
    expect(streams.length).toBeGreaterThan(100)
    for (const reader of readers.all) {
      let refused = 0
      for (const { bytes, readings } of streams) {
        const expected = [...readings, LAST_READING]
        const other = await readBy(reader, bytes, expected)
        expect({ by: reader.name, bytes: bytes.toString('latin1'), ...other }).toMatchObject({
          readings: expected.slice(0, other.readings.length),
          end: expect.stringMatching(/all|refused/),
        })
        if (other.end === 'refused') refused++
      }
      // Who refuses all agrees with everybody.
      expect(refused, reader.name).toBeLessThan(streams.length / 2)
    }
  }, 120_000)
})
