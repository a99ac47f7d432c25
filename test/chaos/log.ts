// What each party writes down while a run goes on: one line for each thing that it saw or did, in a file that survives its
// own kill -9. Times are the machine's monotonic clock, which all processes share and no clock jump touches.

import { openSync, readdirSync, readFileSync, writeSync } from 'node:fs'
import { basename, join } from 'node:path'
import { z } from 'zod'

const mode = z.enum(['exclusive', 'shared'])
const atMs = z.number()
const call = z.int()
const aboutCall = { atMs, call, lock: z.string(), token: z.int(), mode, session: z.string() }

const line = z.discriminatedUnion('what', [
  // A gateway, of itself.
  z.object({ what: z.literal('incarnation'), atMs, id: z.string() }),
  /** It has applied the store's revisions up to this one; `snapshot`: by reading everything. */
  z.object({ what: z.literal('applied'), atMs, revision: z.int(), snapshot: z.boolean() }),
  z.object({ what: z.literal('reported'), atMs, sealed: z.int() }),
  z.object({
    what: z.literal('admitted'),
    atMs,
    call,
    grants: z.array(z.object({ lock: z.string(), token: z.int(), mode })),
  }),
  /** The last look before the first byte goes out. */
  z.object({ what: z.literal('forwarded'), atMs, call }),
  // A holder.
  z.object({
    what: z.literal('granted'),
    atMs,
    lock: z.string(),
    token: z.int(),
    session: z.string(),
    gateway: z.string(),
  }),
  z.object({
    what: z.literal('release-asked'),
    atMs,
    id: z.int(),
    lock: z.string().nullable(),
    session: z.string(),
    gateway: z.string(),
  }),
  z.object({
    what: z.literal('release-answered'),
    atMs,
    id: z.int(),
    how: z.enum(['done', 'failed', 'gateway-died']),
  }),
  /** The end of a call as its holder saw it; no code: the backend's own answer; no status: no whole answer. */
  z.object({
    what: z.literal('answered'),
    atMs,
    call,
    code: z.string().nullable(),
    status: z.int().nullable(),
  }),
  // The backend.
  z.object({ what: z.literal('arrived'), ...aboutCall }),
  z.object({ what: z.literal('executed'), ...aboutCall }),
  z.object({ what: z.literal('dropped'), ...aboutCall }),
  // Whoever runs it.
  z.object({ what: z.literal('ordered'), atMs, session: z.string() }),
  z.object({ what: z.literal('confirmed'), atMs, session: z.string() }),
  z.object({ what: z.literal('crashed'), atMs, gateway: z.string(), error: z.string() }),
  z.object({ what: z.literal('settled'), atMs }),
  z.object({ what: z.literal('probed'), atMs, lock: z.string(), granted: z.boolean(), detail: z.string() }),
])

export type LogLine = z.output<typeof line>
export type PartyLine = LogLine & { readonly party: string }

/** Milliseconds of the clock that all processes of this machine share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export function openLog(path: string): (line: LogLine) => void {
  const file = openSync(path, 'a')
  return (entry) => void writeSync(file, `${JSON.stringify(entry)}\n`)
}

/** Of all parties in a folder, each under the name of its file. */
export function readLogs(folder: string): PartyLine[] {
  const lines: PartyLine[] = []
  for (const file of readdirSync(folder)) {
    if (!file.endsWith('.log')) continue
    const party = basename(file, '.log')
    for (const text of readFileSync(join(folder, file), 'utf8').split('\n'))
      if (text !== '') lines.push({ ...line.parse(JSON.parse(text)), party })
  }
  return lines
}
