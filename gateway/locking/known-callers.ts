// The gate for backends that know their callers: finds out whose session a call belongs to, and, where that is enough there,
// fills in the tokens that the session holds. The decision is the gate's behind it, which takes no other session's token.

import type { SessionId } from '../core/names.ts'
import type { AdmissionRequest, AdmissionResult, Gate, LockPreview, PresentedToken } from '../spi/gate.ts'
import type { RequiredLock } from '../spi/policy.ts'
import type { StoredCallers } from './caller-book.ts'
import type { LockState } from './lock-state.ts'
import type { View } from './view.ts'

export interface KnownCallersOptions {
  readonly gate: Gate
  readonly book: StoredCallers
  readonly view: View
}

type Identified =
  /** `lacks`: null, or what the store may know and this gateway does not yet. */
  | { readonly kind: 'call'; readonly request: AdmissionRequest; readonly lacks: string | null }
  | Extract<AdmissionResult, { kind: 'refused' }>

export class KnownCallersGate implements Gate {
  readonly #options: KnownCallersOptions

  constructor(options: KnownCallersOptions) {
    this.#options = options
  }

  admit(
    request: AdmissionRequest,
    gone: AbortSignal | null,
    heldBytes?: number,
  ): AdmissionResult | Promise<AdmissionResult> {
    const { gate } = this.#options
    if (request.caller === undefined || request.caller === null) return gate.admit(request, gone, heldBytes)
    const found = this.#identify(request)
    if (found.kind === 'refused') return found
    if (found.lacks === null) return gate.admit(found.request, gone, heldBytes)
    return this.#admitAfterNews(request, gone, heldBytes)
  }

  preview(request: AdmissionRequest): ReturnType<Gate['preview']> {
    const { gate } = this.#options
    if (request.caller === undefined || request.caller === null) return gate.preview(request)
    const found = this.#identify(request)
    if (found.kind === 'call') {
      const preview = gate.preview(found.request)
      if (preview.verdict === null || found.lacks === null) return preview
      const { detail } = preview.verdict
      return { ...preview, verdict: { ...preview.verdict, detail: `${detail}; ${found.lacks}` } }
    }
    const locks = request.locks.map(
      ({ name, mode }): LockPreview => ({ name, mode, token: null, verdict: found.refusal.code }),
    )
    return { verdict: found.refusal, locks }
  }

  /** What was bound or granted through another gateway a moment ago may not have come here yet. */
  async #admitAfterNews(
    request: AdmissionRequest,
    gone: AbortSignal | null,
    heldBytes: number | undefined,
  ): Promise<AdmissionResult> {
    const { gate, book } = this.#options
    await book.refresh()
    const found = this.#identify(request)
    if (found.kind === 'refused') return found
    const result = await gate.admit(found.request, gone, heldBytes)
    if (found.lacks === null || result.kind === 'admitted') return result
    const { refusal } = result
    return { kind: 'refused', refusal: { ...refusal, detail: `${refusal.detail}; ${found.lacks}` } }
  }

  #identify(request: AdmissionRequest): Identified {
    const { caller, tokens } = request
    if (caller === undefined || caller === null) return { kind: 'call', request, lacks: null }
    const found = this.#options.book.find(caller)
    if (found.kind === 'conflict') return { kind: 'refused', refusal: found.refusal }
    const isImplicit = caller.implicit && tokens.length === 0
    if (found.kind === 'unknown')
      return { kind: 'call', request, lacks: isImplicit ? 'nothing says whose session sends it' : null }
    const { session } = found
    const known = { ...request, session }
    if (!isImplicit) return { kind: 'call', request: known, lacks: null }
    const own: PresentedToken[] = []
    for (const required of request.locks) {
      const token = this.#tokenOf(session, required)
      if (token === null)
        return { kind: 'call', request: known, lacks: `session ${session}, which sends it, does not hold it` }
      own.push({ lock: required.name, token, signature: null, implicit: true })
    }
    return { kind: 'call', request: { ...known, tokens: own }, lacks: null }
  }

  /** Of what the session has in the lock: what would be admitted, else what waits, else what is over. */
  #tokenOf(session: SessionId, required: RequiredLock): number | null {
    const lock = this.#options.view.locks.get(required.name)
    if (lock === undefined) return null
    const own = lock.live.filter((grant) => grant.session === session)
    const open = own.filter((grant) => !grant.sealed)
    const fit = open.find(({ mode }) => mode === 'exclusive' || required.mode === 'shared') ?? open[0]
    return fit?.createRevision ?? waiterOf(lock, session) ?? own[0]?.createRevision ?? null
  }
}

function waiterOf(lock: LockState, session: SessionId): number | null {
  return lock.queue.find((waiter) => waiter.session === session)?.createRevision ?? null
}
