// `GET /v1/events`: what happens, as server-sent events, resumable. Each reader has a place in the ring and no queue of
// its own: one that is too slow is overtaken, and told of the gap.

import type { ServerResponse } from 'node:http'
import { z } from 'zod'
import type { Clock, Timer } from '../spi/clock.ts'
import type { GatewayEvent } from '../spi/events.ts'
import { type ControlApp, type ControlRoom, problems } from './room.ts'

export interface FeedEvent {
  /** Unique over runs of the gateway; no line breaks. */
  readonly id: string
  /** RFC 3339. */
  readonly at: string
  readonly event: GatewayEvent
}

export interface EventFeed {
  subscribe(listener: (event: FeedEvent) => void): () => void
  readonly ring: {
    /** Id of the newest event; one that `after` knows also where nothing has happened yet. */
    latest(): string
    /** What came after `id`; `missed` where some of it is no longer known. */
    after(id: string): { readonly events: readonly FeedEvent[]; readonly missed: boolean }
  }
}

const SILENCE_MS_MAX = 15_000

export function eventRoutes(app: ControlApp, room: ControlRoom, feed: EventFeed): void {
  app.get('/v1/events', {
    config: { right: 'observe' },
    exposeHeadRoute: false,
    schema: {
      tags: ['events'],
      summary: 'What happens, as it happens',
      description:
        'Server-sent events: `event` is the type, `data` a JSON object. A client that comes back sends Last-Event-ID ' +
        'and gets what it missed; where some of that is forgotten, an event `gap` says so first.',
      headers: z.object({ 'last-event-id': z.string().max(256).optional() }),
      response: {
        200: { description: 'The stream.', content: { 'text/event-stream': { schema: z.string() } } },
        ...problems,
      },
    },
    handler: (request, reply) => {
      reply.hijack()
      stream(reply.raw, request.headers['last-event-id'] ?? null, { room, feed })
      return Promise.resolve()
    },
  })
}

function stream(
  response: ServerResponse,
  lastId: string | null,
  { room, feed }: { readonly room: ControlRoom; readonly feed: EventFeed },
): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  })
  let cursor = lastId ?? feed.ring.latest()
  let full = !response.write('retry: 1000\n\n')

  const pump = (): void => {
    if (full || response.writableEnded || response.destroyed) return
    const { events, missed } = feed.ring.after(cursor)
    if (missed) {
      response.write('event: gap\ndata: {"missed":true}\n\n')
      if (events.length === 0) cursor = feed.ring.latest()
    }
    for (const event of events) {
      full = !response.write(format(event))
      cursor = event.id
      if (full) return
    }
  }
  response.on('drain', () => {
    full = false
    pump()
  })
  const unsubscribe = feed.subscribe(pump)
  pump()

  const silence = repeat(room.clock, () => {
    if (!full && !response.writableEnded) response.write(': still here\n\n')
  })
  const end = (): void => void response.end()
  room.closing.addEventListener('abort', end, { once: true })
  if (room.closing.aborted) end()
  response.once('close', () => {
    silence.cancel()
    unsubscribe()
    room.closing.removeEventListener('abort', end)
  })
}

function format({ id, at, event }: FeedEvent): string {
  return `id: ${id}\nevent: ${event.type}\ndata: ${JSON.stringify({ at, ...event })}\n\n`
}

function repeat(clock: Clock, action: () => void): Timer {
  let timer = clock.after(SILENCE_MS_MAX, tick)
  function tick(): void {
    action()
    timer = clock.after(SILENCE_MS_MAX, tick)
  }
  return { cancel: () => timer.cancel() }
}
