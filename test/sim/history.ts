// What happened in one run, in the order in which it happened. The checker reads this and nothing else.

import type { LockMode } from '../../gateway/core/names.ts'

export type HistoryEvent = { readonly atMs: number } & (
  | {
      readonly kind: 'queued'
      readonly lock: string
      readonly token: number
      readonly session: string
      readonly mode: LockMode
    }
  /** The waiter key went; `leaseEnded`: together with its lease. */
  | {
      readonly kind: 'unqueued'
      readonly lock: string
      readonly token: number
      readonly session: string
      readonly leaseEnded: boolean
      readonly by: string
      readonly revision?: number
    }
  | {
      readonly kind: 'opened'
      readonly lock: string
      readonly token: number
      readonly session: string
      readonly mode: LockMode
      readonly by: string
    }
  | {
      readonly kind: 'sealed'
      readonly lock: string
      readonly token: number
      readonly session: string
      readonly cause: 'released' | 'expired' | 'revoked' | 'upgraded'
      readonly by: string
      readonly revision: number
    }
  /** A downgraded grant keeps nobody out any more whom a shared one would not. */
  | { readonly kind: 'narrowed'; readonly lock: string; readonly token: number; readonly by: string }
  /** A holder asks for another mode of what it holds. */
  | { readonly kind: 'mode-asked'; readonly lock: string; readonly session: string }
  | { readonly kind: 'closed'; readonly lock: string; readonly token: number; readonly by: string }
  /** A lease of the store is over: its TTL passed, or somebody ended it. */
  | { readonly kind: 'lease-ended'; readonly lease: string; readonly by: string | null }
  | {
      readonly kind: 'fence'
      readonly session: string
      readonly cause: 'expired' | 'operator'
      readonly state: 'due' | 'running' | 'blocked' | 'closed' | 'deleted'
      /** The incarnation that runs it. */
      readonly claim: string | null
      /** Of one that is closed. */
      readonly outcome: 'fenced' | 'confirmed' | 'unfenced' | null
      readonly by: string
      /** It came in a storm, and no operator has let it go on. */
      readonly stormed?: boolean
      /** It stands still for that. */
      readonly held?: boolean
      readonly revision?: number
      /** What it strikes: nobody else may come to have that until it is closed. */
      readonly targets?: readonly string[]
      /** Of the holder's, at the backend, that it knows of. */
      readonly logins?: readonly string[]
    }
  /** Its record stands in the store; and: its holder has been told. */
  | {
      readonly kind: 'session-opened'
      readonly session: string
      readonly holder: string
      readonly targets: readonly string[]
      readonly revision: number
    }
  | { readonly kind: 'session-granted'; readonly session: string }
  | { readonly kind: 'session-forgotten'; readonly session: string }
  /** A login at the backend is answered, for a known session: what it opened was written down before. */
  | { readonly kind: 'login-answered'; readonly session: string; readonly login: string }
  /** A holder wants to log in at the backend. `seen`: all that has come to that gateway; `code` null: he may. */
  | {
      readonly kind: 'login'
      readonly gateway: string
      readonly holder: string
      readonly seen: number
      readonly code: string | null
    }
  /** A fencer strikes, now. */
  | {
      readonly kind: 'struck'
      readonly gateway: string
      readonly session: string
      readonly fencer: string
      /** It takes access away, and harms no holder that lives. */
      readonly accessOnly?: boolean
    }
  /** An operator asks for a session to be fenced. */
  | { readonly kind: 'ordered'; readonly session: string }
  | { readonly kind: 'confirmed'; readonly session: string }
  /** A gateway's registration stands in the store with a live lease; and: its lease is over. */
  | { readonly kind: 'registered'; readonly gateway: string; readonly incarnation: string }
  | { readonly kind: 'lost'; readonly gateway: string; readonly incarnation: string }
  /** A gateway's word in the store: it has applied everything up to `sealed`, and admits nothing under what ended there. */
  | { readonly kind: 'reported'; readonly gateway: string; readonly sealed: number }
  /** A gateway reads the whole prefix: what went between its last event and this it cannot tell apart. */
  | { readonly kind: 'snapshot'; readonly gateway: string }
  | {
      readonly kind: 'granted'
      readonly lock: string
      readonly token: number
      readonly session: string
      readonly gateway: string
    }
  /** A fencer has seen its holder harmless. */
  | { readonly kind: 'verified'; readonly session: string; readonly fencer: string }
  | { readonly kind: 'acquire-asked'; readonly lock: string; readonly session: string }
  | {
      readonly kind: 'release-asked'
      readonly id: number
      readonly lock: string | null
      /** What is given back; null: whatever the session has. */
      readonly token?: number | null
      readonly session: string
      readonly gateway: string
    }
  | {
      readonly kind: 'release-answered'
      readonly id: number
      readonly how: 'done' | 'failed' | 'gateway-died'
    }
  | {
      readonly kind: 'admitted'
      readonly gateway: string
      readonly call: number
      readonly lock: string
      readonly token: number
      readonly mode: LockMode
    }
  | {
      readonly kind: 'refused'
      readonly gateway: string
      readonly lock: string
      readonly token: number
      readonly code: string
    }
  | { readonly kind: 'forwarded'; readonly call: number }
  /** The call (or the job that it started) changes something at the backend, now. */
  | {
      readonly kind: 'executed'
      readonly call: number
      readonly lock: string
      readonly token: number
      readonly mode: LockMode
    }
  | {
      readonly kind: 'gateway'
      readonly gateway: string
      readonly what:
        | 'started'
        | 'serving'
        | 'died'
        | 'closed'
        | 'stopped'
        | 'resumed'
        | 'partitioned'
        | 'healed'
        | 'start-failed'
    }
  /** An error that nobody caught: in production the process ends. */
  | { readonly kind: 'crashed'; readonly gateway: string | null; readonly error: string }
  /** The store was restored from a backup: its revision is `to` from now on, and what was later has never been. */
  | { readonly kind: 'restored'; readonly from: number; readonly to: number }
  /** An operator has begun a new epoch in it. `fences` and `sessions`: what the backup brought back. */
  | {
      readonly kind: 'bumped'
      readonly epoch: number
      readonly fences: readonly { readonly session: string; readonly state: string }[]
      readonly sessions: readonly string[]
    }
  /** After everything was healed a gateway shows the lock as blocked: it goes on at a word only. */
  | { readonly kind: 'blocked'; readonly lock: string; readonly reason: string }
  /**
   * Everything has been healed and confirmed for long enough: no lock may be stuck, but for those that are blocked where
   * `mayBlock`: the backend has no quiet time.
   */
  | { readonly kind: 'settled'; readonly mayBlock?: boolean }
  /** After everything: a new session asks for the lock. */
  | { readonly kind: 'probed'; readonly lock: string; readonly granted: boolean; readonly detail: string }
)
