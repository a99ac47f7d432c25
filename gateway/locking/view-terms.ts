// What the view holds of sessions and gateways, and what it tells of a change.

import type { IncarnationId, Revision, SessionId } from '../core/names.ts'
import type { Clock } from '../spi/clock.ts'
import type { Layout } from './layout.ts'
import type { LiveGrant, LockState } from './lock-state.ts'
import type { GatewayRecord, SessionRecord } from './records.ts'

export interface KnownSession {
  readonly record: SessionRecord
  /** Stays the same while the session lives, whatever is written into its record. */
  readonly createRevision: Revision
  readonly modRevision: Revision
}

export interface KnownGateway {
  readonly incarnation: IncarnationId
  /** False where the record was written by a version that this one does not understand: it must not be rewritten. */
  readonly readable: boolean
  readonly record: GatewayRecord
  readonly createRevision: Revision
  readonly modRevision: Revision
}

/** What one applied revision touched; the listener decides whom to wake. */
export interface ViewChange {
  readonly revision: Revision
  readonly locks: ReadonlySet<LockState>
  readonly sessions: ReadonlySet<SessionId>
  readonly fences: ReadonlySet<string>
  readonly gateways: boolean
  readonly watermarks: boolean
  /** The sources that the gateways go by. */
  readonly sources: boolean
}

export interface ViewOptions {
  readonly layout: Layout
  readonly clock: Clock
  readonly onChange: (change: ViewChange) => void
  /** A live grant was sealed here, in the tick in which the view learned that it is over. */
  readonly onSealed: (grant: LiveGrant) => void
  /** A live grant was downgraded: what needs it exclusively has to drain. */
  readonly onNarrowed: (grant: LiveGrant) => void
  /** A grant has left the record: its handover is over. */
  readonly onClosed: (grant: LiveGrant) => void
}
