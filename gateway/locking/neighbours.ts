// Who else is on the machine that a power fence would switch off: living sessions that name the same host, or the same
// target. Reads the view only.

import type { FenceRecord } from '../core/fence-record.ts'
import type { Neighbour } from '../spi/fence-journal.ts'
import type { View } from './view.ts'

type Told = Readonly<Record<string, unknown>> | null

export function neighboursOf(view: View, fence: FenceRecord): readonly Neighbour[] {
  const hosts = new Set(hostsOf(fence.holder, fence.fenceInfo))
  const targets = new Set(fence.targets)
  const found: Neighbour[] = []
  for (const [session, { record }] of view.sessions) {
    if (session === fence.id || !view.canaries.has(session)) continue
    const isThere =
      hostsOf(record.holder, record.fenceInfo).some((host) => hosts.has(host)) ||
      record.targets.some((target) => targets.has(target))
    if (!isThere) continue
    const locks = [...(view.locksOf.get(session) ?? [])]
      .filter((lock) => lock.live.some((grant) => grant.session === session && !grant.sealed))
      .map(({ name }) => name)
    found.push({ session, holder: record.holder.id, locks })
  }
  return found
}

function hostsOf(holder: Told, fenceInfo: Told): string[] {
  return [holder?.['host'], fenceInfo?.['host']].filter(
    (host): host is string => typeof host === 'string' && host !== '',
  )
}
