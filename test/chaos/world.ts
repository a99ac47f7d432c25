// Everybody of one run: etcd members, gateways, the backend and the holders, started in this order and ended in the opposite one.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { Random } from '../sim/random.ts'
import { freePort } from '../support/free-port.ts'
import { type LogLine, nowMs, openLog } from './log.ts'
import type { Network } from './network/network.ts'
import { Observer } from './observer.ts'
import { Program, type ProgramEnd } from './processes.ts'
import { DRAIN_SECONDS, GATEWAY_LEASE_SECONDS, QUIET_SECONDS, type Scenario } from './scenario.ts'

export const PREFIX = '/fencegate'
export const CREDENTIAL = 'whoever-takes-part-in-chaos'
const START_MS_MAX = 30_000
/** Calls and releases of one holder process. */
const NUMBERS = 1_000_000

interface Ports {
  readonly address: string
  readonly client: number
  readonly peer: number
}

export interface GatewayParty {
  readonly name: string
  readonly program: Program
  /** As the runner reaches it. */
  readonly control: string
  ready: boolean
}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export class World {
  readonly folder: string
  readonly logs: string
  readonly scenario: Scenario
  readonly network: Network
  readonly log: (line: LogLine) => void
  readonly etcd: Program[] = []
  readonly gateways: GatewayParty[] = []
  readonly holders: Program[] = []
  /** Fences by the gateways' process driver, seen as deaths of holders that nobody of us killed. */
  holdersLost = 0
  /** Who did not do in time what he had to, and was killed. */
  readonly hung: string[] = []
  readonly #random: Random
  #endpoints: string[] = []
  #backend: Program | null = null
  #observer: Observer | null = null
  #numbers = 0
  #starts = 0
  #over = false
  #closed = false

  constructor(scenario: Scenario, network: Network, folder: string) {
    this.folder = folder
    this.logs = join(folder, 'logs')
    this.scenario = scenario
    this.network = network
    this.#random = new Random(scenario.seed + 1)
    mkdirSync(this.logs)
    this.log = openLog(join(this.logs, 'runner.log'))
  }

  get observer(): Observer {
    if (this.#observer === null) throw new Error('nobody looks on yet')
    return this.#observer
  }

  get backend(): Program {
    if (this.#backend === null) throw new Error('there is no backend yet')
    return this.#backend
  }

  /** Of the etcd members, as the runner reaches them. */
  get endpoints(): readonly string[] {
    return this.#endpoints
  }

  async start(): Promise<void> {
    await this.#startEtcd()
    this.#observer = new Observer(this.#endpoints, PREFIX)
    const backend = await this.#startBackend()
    const listening = await this.#startGateways(backend)
    await this.#startHolders(backend, listening)
  }

  async #startEtcd(): Promise<void> {
    const members: (Ports & { readonly name: string })[] = []
    const local = this.network.kind === 'relays'
    for (let i = 1; i <= this.scenario.etcdMembers; i++) {
      const name = `etcd-${i}`
      const { address } = await this.network.place(name)
      members.push({
        name,
        address,
        client: local ? await freePort() : 2379,
        peer: local ? await freePort() : 2380,
      })
    }
    const cluster = members.map(({ name, address, peer }) => `${name}=http://${address}:${peer}`).join(',')
    this.#endpoints = members.map(({ address, client }) => `http://${address}:${client}`)
    for (const { name, address, client, peer } of members) {
      const clients = `http://${address}:${client}`
      const peers = `http://${address}:${peer}`
      const program = new Program({
        name,
        place: await this.network.place(name),
        argv: () => [
          'etcd',
          `--name=${name}`,
          `--data-dir=${join(this.folder, name)}`,
          `--listen-client-urls=${clients}`,
          `--advertise-client-urls=${clients}`,
          `--listen-peer-urls=${peers}`,
          `--initial-advertise-peer-urls=${peers}`,
          `--initial-cluster=${cluster}`,
          '--heartbeat-interval=50',
          '--election-timeout=500',
          '--unsafe-no-fsync',
          '--logger=zap',
          '--log-level=error',
        ],
        onEnd: (end) => this.#ended(name, end),
        onHung: this.#hung(name),
      })
      this.etcd.push(program)
      await program.start(false)
    }
    await this.#until('etcd', async () => {
      for (const endpoint of this.#endpoints) {
        const answer = await fetch(`${endpoint}/health`, { signal: AbortSignal.timeout(1_000) })
        if (!(await answer.text()).includes('"true"')) return false
      }
      return true
    })
  }

  async #startBackend(): Promise<{ readonly port: number; readonly address: string }> {
    const place = await this.network.place('backend')
    const port = this.network.kind === 'relays' ? await freePort() : 8000
    this.#backend = new Program({
      name: 'backend',
      place,
      argv: () => [
        process.execPath,
        file('./parties/backend.ts'),
        place.address,
        String(port),
        join(this.logs, 'backend.log'),
        String(this.scenario.seed),
      ],
      onEnd: (end) => this.#ended('backend', end),
      onHung: this.#hung('backend'),
    })
    if ((await this.#backend.start(true)) === null)
      throw new Error(`the backend did not start: ${this.#backend.output}`)
    return { port, address: place.address }
  }

  async #startGateways(backend: { readonly port: number }): Promise<GatewayPorts[]> {
    const listening: GatewayPorts[] = []
    for (let i = 1; i <= this.scenario.gateways; i++) {
      const name = `gateway-${i}`
      const place = await this.network.place(name)
      const local = this.network.kind === 'relays'
      const ports = {
        name,
        control: local ? await freePort() : 7070,
        backend: local ? await freePort() : 8080,
      }
      listening.push(ports)
      const endpoints: string[] = []
      for (const endpoint of this.#endpoints) {
        const port = Number(new URL(endpoint).port)
        const member = this.etcd[this.#endpoints.indexOf(endpoint)]?.name ?? ''
        endpoints.push(`http://${await this.network.route(name, member, port)}`)
      }
      const upstream = `http://${await this.network.route(name, 'backend', backend.port)}`
      const folder = join(this.folder, name)
      mkdirSync(folder)
      const configuration = join(folder, 'fencegate.yaml')
      writeFileSync(
        configuration,
        stringify(
          configurationOf({ endpoints, upstream, ports, address: place.address, route: this.scenario.route }),
        ),
      )
      const program = new Program({
        name,
        place,
        argv: () => [
          process.execPath,
          '--import',
          file('./parties/witness.ts'),
          file('../../gateway/main.ts'),
          'serve',
          '-c',
          configuration,
        ],
        env: () => ({ FENCEGATE_CHAOS_LOG: join(this.logs, `${name}.${++this.#starts}.log`) }),
        onEnd: (end) => {
          const known = this.gateways[i - 1]
          const served = known?.ready === true
          if (known !== undefined) known.ready = false
          this.#gatewayEnded(name, served, end)
        },
        onHung: this.#hung(name),
      })
      this.gateways.push({ name, program, control: `http://${place.address}:${ports.control}`, ready: false })
    }
    const untilMs = nowMs() + START_MS_MAX
    await Promise.all(this.gateways.map((gateway) => this.startGateway(gateway, untilMs)))
    for (const { name, ready, program } of this.gateways)
      if (!ready) throw new Error(`${name} did not start: ${program.output}`)
    return listening
  }

  /** Again and again, until it serves or the run, or its time, is over. */
  async startGateway(gateway: GatewayParty, untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    while (!this.#closed && !gateway.program.running && nowMs() < untilMs) {
      if ((await gateway.program.start(true)) !== null) {
        gateway.ready = true
        return
      }
      await sleep(300)
    }
  }

  async #startHolders(
    backend: { readonly port: number; readonly address: string },
    listening: readonly GatewayPorts[],
  ): Promise<void> {
    const { holders, route, locks, seed } = this.scenario
    for (const [index, kind] of holders.entries()) {
      const name = `holder-${index + 1}-${kind}`
      const place = await this.network.place(name)
      const gateways: { name: string; control: string; backend: string }[] = []
      for (const ports of listening)
        gateways.push({
          name: ports.name,
          control: await this.network.route(name, ports.name, ports.control),
          backend: await (route === 'direct'
            ? this.network.route(name, 'backend', backend.port)
            : this.network.route(name, ports.name, ports.backend)),
        })
      const program: Program = new Program({
        name,
        place,
        argv: () => {
          const start = ++this.#numbers
          const terms = {
            kind,
            name,
            seed: seed * 1_000 + start,
            log: join(this.logs, `${name}.${start}.log`),
            locks,
            gateways,
            etcd: this.#endpoints.map((endpoint) => new URL(endpoint).host),
            prefix: PREFIX,
            credential: CREDENTIAL,
            firstNumber: start * NUMBERS,
          }
          const party = kind === 'foreign' ? './parties/foreign.ts' : './parties/holder.ts'
          return [process.execPath, file(party), JSON.stringify(terms)]
        },
        onEnd: (end) => {
          if (this.#over) return
          if (!end.ours && end.signal !== null) this.holdersLost++
          else if (!end.ours) this.#crashed(name, end)
          if (!end.ours) setTimeout(() => void this.startHolder(program), this.#random.between(200, 1_500))
        },
        onHung: this.#hung(name),
      })
      this.holders.push(program)
      await program.start(false)
    }
  }

  async startHolder(holder: Program): Promise<void> {
    if (!this.#over && !holder.running) await holder.start(false)
  }

  /** From now on no holder is started again. */
  async endHolders(): Promise<void> {
    this.#over = true
    await Promise.all(this.holders.map((holder) => holder.end('SIGTERM')))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#over = true
    const programs = [...this.holders, ...this.gateways.map(({ program }) => program), ...this.etcd]
    for (const program of programs) program.retire()
    await this.#observer?.close()
    await Promise.all(programs.map((program) => program.end()))
    await this.#backend?.end()
    await this.network.close()
    for (const { name, output } of programs) writeFileSync(join(this.logs, `${name}.out`), output)
  }

  async #until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadlineMs = nowMs() + START_MS_MAX
    while (!(await holds().catch(() => false))) {
      if (nowMs() > deadlineMs)
        throw new Error(`${what} did not get ready: ${this.etcd.map(({ output }) => output).join('\n')}`)
      await sleep(50)
    }
  }

  #hung(name: string): (what: string) => void {
    return (what) => this.hung.push(`${name} ${what}`)
  }

  #gatewayEnded(name: string, served: boolean, end: ProgramEnd): void {
    if (this.#closed || end.ours) return
    // Woken past its lease, it ends itself, as it must; and without a store it does not start.
    const stoodStill = end.signal === 'SIGKILL' && end.output.includes('stood still')
    if (served && !stoodStill) this.#crashed(name, end)
    const gateway = this.gateways.find((other) => other.name === name)
    if (served && gateway !== undefined) setTimeout(() => void this.startGateway(gateway), 300)
  }

  #ended(name: string, end: ProgramEnd): void {
    if (!this.#closed && !end.ours) this.#crashed(name, end)
  }

  #crashed(name: string, { code, signal, output }: ProgramEnd): void {
    const error = `ended with ${code ?? signal}: ${output.slice(-1_500)}`
    this.log({ what: 'crashed', atMs: nowMs(), gateway: name, error })
  }
}

interface GatewayPorts {
  readonly name: string
  readonly control: number
  readonly backend: number
}

function configurationOf(options: {
  readonly endpoints: readonly string[]
  readonly upstream: string
  readonly ports: GatewayPorts
  readonly address: string
  readonly route: Scenario['route']
}): unknown {
  const { endpoints, upstream, ports, address, route } = options
  return {
    store: { etcd: { endpoints, prefix: PREFIX } },
    state: './state',
    gateway: { lease: GATEWAY_LEASE_SECONDS },
    control: {
      listen: `${address}:${ports.control}`,
      credentials: [{ token: CREDENTIAL, role: 'operator' }],
    },
    backends: {
      registers: {
        listen: `${address}:${ports.backend}`,
        upstream,
        policy: 'registers',
        enforce: route !== 'shadow',
        limits: { answerTimeout: 3, connectTimeout: 2 },
      },
    },
    policies: {
      registers: {
        policy: 'registers',
        title: 'The register backend of the chaos tests',
        dialect: 'problem',
        default_lock: 'register',
        wait: 2,
        quiet: QUIET_SECONDS,
        locks: { register: 'register/{register}' },
        jobs: {
          written: { kind: 'http', id: '/job', probe: '/jobs/{id}', pointer: '/state', running: ['running'] },
        },
        rules: [
          { id: 'read', method: 'GET', path: '/{path...}', effect: 'read' },
          {
            id: 'append',
            method: 'POST',
            path: '/registers/{register}/append/{call}',
            effect: 'mutate',
            locks: { lock: 'register', mode: 'shared' },
          },
          {
            id: 'write',
            method: 'POST',
            path: '/registers/{register}/write/{call}',
            effect: 'mutate',
            locks: 'register',
          },
          {
            id: 'job',
            method: 'POST',
            path: '/registers/{register}/job/{call}',
            effect: 'mutate',
            locks: 'register',
            job: 'written',
          },
        ],
      },
    },
    fencers: {
      kill: { driver: 'process', graceMs: 0 },
      flush: {
        driver: 'exec',
        command: [process.execPath, file('./parties/flush.ts'), upstream],
        proves: ['flushed'],
      },
    },
    plans: {
      kill: { levels: [['kill']], attempts: 5, timeout: 5 },
      flush: { levels: [['flush']], attempts: 5, timeout: 5 },
    },
    handover: { drainLimit: DRAIN_SECONDS },
    shutdown: { delay: 0.3, limit: DRAIN_SECONDS },
    log: { level: 'info' },
  }
}
