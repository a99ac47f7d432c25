// Watches the jobs that answers have named until each is seen over, or it is sure that it never will be. Looks lazily
// while nobody waits, at once and often when the job's lock is sealed. Never takes silence for an end.

import type { Clock, Timer } from '../spi/clock.ts'
import type { JobProbe } from '../spi/policy.ts'
import { credentialsOf, probeHttpJob } from './http-jobs.ts'
import type { ProxyLimits } from './limits.ts'
import type { OpenCall } from './open-call.ts'
import type { Upstreams } from './upstreams.ts'
import { type ObserverCredentials, VsphereTasks } from './vsphere-tasks.ts'

export type ProbeFinding =
  /** Seen terminal. */
  | { readonly kind: 'over' }
  | { readonly kind: 'running' }
  /** The backend does not show it; that may pass. */
  | { readonly kind: 'hidden'; readonly reason: string }
  /** It will not be seen any more. */
  | { readonly kind: 'never'; readonly reason: string }

/** While nobody waits for the job. */
const LAZY_MS = { first: 250, most: 10_000 }
/** While a handover waits for it. */
const URGENT_MS = { first: 100, most: 1_000 }
/** After so many answers in a row that hide the job it is unknown. */
const HIDDEN_MAX = 5

interface Job {
  readonly open: OpenCall
  readonly probe: JobProbe
  readonly credentials: readonly string[]
  urgent: boolean
  intervalMs: number
  hidden: number
  timer: Timer | null
  /** In the queue for a probe, or being probed. */
  busy: boolean
}

export class JobWatch {
  readonly #clock: Clock
  readonly #upstreams: Upstreams
  readonly #limits: ProxyLimits
  readonly #tasks: VsphereTasks
  readonly #jobs = new Set<Job>()
  /** Due for a probe; at most as many as there are jobs. */
  readonly #queue = new Set<Job>()
  #probing = 0

  constructor(options: {
    readonly clock: Clock
    readonly upstreams: Upstreams
    readonly limits: ProxyLimits
    readonly observer: ObserverCredentials | null
  }) {
    this.#clock = options.clock
    this.#upstreams = options.upstreams
    this.#limits = options.limits
    this.#tasks = new VsphereTasks(options)
  }

  get size(): number {
    return this.#jobs.size
  }

  /** Brings the call to its end, now or later. `headers` are the call's own, for its credentials. */
  watch(open: OpenCall, probe: JobProbe, headers: readonly string[]): void {
    if (open.settled) return
    if (this.#jobs.size >= this.#limits.jobsMax) {
      open.unknown(`more than ${this.#limits.jobsMax} jobs are being watched`)
      return
    }
    const job: Job = {
      open,
      probe,
      credentials: credentialsOf(headers),
      urgent: false,
      intervalMs: LAZY_MS.first,
      hidden: 0,
      timer: null,
      busy: false,
    }
    this.#jobs.add(job)
    this.#schedule(job)
    open.whenAbandoned(() => this.#lose(job, 'abandoned while its job was not seen to end'))
    open.whenSealed(() => this.#hurry(job))
  }

  /** Looks at everything now and often: somebody waits for all of it. */
  hurry(): void {
    for (const job of [...this.#jobs]) this.#hurry(job)
  }

  /** Gives up what is still watched. */
  close(reason: string): void {
    for (const job of [...this.#jobs]) this.#lose(job, reason)
  }

  #hurry(job: Job): void {
    if (!this.#jobs.has(job)) return
    job.urgent = true
    job.intervalMs = URGENT_MS.first
    job.timer?.cancel()
    this.#due(job)
  }

  #schedule(job: Job): void {
    const delayMs = job.intervalMs
    job.intervalMs = Math.min(delayMs * 2, job.urgent ? URGENT_MS.most : LAZY_MS.most)
    job.timer = this.#clock.after(delayMs, () => this.#due(job))
  }

  #due(job: Job): void {
    job.timer = null
    if (job.busy || !this.#jobs.has(job)) return
    job.busy = true
    this.#queue.add(job)
    this.#probeNext()
  }

  #probeNext(): void {
    for (const job of this.#queue) {
      if (this.#probing >= this.#limits.probesMax) return
      this.#queue.delete(job)
      this.#probing++
      this.#look(job).then(
        (finding) => this.#found(job, finding),
        // No answer says nothing of the job; it is asked again, later each time.
        () => this.#found(job, { kind: 'running' }),
      )
    }
  }

  #look(job: Job): Promise<ProbeFinding> {
    switch (job.probe.kind) {
      case 'http':
        return probeHttpJob(this.#upstreams.first, job.probe, job.credentials, this.#limits.probeMs)
      case 'vsphere-task':
        return this.#tasks.probe(job.probe, job.credentials)
    }
  }

  #found(job: Job, finding: ProbeFinding): void {
    this.#probing--
    job.busy = false
    if (this.#jobs.has(job)) this.#judge(job, finding)
    this.#probeNext()
  }

  #judge(job: Job, finding: ProbeFinding): void {
    switch (finding.kind) {
      case 'over':
        this.#forget(job)
        job.open.ended()
        break
      case 'never':
        this.#lose(job, finding.reason)
        break
      case 'hidden':
        job.hidden++
        if (job.hidden >= HIDDEN_MAX) this.#lose(job, finding.reason)
        else this.#schedule(job)
        break
      case 'running':
        job.hidden = 0
        this.#schedule(job)
        break
    }
  }

  #lose(job: Job, reason: string): void {
    if (!this.#jobs.has(job)) return
    this.#forget(job)
    job.open.unknown(reason)
  }

  #forget(job: Job): void {
    job.timer?.cancel()
    this.#jobs.delete(job)
    this.#queue.delete(job)
  }
}
