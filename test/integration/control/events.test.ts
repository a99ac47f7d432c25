import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { start, until } from './start.ts'

async function listen(url: string, lastId?: string) {
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  const answer = await fetch(`${url}/v1/events`, {
    signal: stop.signal,
    headers: lastId === undefined ? {} : { 'last-event-id': lastId },
  })
  const state = { text: '', ended: false, type: answer.headers.get('content-type') }
  const read = async (): Promise<void> => {
    for await (const piece of answer.body ?? []) state.text += Buffer.from(piece).toString()
  }
  void read()
    .catch(() => undefined)
    .finally(() => {
      state.ended = true
    })
  await until(() => state.text.includes('retry: 1000'))
  return { state, stop }
}

test('events come as they happen, with id, type and JSON', async () => {
  const { events, url } = await start()
  const { state } = await listen(url)
  expect(state.type).toContain('text/event-stream')
  events.sink({ type: 'lock.granted', lock: 'a\nb', token: '7' })
  await until(() => state.text.includes('lock.granted'))
  const block = state.text.split('\n\n').find((part) => part.startsWith('id: ')) ?? ''
  const [id, type, data] = block.split('\n')
  expect([id, type]).toEqual(['id: run1-1', 'event: lock.granted'])
  expect(JSON.parse(data?.slice('data: '.length) ?? '')).toMatchObject({ lock: 'a\nb', token: '7' })
})

test('a reader that comes back with its last id misses nothing', async () => {
  const { events, url } = await start()
  for (const lock of ['a', 'b', 'c']) events.sink({ type: 'lock.granted', lock })
  const { state } = await listen(url, 'run1-1')
  events.sink({ type: 'lock.released', lock: 'd' })
  await until(() => state.text.includes('"d"'))
  expect(state.text.match(/^id: .*$/gm)).toEqual(['id: run1-2', 'id: run1-3', 'id: run1-4'])
  expect(state.text).not.toContain('gap')
})

test('a reader that comes back too late, or from another run, is told of the gap', async () => {
  const { events, url } = await start({ kept: 2 })
  for (const lock of ['a', 'b', 'c', 'd']) events.sink({ type: 'lock.granted', lock })
  for (const id of ['run1-1', 'run0-3']) {
    const { state } = await listen(url, id)
    await until(() => state.text.includes('run1-4'))
    expect(state.text).toContain('event: gap\n')
    expect(state.text.match(/^id: .*$/gm)).toEqual(['id: run1-3', 'id: run1-4'])
  }
})

test('a reader that stands still is overtaken and told so, and holds up nobody', async () => {
  const { events, url, port } = await start({ kept: 8 })
  const { state } = await listen(url)
  const slow = connect(port, '127.0.0.1')
  onTestFinished(() => void slow.destroy())
  const ids: string[] = []
  let tail = ''
  let gaps = 0
  let begun = false
  slow.on('data', (data) => {
    begun = true
    const lines = (tail + data.toString()).split('\n')
    tail = lines.pop() ?? ''
    for (const line of lines) {
      if (line.startsWith('id: ')) ids.push(line)
      if (line === 'event: gap') gaps += 1
    }
  })
  slow.write('GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n')
  await until(() => begun)
  slow.pause()
  const detail = 'x'.repeat(65_536)
  for (let i = 1; i <= 300; i++) {
    state.text = ''
    events.sink({ type: 'call.unknown', detail })
    await until(() => state.text.includes(`id: run1-${i}\n`))
  }
  slow.resume()
  await until(() => ids.at(-1) === 'id: run1-300')
  expect(gaps).toBe(1)
  expect(ids.length).toBeLessThan(300)
})

test('a long replay reaches a reader whole', async () => {
  const { events, url } = await start({ kept: 4096 })
  for (let i = 0; i < 4096; i++)
    events.sink({ type: 'lock.granted', lock: `lock-${i}`, detail: 'y'.repeat(200) })
  const { state } = await listen(url, 'run1-0')
  await until(() => state.text.includes('id: run1-4096\n'))
  expect(state.text.match(/^id: /gm)).toHaveLength(4096)
})

test('a silent stream carries comments, so that nobody takes it for dead', async () => {
  let tick: (() => void) | null = null
  const { url } = await start({
    clock: {
      monotonicMs: () => 0,
      wallMs: () => 0,
      after(_delayMs, callback) {
        tick = callback
        return { cancel: () => undefined }
      },
    },
  })
  const { state } = await listen(url)
  const beat: (() => void) | null = tick
  if (beat === null) throw new Error('no timer was set')
  Reflect.apply(beat, undefined, [])
  await until(() => state.text.includes(': still here'))
})

test('a replay is written no faster than its reader reads', async () => {
  const { events, port } = await start({ kept: 400 })
  const detail = 'x'.repeat(65_536)
  for (let i = 0; i < 400; i++) events.sink({ type: 'call.unknown', detail })
  const reader = connect(port, '127.0.0.1')
  onTestFinished(() => void reader.destroy())
  let beforeGap = 0
  let gap = false
  let tail = ''
  let begun = false
  reader.on('data', (data) => {
    begun = true
    const lines = (tail + data.toString()).split('\n')
    tail = lines.pop() ?? ''
    for (const line of lines) {
      if (line === 'event: gap') gap = true
      if (line.startsWith('id: ') && !gap) beforeGap += 1
    }
  })
  reader.write('GET /v1/events HTTP/1.1\r\nhost: localhost\r\nlast-event-id: run1-0\r\n\r\n')
  await until(() => begun)
  reader.pause()
  for (let i = 0; i < 400; i++) events.sink({ type: 'call.unknown', detail })
  reader.resume()
  await until(() => gap)
  expect(beforeGap).toBeLessThan(400)
})

test('closing ends the streams at once, and not by its own impatience', async () => {
  const never = { monotonicMs: () => 0, wallMs: () => 0, after: () => ({ cancel: () => undefined }) }
  const { control, url } = await start({ clock: never })
  const { state } = await listen(url)
  await control.close()
  await until(() => state.ended)
})
