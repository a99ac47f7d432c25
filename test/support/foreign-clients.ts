// Real clients of others that take locks in etcd: Go's concurrency.Mutex and OpenStack's tooz, each a process that is told
// what to do, line by line.

import { type ChildProcessWithoutNullStreams, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const GOPATH = '/usr/share/gocode'
const CACHE = fileURLToPath(new URL('../../.cache/', import.meta.url))
const GO_SOURCE = fileURLToPath(new URL('go-mutex/', import.meta.url))
const VAPI_SOURCE = fileURLToPath(new URL('vapi-client/', import.meta.url))
const OPENSTACK_PROGRAM = fileURLToPath(new URL('openstack-clients.py', import.meta.url))
const ARRAYS_PROGRAM = fileURLToPath(new URL('array-drivers.py', import.meta.url))
const KEYSTONE_PROGRAM = fileURLToPath(new URL('keystone-server.py', import.meta.url))
const TOOZ_PROGRAM = fileURLToPath(new URL('tooz-client.py', import.meta.url))
/** Where deploy/checkout/run.sh unpacks of Cinder and Keystone what is not installed. */
const UNPACKED = join(CACHE, 'openstack/usr/lib')
/** Whose packages apt-get installs; another one in the path has none of them. */
export const PYTHON = '/usr/bin/python3'
/** The first build compiles etcd's client and gRPC. */
export const GO_BUILD_MS_MAX = 300_000

export class ForeignClient {
  readonly #child: ChildProcessWithoutNullStreams
  #lines: string[] = []
  #rest = ''
  #errors = ''

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn(program, args, { stdio: 'pipe', env: { ...process.env, ...env } })
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n')
      this.#rest = lines.pop() ?? ''
      this.#lines.push(...lines)
    })
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4_000)
    })
    // It may be gone when it is told something; what it said before is what counts.
    this.#child.stdin.on('error', () => undefined)
  }

  tell(command: string): void {
    this.#child.stdin.write(`${command}\n`)
  }

  /** What it said and nobody has read yet. */
  get said(): readonly string[] {
    return this.#lines
  }

  /** Its next line; rejects with what it wrote to its standard error. */
  async next(waitMs = 20_000): Promise<string> {
    const untilMs = performance.now() + waitMs
    for (;;) {
      const line = this.#lines.shift()
      if (line !== undefined) return line
      if (this.#child.exitCode !== null || performance.now() > untilMs)
        throw new Error(`the client said nothing (exit ${this.#child.exitCode}): ${this.#errors}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  async ask(command: string): Promise<string> {
    this.tell(command)
    return this.next()
  }

  /** SIGKILL; returns when it is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }
}

/** False where Go or etcd's Go client is not installed. Under `CI=true` it throws instead. */
export function goMutexAvailable(): boolean {
  return isAvailable(
    spawnSync('go', ['version']).error === undefined &&
      existsSync(join(GOPATH, 'src/go.etcd.io/etcd/clientv3/concurrency')),
    'golang-go or golang-etcd-server-dev is not installed',
  )
}

/** False where tooz with its etcd3gw driver is not installed. Under `CI=true` it throws instead. */
export function toozAvailable(): boolean {
  return isAvailable(
    spawnSync(PYTHON, ['-c', 'import tooz, etcd3gw']).status === 0,
    'python3-tooz or python3-etcd3gw is not installed',
  )
}

/** False where OpenStack's clients are not installed. Under `CI=true` it throws instead. */
export function openstackAvailable(): boolean {
  return isAvailable(
    spawnSync(PYTHON, ['-c', 'import cinderclient, novaclient, ironicclient, openstackclient']).status === 0,
    'python3-cinderclient, -novaclient, -ironicclient or -openstackclient is not installed',
  )
}

/** Once it has said `ready`. */
export async function startOpenstackClients(args: readonly string[]): Promise<ForeignClient> {
  const client = new ForeignClient(PYTHON, [OPENSTACK_PROGRAM, ...args])
  await client.next()
  return client
}

/** False where Cinder's drivers are not there. Under `CI=true` it throws instead. */
export function arrayDriversAvailable(): boolean {
  const found = spawnSync(PYTHON, ['-c', 'import cinder, eventlet, oslo_vmware'], { env: unpacked() })
  return isAvailable(found.status === 0, 'python3-cinder is neither installed nor unpacked')
}

/** Once they have said `ready`. `places`: host and port by family. `folder`: for what Cinder stores. */
export async function startArrayDrivers(
  places: Readonly<Record<string, readonly [host: string, port: number]>>,
  folder: string,
): Promise<ForeignClient> {
  const client = new ForeignClient(PYTHON, [ARRAYS_PROGRAM, JSON.stringify(places), folder], unpacked())
  await client.next(60_000)
  return client
}

/** False where Keystone is not there. Under `CI=true` it throws instead. */
export function keystoneAvailable(): boolean {
  const found = spawnSync(PYTHON, ['-c', 'import keystone, openstackclient'], { env: unpacked() })
  return isAvailable(found.status === 0, 'python3-keystone is neither installed nor unpacked')
}

/** A real one, for these users; its client says its port first, and it ends with it. */
export function startKeystone(folder: string, users: readonly string[]): ForeignClient {
  return new ForeignClient(PYTHON, ['-W', 'ignore', KEYSTONE_PROGRAM, folder, ...users], unpacked())
}

function unpacked(): Record<string, string> {
  if (!existsSync(UNPACKED)) return {}
  const folders = readdirSync(UNPACKED).map((name) => join(UNPACKED, name))
  return { PYTHONPATH: join(UNPACKED, 'python3/dist-packages'), LD_LIBRARY_PATH: folders.join(':') }
}

export function isAvailable(found: boolean, reason: string): boolean {
  if (!found && process.env['CI'] === 'true') throw new Error(`${reason}, and CI must not skip their tests`)
  if (!found) process.stderr.write(`${reason}: their tests are skipped\n`)
  return found
}

/** The path of the program. */
export function buildGoMutex(): Promise<string> {
  return buildGo('go-mutex', GO_SOURCE)
}

/** The path of the program. */
export function buildVapiClient(): Promise<string> {
  return buildGo('vapi-client', VAPI_SOURCE)
}

export async function buildGo(name: string, source: string): Promise<string> {
  mkdirSync(CACHE, { recursive: true })
  const binary = join(CACHE, `${name}-${process.pid}`)
  await run('go', ['build', '-o', binary, '.'], {
    cwd: source,
    timeout: GO_BUILD_MS_MAX,
    env: { ...process.env, GO111MODULE: 'off', GOPATH, GOFLAGS: '', GOCACHE: join(CACHE, 'go-build') },
  })
  return binary
}

export async function startTooz(endpoint: string, name: string, ttlSeconds: number): Promise<ForeignClient> {
  const url = `etcd3+${endpoint}?api_version=v3&timeout=${ttlSeconds}&lock_timeout=${ttlSeconds}`
  const client = new ForeignClient(PYTHON, [TOOZ_PROGRAM, url, name])
  await client.next()
  return client
}

/** False where Go or govmomi is not installed. Under `CI=true` it throws instead. */
export function govmomiAvailable(): boolean {
  return isAvailable(
    spawnSync('go', ['version']).error === undefined &&
      existsSync(join(GOPATH, 'src/github.com/vmware/govmomi/vapi/rest')),
    'golang-go or golang-github-vmware-govmomi-dev is not installed',
  )
}

/** govmomi's REST client, pointed at `url`, once it has said `ready`. */
export async function startVapiClient(binary: string, url: string): Promise<ForeignClient> {
  const client = new ForeignClient(binary, [url])
  await client.next()
  return client
}
