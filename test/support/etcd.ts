// Real etcd members on loopback, for as long as a suite runs. Each is ended by its own process id.

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import { standStill } from './stand-still.ts'

const run = promisify(execFile)

const START_MS_MAX = 30_000
const START_ATTEMPTS_MAX = 3

export interface EtcdOptions {
  readonly members?: 1 | 3
  /** Writes until a member's log becomes a snapshot; etcd's own default where not given. */
  readonly snapshotCount?: number
  /** How often a watch is told by itself how far it is; etcd's default of 10 minutes where not given. */
  readonly progressNotifyMs?: number
  /** Whether a member syncs its disk. Off by default: the tests end processes, not machines. */
  readonly fsync?: boolean
  /** Clients speak TLS; the certificate of a member, made by itself, is `certificate(member)`. */
  readonly tls?: boolean
  /** Clients speak TLS and show a certificate that this authority has signed; so do the members. Files, PEM. */
  readonly certificates?: { readonly ca: string; readonly cert: string; readonly key: string }
  /** How long a log-in lasts that is not used; etcd's default of 300 s where not given. */
  readonly authTokenTtlSeconds?: number
  /** Pings that come more often end their connection; etcd's default of 5 s where not given. */
  readonly pingMsMin?: number
  /** Bytes of a member's file past which it takes no more; etcd's default of 2 GB where not given. */
  readonly quotaBytes?: number
}

export interface EtcdMember {
  readonly name: string
  readonly endpoint: string
  readonly peerUrl: string
  /** Plain HTTP also where clients speak TLS. */
  readonly healthUrl: string
  readonly dataDir: string
}

export class EtcdCluster {
  readonly members: readonly EtcdMember[]
  readonly #options: EtcdOptions
  readonly #folder: string
  readonly #processes = new Map<EtcdMember, ChildProcess>()
  readonly #output = new Map<EtcdMember, string>()

  constructor(members: readonly EtcdMember[], folder: string, options: EtcdOptions) {
    this.members = members
    this.#folder = folder
    this.#options = options
  }

  get endpoints(): readonly string[] {
    return this.members.map(({ endpoint }) => endpoint)
  }

  member(index: number): EtcdMember {
    const member = this.members[index]
    if (member === undefined) throw new Error(`there is no member ${index}`)
    return member
  }

  runs(member: EtcdMember): boolean {
    return this.#processes.has(member)
  }

  pid(member: EtcdMember): number {
    const pid = this.#processes.get(member)?.pid
    if (pid === undefined) throw new Error(`${member.name} does not run`)
    return pid
  }

  certificate(member: EtcdMember): Buffer {
    return readFileSync(join(member.dataDir, 'fixtures', 'client', 'cert.pem'))
  }

  /** Returns once every member answers a linearizable read. */
  async start(): Promise<void> {
    for (const member of this.members) this.#spawn(member)
    await Promise.all(this.members.map((member) => this.#answers(member)))
  }

  /** SIGKILL; returns when the process is gone. */
  async kill(member: EtcdMember): Promise<void> {
    const child = this.#processes.get(member)
    this.#processes.delete(member)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  /** Starts a member that was killed, on its data and ports, and returns once it answers. */
  async restart(member: EtcdMember): Promise<void> {
    await this.kill(member)
    this.#spawn(member)
    await this.#answers(member)
  }

  /** SIGSTOP: its connections stay open and it says nothing. */
  freeze(member: EtcdMember): void {
    standStill(this.pid(member))
  }

  thaw(member: EtcdMember): void {
    process.kill(this.pid(member), 'SIGCONT')
  }

  async leader(): Promise<EtcdMember> {
    for (const member of this.members) {
      if (!this.#processes.has(member)) continue
      const { self, leader } = await idsOf(member)
      if (self === leader) return member
    }
    throw new Error('no member says that it leads')
  }

  /** As an operator has it done. */
  async moveLeader(to: EtcdMember): Promise<void> {
    const leader = await this.leader()
    if (leader !== to) await etcdctl(['move-leader', (await idsOf(to)).self.toString(16)], leader.endpoint)
  }

  /** The standard output of `etcdctl` with these arguments, against all members. */
  async etcdctl(args: readonly string[]): Promise<string> {
    return etcdctl(args, this.endpoints.join(','))
  }

  /** `etcdctl snapshot save`, asked of the first member. */
  async saveSnapshot(file: string): Promise<void> {
    await etcdctl(['snapshot', 'save', file], this.member(0).endpoint)
  }

  /** As an operator does it: every member is ended, its data replaced by the snapshot's, and started again. */
  async restoreSnapshot(file: string): Promise<void> {
    await Promise.all(this.members.map((member) => this.kill(member)))
    for (const member of this.members) {
      rmSync(member.dataDir, { recursive: true })
      await etcdctl([
        'snapshot',
        'restore',
        file,
        `--name=${member.name}`,
        `--initial-cluster=${this.#initialCluster}`,
        `--initial-advertise-peer-urls=${member.peerUrl}`,
        `--data-dir=${member.dataDir}`,
      ])
    }
    await this.start()
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => this.kill(member)))
    rmSync(this.#folder, { recursive: true, force: true })
  }

  get #initialCluster(): string {
    return this.members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',')
  }

  #spawn(member: EtcdMember): void {
    const {
      snapshotCount,
      progressNotifyMs,
      fsync = false,
      tls = false,
      certificates,
      authTokenTtlSeconds,
      quotaBytes,
      pingMsMin,
    } = this.#options
    const args = [
      `--name=${member.name}`,
      `--data-dir=${member.dataDir}`,
      `--listen-client-urls=${member.endpoint}`,
      `--advertise-client-urls=${member.endpoint}`,
      `--listen-metrics-urls=${member.healthUrl}`,
      `--listen-peer-urls=${member.peerUrl}`,
      `--initial-advertise-peer-urls=${member.peerUrl}`,
      `--initial-cluster=${this.#initialCluster}`,
      '--initial-cluster-state=new',
      // Short, because etcd raises a TTL to one and a half election time-outs.
      '--heartbeat-interval=50',
      '--election-timeout=500',
      '--logger=zap',
      '--log-level=error',
    ]
    if (snapshotCount !== undefined) args.push(`--snapshot-count=${snapshotCount}`)
    if (progressNotifyMs !== undefined)
      args.push(`--experimental-watch-progress-notify-interval=${progressNotifyMs}ms`)
    if (authTokenTtlSeconds !== undefined) args.push(`--auth-token-ttl=${authTokenTtlSeconds}`)
    if (pingMsMin !== undefined) args.push(`--grpc-keepalive-min-time=${pingMsMin}ms`)
    if (quotaBytes !== undefined) args.push(`--quota-backend-bytes=${quotaBytes}`)
    if (tls) args.push('--auto-tls')
    if (certificates !== undefined)
      args.push(
        '--client-cert-auth',
        `--trusted-ca-file=${certificates.ca}`,
        `--cert-file=${certificates.cert}`,
        `--key-file=${certificates.key}`,
      )
    if (!fsync) args.push('--unsafe-no-fsync')
    const child = spawn('etcd', args, { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#output.set(member, '')
    child.stderr.setEncoding('utf8')
    child.stderr.on('data', (text: string) =>
      this.#output.set(member, `${this.#output.get(member) ?? ''}${text}`.slice(-4_000)),
    )
    child.once('error', (error) => this.#output.set(member, error.message))
    this.#processes.set(member, child)
  }

  async #answers(member: EtcdMember): Promise<void> {
    const deadlineMs = performance.now() + START_MS_MAX
    for (;;) {
      const child = this.#processes.get(member)
      if (child === undefined || child.exitCode !== null)
        throw new Error(`etcd ${member.name} ended: ${this.#output.get(member)}`)
      if (await isHealthy(member.healthUrl)) return
      if (performance.now() > deadlineMs)
        throw new Error(`etcd ${member.name} did not get ready: ${this.#output.get(member)}`)
      await sleep(50)
    }
  }
}

/** False where etcd is not installed. Under `CI=true` it throws instead: there its suites must not be left out. */
export function etcdAvailable(): boolean {
  const found = ['etcd', 'etcdctl'].every((program) => spawnSync(program, ['--version']).error === undefined)
  if (!found && process.env['CI'] === 'true')
    throw new Error('etcd and etcdctl are not installed, and CI must not skip their tests')
  if (!found) process.stderr.write('etcd and etcdctl are not installed: their tests are skipped\n')
  return found
}

export async function startEtcd(options: EtcdOptions = {}): Promise<EtcdCluster> {
  let failure: unknown
  for (let attempt = 0; attempt < START_ATTEMPTS_MAX; attempt++) {
    const folder = mkdtempSync(join(tmpdir(), 'fencegate-etcd-'))
    const members: EtcdMember[] = []
    for (let index = 0; index < (options.members ?? 1); index++)
      members.push(await newMember(folder, index, options))
    const cluster = new EtcdCluster(members, folder, options)
    try {
      await cluster.start()
      return cluster
    } catch (error) {
      // Most likely somebody took one of the ports between the probe and the start.
      failure = error
      await cluster.stop()
    }
  }
  throw failure
}

async function newMember(folder: string, index: number, options: EtcdOptions): Promise<EtcdMember> {
  const tls = options.tls === true || options.certificates !== undefined
  const name = `m${index + 1}`
  return {
    name,
    endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${await freePort()}`,
    peerUrl: `http://127.0.0.1:${await freePort()}`,
    healthUrl: `http://127.0.0.1:${await freePort()}`,
    dataDir: join(folder, name),
  }
}

/** Ids have 64 bits: read as text. */
async function idsOf(member: EtcdMember): Promise<{ readonly self: bigint; readonly leader: bigint }> {
  const status = await etcdctl(['endpoint', 'status', '-w=json'], member.endpoint)
  const [self, leader] = ['member_id', 'leader'].map((field) =>
    BigInt(new RegExp(`"${field}":(\\d+)`).exec(status)?.[1] ?? '0'),
  )
  return { self: self ?? 0n, leader: leader ?? 0n }
}

async function etcdctl(args: readonly string[], endpoints?: string): Promise<string> {
  const { stdout } = await run(
    'etcdctl',
    [...(endpoints === undefined ? [] : [`--endpoints=${endpoints}`]), ...args],
    {
      env: { ...process.env, ETCDCTL_API: '3' },
      timeout: 20_000,
    },
  )
  return stdout
}

/** etcd's own check behind `/health` is a linearizable read. */
async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(1_000) })
    return response.ok && (await response.text()).includes('"true"')
  } catch {
    // Not listening yet: the caller asks again until its deadline.
    return false
  }
}
