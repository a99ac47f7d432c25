// Holders that write their token into a volume's metadata, some of them past their lease, and the checker of what the
// backend carried out. It reads the backend's own log: what the gateway believes does not count.

import { randomInt } from 'node:crypto'
import type { LoggedCall } from '../../deploy/sample/volume-backend.ts'
import { ControlClient, send } from '../support/holder.ts'

export const VOLUME = '5aa10000-0000-4000-8000-000000000009'
export const LOCK = `cinder/volume/${VOLUME}`

export interface Tally {
  grants: number
  landed: number
  refused: number
  /** No answer, or one that says nothing of the write. */
  unanswered: number
}

export interface HolderTerms {
  readonly name: string
  readonly control: string
  /** Where the writes go: the gateway's listener, or, to show that the checker bites, the backend itself. */
  readonly writes: string
  /** Aborted when the run is over. */
  readonly over: AbortSignal
  readonly tally: Tally
}

/** Takes the lock, writes, and gives it back, or lets it expire and writes on: until the run is over. */
export async function holderLoop(terms: HolderTerms): Promise<void> {
  const control = new ControlClient(terms.control)
  while (!terms.over.aborted) {
    try {
      const session = await control.openSession({ ttl: 0.5, holder: terms.name })
      const token = await control.take(LOCK, session, 10)
      terms.tally.grants++
      const overstays = randomInt(2) === 0
      const untilMs = performance.now() + (overstays ? randomInt(700, 1_400) : randomInt(50, 350))
      while (performance.now() < untilMs && !terms.over.aborted) await write(terms, token)
      if (!overstays) await control.release(LOCK, session)
    } catch {
      // The gateway is down, or the session went with it: as a service would, begin again.
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

async function write(terms: HolderTerms, token: string): Promise<void> {
  try {
    const answer = await send(`${terms.writes}/v3/p/volumes/${VOLUME}/metadata`, {
      headers: { 'fencing-token': token },
      body: { metadata: { token } },
    })
    if (answer.status === 200) terms.tally.landed++
    else if (answer.headers['fencing-verdict'] !== undefined && answer.status !== 502) terms.tally.refused++
    else terms.tally.unanswered++
    if (answer.status !== 200) await new Promise((resolve) => setTimeout(resolve, 20))
  } catch {
    terms.tally.unanswered++
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Writes that were carried out after one under a newer token had been: I1 and I2, as the backend saw them. */
export function staleWrites(log: readonly LoggedCall[]): string[] {
  const executed = log
    .filter((call) => call.executedAt !== null && call.status === 200)
    .toSorted((a, b) => Date.parse(a.executedAt ?? '') - Date.parse(b.executedAt ?? ''))
  const violations: string[] = []
  let newest = 0
  let newestAt = ''
  for (const call of executed) {
    const token = tokenOf(call.body)
    if (token < newest && call.executedAt !== newestAt)
      violations.push(
        `token ${token} was carried out at ${call.executedAt}, after token ${newest} at ${newestAt}`,
      )
    if (token > newest) {
      newest = token
      newestAt = call.executedAt ?? ''
    }
  }
  return violations
}

function tokenOf(body: unknown): number {
  const metadata = typeof body === 'object' && body !== null && 'metadata' in body ? body.metadata : null
  const token = typeof metadata === 'object' && metadata !== null && 'token' in metadata ? metadata.token : 0
  return Number(token)
}
