// What changes of the configuration while the gateway runs: the log level, and the certificates towards the store. On SIGHUP, and by
// itself where the files of those certificates were renewed. Of the rest it says that it needs a restart. Part of the composition root.

import { statSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { type Config, formatFaults, type LoadResult, Secret } from './config/index.ts'
import type { Clock, Timer } from './spi/clock.ts'
import type { Log } from './telemetry/index.ts'

/** Between two looks at the files: less than it takes anybody to wonder. */
const LOOK_MS = 5_000

export interface ReloadOptions {
  readonly running: Config
  readonly load: () => LoadResult
  readonly renewStoreTls: (renewed: Config) => void
  readonly log: Log
  readonly clock: Clock
}

export class Reload {
  readonly #options: ReloadOptions
  #running: Config
  #files: readonly string[] = []
  #seen = ''
  #timer: Timer | null = null

  constructor(options: ReloadOptions) {
    this.#options = options
    this.#running = options.running
    const { store } = options.running
    if (store.kind !== 'etcd' || store.tls === undefined) return
    const loaded = options.load()
    if (loaded.kind === 'loaded') this.#files = loaded.storeFiles
    this.#seen = this.#fingerprint()
    this.#lookLater()
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #lookLater(): void {
    if (this.#files.length === 0) return
    this.#timer = this.#options.clock.after(LOOK_MS, () => {
      const now = this.#fingerprint()
      if (now !== this.#seen) {
        this.#seen = now
        this.now()
      }
      this.#lookLater()
    })
  }

  #fingerprint(): string {
    return this.#files.map(fingerprintOf).join('\n')
  }

  /** Takes over what can be, where all of it is sound: a new certificate beside an old key changes nothing. */
  now(): void {
    const { load, log, renewStoreTls } = this.#options
    const loaded = load()
    if (loaded.kind === 'faulty') {
      log.error({ faults: formatFaults(loaded.faults) }, 'not reloaded: the configuration has faults')
      return
    }
    const { config } = loaded
    log.setLevel(config.log.level)
    if (!same(tlsOf(config), tlsOf(this.#running)) && tlsOf(config) !== undefined) {
      renewStoreTls(config)
      log.info({}, 'the certificates towards the store were renewed')
    }
    this.#running = withTls(this.#running, config)
    const sections = Object.keys(this.#running) as (keyof Config)[]
    const changed = sections.filter(
      (section) => section !== 'log' && !same(this.#running[section], config[section]),
    )
    if (changed.length === 0) log.info({ logLevel: config.log.level }, 'reloaded')
    else
      log.warn(
        { sections: changed, logLevel: config.log.level },
        'reloaded the log level; the sections named here changed too, and take effect only after a restart',
      )
  }
}

function fingerprintOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch (error) {
    // It is being replaced, or somebody took it away: what was read before stands.
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}

type EtcdConfig = Extract<Config['store'], { kind: 'etcd' }>

function tlsOf({ store }: Config): EtcdConfig['tls'] {
  return store.kind === 'etcd' ? store.tls : undefined
}

function withTls(running: Config, { store }: Config): Config {
  if (running.store.kind !== 'etcd' || store.kind !== 'etcd' || store.tls === undefined) return running
  return { ...running, store: { ...running.store, tls: store.tls } }
}

function same(one: unknown, other: unknown): boolean {
  return isDeepStrictEqual(plain(one), plain(other))
}

function plain(value: unknown): unknown {
  if (value instanceof Secret) return plain(value.reveal())
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
}
