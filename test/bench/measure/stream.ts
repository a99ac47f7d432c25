// Memory, speed and CPU time while one large body goes through. The peers are fresh: what a heap grew before, and
// could lend to the body, would hide the growth.

import { type Answer, exchange } from '../exchange.ts'
import { STREAM_DOWN, STREAM_UP } from '../ground.ts'
import { median } from '../median.ts'
import { cpuMicroseconds, family, forgetPeak, peakBytes, residentBytes } from '../readings.ts'
import type { StreamScenario } from '../scenarios.ts'
import type { Contender, Field } from './field.ts'

export interface StreamFigures {
  readonly peer: string
  readonly title: string
  /** How far the peak of resident memory rose above what was resident before the first body. */
  readonly grownBytes: number
  /** Medians over the samples. */
  readonly bytesPerSecond: number
  readonly cpuMs: number
}

export async function measureStream(
  scenario: StreamScenario,
  field: Field,
  { samples }: { readonly samples: number },
): Promise<readonly StreamFigures[]> {
  const taken = new Map<Contender, StreamFigures[]>(field.contenders.map((contender) => [contender, []]))
  for (let round = 0; round < samples; round++)
    for (const [contender, figures] of taken) figures.push(await stream(scenario, contender))
  return [...taken].map(
    ([
      {
        peer: { id, title },
      },
      figures,
    ]) => ({
      peer: id,
      title,
      grownBytes: figures[0]?.grownBytes ?? Number.NaN,
      bytesPerSecond: median(figures.map(({ bytesPerSecond }) => bytesPerSecond)),
      cpuMs: median(figures.map(({ cpuMs }) => cpuMs)),
    }),
  )
}

async function stream(
  { id, direction, bytes }: StreamScenario,
  { peer, running }: Contender,
): Promise<StreamFigures> {
  const pids = family(running.roots)
  forgetPeak(pids)
  const residentBefore = residentBytes(pids)
  const cpuBefore = cpuMicroseconds(pids)
  const answer = await (direction === 'up' ? up(running, bytes) : down(running, bytes))
  const arrived = direction === 'down' ? answer.bodyBytes : receivedBy(answer)
  if (answer.status !== 200 || arrived !== bytes)
    throw new Error(`${id}: ${peer.id}: ${arrived} of ${bytes} bytes went ${direction}: ${answer.start}`)
  return {
    peer: peer.id,
    title: peer.title,
    grownBytes: peakBytes(pids) - residentBefore,
    bytesPerSecond: bytes / (answer.milliseconds / 1000),
    cpuMs: (cpuMicroseconds(pids) - cpuBefore) / 1000,
  }
}

async function up({ streamPort, streamLock }: Contender['running'], bytes: number): Promise<Answer> {
  const head = [
    `POST ${STREAM_UP} HTTP/1.1`,
    `Host: 127.0.0.1:${streamPort}`,
    `Fencing-Token: ${streamLock.token}`,
    'Content-Type: application/octet-stream',
    `Content-Length: ${bytes}`,
  ]
  return await exchange({
    port: streamPort,
    secure: false,
    request: `${head.join('\r\n')}\r\n\r\n`,
    bodyBytes: bytes,
  })
}

async function down({ streamPort }: Contender['running'], bytes: number): Promise<Answer> {
  const request = `GET ${STREAM_DOWN}/${bytes} HTTP/1.1\r\nHost: 127.0.0.1:${streamPort}\r\n\r\n`
  return await exchange({ port: streamPort, secure: false, request })
}

function receivedBy(answer: Answer): number {
  return Number(/"received":(\d+)/.exec(answer.start)?.[1] ?? 0)
}
