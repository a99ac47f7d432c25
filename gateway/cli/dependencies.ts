// What the commands need from outside, typed, so that main.ts alone knows where it comes from.

import type { Config, LoadResult } from '../config/index.ts'
import type { Clock } from '../spi/clock.ts'
import type { FencerDriver } from '../spi/fencer.ts'
import type { StoreMark } from '../spi/high-water-mark.ts'
import type { Policy } from '../spi/policy.ts'
import type { Store } from '../spi/store.ts'

export interface Output {
  write(text: string): unknown
}

/** PEM. */
export interface ClientTls {
  /** Who may sign the gateway's certificate; the system's authorities where absent. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

/** The part of `fetch` that is used. */
export type FetchLike = (
  url: string,
  init: {
    readonly method: string
    readonly headers: Record<string, string>
    readonly body?: string
    readonly signal?: AbortSignal
  },
) => Promise<{
  readonly status: number
  readonly headers: { get(name: string): string | null }
  text(): Promise<string>
}>

export interface PolicyCatalog {
  list(): readonly { readonly name: string; readonly summary: string }[]
  /** Null where there is no such policy. */
  describe(name: string): { readonly text: string; readonly json: unknown } | null
}

export interface CommandDependencies {
  readonly version: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdout: Output
  readonly stderr: Output
  /** What speaks to a control API on these terms. */
  fetchWith(tls: ClientTls): FetchLike
  /** The text of a file. Throws where it cannot be read. */
  readText(path: string): string
  readonly clock: Clock
  /** Reads and checks a configuration with all that the other rooms know. Does not throw. */
  loadConfig(file: string): LoadResult
  /** Runs the gateway until it is told to stop; the exit code. `reload` reads the file again, for SIGHUP. */
  serve(start: { readonly config: Config; readonly file: string; reload(): LoadResult }): Promise<number>
  /** The packs of the gateway, and of a configuration where there is one. */
  policies(config: Config | null): PolicyCatalog
  /** The compiled policy of a backend of this configuration. */
  policyOf(config: Config, backend: string): Policy
  readonly drivers: readonly FencerDriver[]
  /** The store of a configuration, and what its gateway remembers of it. Throws where one cannot be opened; says why. */
  openStore(config: Config): { readonly store: Store; readonly prefix: string; readonly mark: StoreMark }
  /** Calls the listener for each signal that asks the process to end, instead of ending it, until told to stop. */
  onSignal(listener: (signal: NodeJS.Signals) => void): () => void
  /** 128 random bits as text. */
  newId(): string
}
