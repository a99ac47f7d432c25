// fencegate itself, as it ships: its own process, the embedded store, one session that takes every lock through the
// control API. The call is classified by its JSON body, which no other peer looks at. Workers share an etcd.

import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startEtcd } from '../../../support/etcd.ts'
import { find, type Ground, ROOT } from '../../ground.ts'
import { freePort, startServer } from '../../processes.ts'
import type { Peer, RunningPeer } from '../peer.ts'
import { FLOOD_PLAN, holdAll } from './holder.ts'

/** Of the one client of a benchmark: all connections come from one address, all calls from one session. */
const LIMITS =
  'limits: { connections: 20000, connectionsPerAddress: 0, calls: 20000, callsPerSession: 0, upstreamConnections: 9000 }'

export const fencegatePeer: Peer = {
  id: 'fencegate',
  title: 'fencegate',
  checks: true,
  prepare: async () => null,
  start: (ground) => start(ground, { workers: 1, store: null, stopStore: async () => undefined }),
}

export const workerPeers: readonly Peer[] = [1, 2].map((workers) => ({
  id: `workers-${workers}`,
  title: `fencegate over etcd, workers: ${workers}`,
  checks: true,
  special: true,
  prepare: async () => ((await find('etcd')) === null ? 'etcd is not installed' : null),
  start: async (ground) => {
    const etcd = await startEtcd()
    const store = `{ etcd: { endpoints: ["${etcd.member(0).endpoint}"] } }`
    return await start(ground, { workers, store, stopStore: () => etcd.stop() })
  },
}))

interface Variant {
  readonly workers: number
  /** Null: embedded. */
  readonly store: string | null
  stopStore(): Promise<void>
}

async function start(ground: Ground, variant: Variant): Promise<RunningPeer> {
  const ports = { checked: await freePort(), stream: await freePort(), control: await freePort() }
  const folder = mkdtempSync(path.join(ground.folder, 'fencegate-'))
  mkdirSync(path.join(folder, 'state'))
  const file = path.join(folder, 'fencegate.yaml')
  writeFileSync(file, configuration({ ground, ports, folder, variant }))
  const started = await startServer({
    name: 'fencegate',
    command: process.execPath,
    args: [path.join(ROOT, 'gateway', 'main.ts'), 'serve', '-c', file],
    port: ports.checked,
  }).catch(async (error: unknown) => {
    await variant.stopStore()
    throw error
  })
  const stop = async (): Promise<void> => {
    await started.stop()
    await variant.stopStore()
  }
  try {
    const holder = await holdAll(ports.control, [...ground.locks, ground.streamLock])
    const [streamLock, ...locks] = holder.locks.toReversed()
    if (streamLock === undefined) throw new Error('no lock was acquired')
    return {
      port: ports.checked,
      streamPort: ports.stream,
      controlPort: ports.control,
      readsBodies: true,
      roots: [started.pid],
      locks: locks.toReversed(),
      streamLock,
      stop: async () => {
        holder.letGo()
        await stop()
      },
    }
  } catch (error) {
    const last = started.output()
    await stop()
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${last}`, { cause: error })
  }
}

interface Configuration {
  readonly ground: Ground
  readonly ports: { readonly checked: number; readonly stream: number; readonly control: number }
  readonly folder: string
  readonly variant: Variant
}

// A backend of its own for the streaming scenario, because neither API has a call with a large body.
function configuration({ ground, ports, folder, variant }: Configuration): string {
  const { api, upstream, tls } = ground
  const upstreamUrl = `${tls === null ? 'http' : 'https'}://127.0.0.1:${upstream.port}`
  const both = [
    `upstream: "${upstreamUrl}"`,
    'quiet: 60',
    LIMITS,
    ...(tls === null
      ? []
      : [`tls: { cert: "${tls.certFile}", key: "${tls.keyFile}" }`, 'upstreamTls: { verify: false }']),
  ].join(', ')
  return `store: ${variant.store ?? `{ embedded: { path: "${folder}/store" } }`}
state: "${folder}/state"
workers: ${variant.workers}
control: { listen: "127.0.0.1:${ports.control}" }
log: { level: warn }
fencers: { kill: { driver: process, graceMs: 0 } }
plans: { ${FLOOD_PLAN}: { levels: [[kill]] } }
brakes: { storm: { share: 1, count: 1000000 } }
sessions: { ttlMin: 1 }
backends:
  checked: { listen: "127.0.0.1:${ports.checked}", policy: ${api}, ${both} }
  stream: { listen: "127.0.0.1:${ports.stream}", policy: http-any, ${both} }
`
}
