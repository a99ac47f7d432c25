// The volumes of the sample backend: what each is doing, and the work that goes on after the answer has been given.
// Knows no HTTP and, like the APIs that fencegate stands in front of, no locks.

import { randomUUID } from 'node:crypto'

export interface Volume {
  readonly id: string
  readonly name: string | null
  readonly sizeGb: number
  readonly status: string
  readonly metadata: Readonly<Record<string, string>>
  readonly createdAt: string
}

/** `settled` resolves when the work that the call started is over: at once where it started none, never after `close`. */
export interface Started {
  readonly volume: Volume
  readonly settled: Promise<void>
}

export class VolumeError extends Error {
  override readonly name = 'VolumeError'
  readonly status: 400 | 404

  constructor(status: 400 | 404, message: string) {
    super(message)
    this.status = status
  }
}

const idle: ReadonlySet<string> = new Set(['available', 'error'])

export class VolumeShelf {
  readonly #volumes = new Map<string, Volume>()
  readonly #work = new Set<NodeJS.Timeout>()
  readonly #workMs: number

  constructor(workMs: number) {
    this.#workMs = workMs
  }

  list(): readonly Volume[] {
    return [...this.#volumes.values()]
  }

  get(id: string): Volume {
    const volume = this.#volumes.get(id)
    if (volume === undefined) throw new VolumeError(404, `Volume ${id} could not be found.`)
    return volume
  }

  /** A volume that has been there all along: no work is done for it. */
  place(given: { readonly id: string; readonly name: string | null; readonly sizeGb: number }): Volume {
    const volume = { ...given, status: 'available', metadata: {}, createdAt: new Date().toISOString() }
    this.#volumes.set(volume.id, volume)
    return volume
  }

  create(request: { readonly name: string | null; readonly sizeGb: number }): Started {
    const { id } = this.place({ id: randomUUID(), ...request })
    const volume = this.#change(id, { status: 'creating' })
    return { volume, settled: this.#later(() => this.#change(volume.id, { status: 'available' })) }
  }

  /** Takes effect at once; the next reader sees it. */
  update(id: string, change: { readonly name?: string; readonly metadata?: Volume['metadata'] }): Started {
    this.get(id)
    return { volume: this.#change(id, change), settled: Promise.resolve() }
  }

  extend(id: string, sizeGb: number): Started {
    const volume = this.#idleVolume(id, 'extend')
    if (sizeGb <= volume.sizeGb) {
      throw new VolumeError(400, `New size for extend must be greater than current size. (${sizeGb})`)
    }
    const settled = this.#later(() => this.#change(id, { status: 'available', sizeGb }))
    return { volume: this.#change(id, { status: 'extending' }), settled }
  }

  setStatus(id: string, status: string): Started {
    this.get(id)
    return { volume: this.#change(id, { status }), settled: Promise.resolve() }
  }

  delete(id: string, force: boolean): Started {
    const volume = force ? this.get(id) : this.#idleVolume(id, 'delete')
    const settled = this.#later(() => this.#volumes.delete(volume.id))
    return { volume: this.#change(id, { status: 'deleting' }), settled }
  }

  /** Ends all work where it stands. */
  close(): void {
    for (const timer of this.#work) clearTimeout(timer)
    this.#work.clear()
  }

  #idleVolume(id: string, what: string): Volume {
    const volume = this.get(id)
    if (idle.has(volume.status)) return volume
    throw new VolumeError(400, `Invalid volume: cannot ${what} while the status is ${volume.status}.`)
  }

  /** A volume that is gone by now stays gone. */
  #change(id: string, change: Partial<Volume>): Volume {
    const changed = { ...this.get(id), ...change }
    this.#volumes.set(id, changed)
    return changed
  }

  #later(work: () => void): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      this.#work.delete(timer)
      // Deleted by force in the meantime: there is nothing left to work on.
      try {
        work()
      } catch (error) {
        if (!(error instanceof VolumeError)) throw error
      }
      resolve()
    }, this.#workMs)
    this.#work.add(timer)
    return promise
  }
}
