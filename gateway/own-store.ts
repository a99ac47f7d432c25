// The store that a configuration names, and what this gateway remembers of it. Part of the composition root; used by the
// gateway, and by the commands that speak to the store without one.

import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from './config/index.ts'
import type { Clock } from './spi/clock.ts'
import type { StoreMark } from './spi/high-water-mark.ts'
import type { Store, StoreUnavailable } from './spi/store.ts'
import { openEmbeddedStore } from './store/embedded/embedded-store.ts'
import type { EtcdTls } from './store/etcd/connection.ts'
import { EtcdStore, openEtcdStore } from './store/etcd/etcd-store.ts'
import { openFileMark } from './store/file-mark.ts'

const STORE_PREFIX_EMBEDDED = '/fencegate'

/** Something outside keeps the gateway from running; the message says what to do. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure'
}

export function storePrefix({ store }: Config): string {
  return store.kind === 'etcd' ? store.prefix : STORE_PREFIX_EMBEDDED
}

/** One file for each store: what one has seen says nothing of another. Workers write one each, and read them all. */
export function openMark(config: Config, worker: number | null): StoreMark {
  const { store } = config
  const identity =
    store.kind === 'embedded'
      ? ['embedded', store.path]
      : ['etcd', store.prefix, ...store.endpoints.toSorted()]
  const name = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 16)
  try {
    const family = `high-water-mark-${name}`
    return openFileMark(join(config.state, worker === null ? family : `${family}-worker-${worker}`), family)
  } catch (error) {
    throw new StartFailure(
      `the high-water mark in ${config.state} (state:) cannot be used: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

export function storeSilent({ store }: Config, error: StoreUnavailable): string {
  const said = `the store does not answer: ${error.message.replace(/\.?\s*(Resolution note:\s*)?$/, '')}`
  return store.kind === 'embedded'
    ? said
    : `${said}; see that etcd runs at ${store.endpoints.join(', ')}, and that store.etcd says how to reach it (endpoints, tls, username)`
}

export function openStore(config: Config, clock: Clock): Store {
  const { store } = config
  switch (store.kind) {
    case 'embedded':
      try {
        return openEmbeddedStore({ path: store.path, clock })
      } catch (error) {
        throw new StartFailure(
          `the embedded store cannot be opened: ${error instanceof Error ? error.message : String(error)}; ` +
            'store.embedded.path must be a folder that this process may write to, and that no other gateway has open',
        )
      }
    case 'etcd':
      return openEtcdStore({
        endpoints: store.endpoints,
        clock,
        probeKey: `${store.prefix}/`,
        ...(store.username === undefined || store.password === undefined
          ? {}
          : { auth: { username: store.username, password: store.password.reveal() } }),
        ...(store.tls === undefined ? {} : { tls: etcdTls(store.tls) }),
      })
  }
}

/** What `config` says of certificates counts from now on, for connections that are made anew. */
export function renewTls(store: Store, config: Config): void {
  const { store: written } = config
  if (store instanceof EtcdStore && written.kind === 'etcd' && written.tls !== undefined)
    store.renewTls(etcdTls(written.tls))
}

function etcdTls(tls: NonNullable<Extract<Config['store'], { kind: 'etcd' }>['tls']>): EtcdTls {
  return {
    ...(tls.ca === undefined ? {} : { ca: Buffer.from(tls.ca) }),
    ...(tls.cert === undefined || tls.key === undefined
      ? {}
      : { cert: Buffer.from(tls.cert), key: Buffer.from(tls.key.reveal()) }),
    ...(tls.serverName === undefined ? {} : { serverName: tls.serverName }),
    verify: tls.verify,
  }
}
