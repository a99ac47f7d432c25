// A network namespace for each party, all on one bridge inside the namespace of the run itself. A direction is cut by telling
// the sender a wrong hardware address for the receiver: frames leave, and arrive nowhere. To be used inside UNSHARE alone.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Network, Place } from './network.ts'

const NOWHERE = '02:00:00:00:ff:ff'

interface Party {
  readonly sleeper: ChildProcess
  readonly pid: number
  readonly address: string
  readonly hardware: string
}

/** A command of the network's; what takes longer has hung. */
const COMMAND_MS_MAX = 10_000

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: COMMAND_MS_MAX })
}

function ipWithin(pid: number, words: string): void {
  execFileSync('nsenter', ['--target', String(pid), '--net', '--', 'ip', ...words.split(' ')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: COMMAND_MS_MAX,
  })
}

export class NamespaceNetwork implements Network {
  readonly kind = 'namespaces'
  readonly missing: ReadonlyMap<string, string> = new Map()
  readonly #parties = new Map<string, Party>()
  readonly #flapping = new Map<string, NodeJS.Timeout>()
  /** What must stay cut, whatever a flapping link does. */
  readonly #cuts = new Set<string>()

  constructor() {
    ip('link', 'set', 'lo', 'up')
    ip('link', 'add', 'fence', 'type', 'bridge')
    ip('address', 'add', '10.77.0.1/24', 'dev', 'fence')
    ip('link', 'set', 'fence', 'up')
  }

  async place(party: string): Promise<Place> {
    const known = this.#parties.get(party)
    if (known !== undefined) return placeOf(known)
    const number = this.#parties.size + 2
    const sleeper = spawn('unshare', ['--net', 'sh', '-c', 'echo; exec sleep 86400'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const pid = sleeper.pid
    if (pid === undefined) throw new Error('unshare did not start')
    const began = { signal: AbortSignal.timeout(COMMAND_MS_MAX) }
    await Promise.race([once(sleeper.stdout, 'data', began), endOf(sleeper, began)])
    const hardware = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`
    const address = `10.77.0.${number}`
    ip('link', 'add', `v${number}`, 'type', 'veth', 'peer', 'name', `p${number}`)
    ip('link', 'set', `v${number}`, 'master', 'fence', 'up')
    ip('link', 'set', `p${number}`, 'netns', String(pid))
    for (const words of [
      `link set p${number} name wire address ${hardware} up`,
      'link set lo up',
      `address add ${address}/24 dev wire`,
    ])
      ipWithin(pid, words)
    const added: Party = { sleeper, pid, address, hardware }
    this.#parties.set(party, added)
    return placeOf(added)
  }

  route(_from: string, to: string, port: number): Promise<string> {
    return Promise.resolve(`${this.#party(to).address}:${port}`)
  }

  cut(from: string, to: string): void {
    this.#cuts.add(`${from} ${to}`)
    this.#tell(from, to, NOWHERE)
  }

  heal(from: string, to: string): void {
    this.#cuts.delete(`${from} ${to}`)
    this.#tell(from, to, this.#party(to).hardware)
  }

  /** By losing all for some milliseconds, again and again: what was lost is sent again by TCP, late. */
  slow(from: string, to: string, delayMsMax: number): void {
    const link = `${from} ${to}`
    clearTimeout(this.#flapping.get(link))
    this.#flapping.delete(link)
    if (!this.#cuts.has(link)) this.#tell(from, to, this.#party(to).hardware)
    if (delayMsMax === 0) return
    let lost = false
    const flap = (): void => {
      lost = !lost
      if (!this.#cuts.has(link)) this.#tell(from, to, lost ? NOWHERE : this.#party(to).hardware)
      this.#flapping.set(link, setTimeout(flap, delayMsMax / 2))
    }
    flap()
  }

  async close(): Promise<void> {
    for (const timer of this.#flapping.values()) clearTimeout(timer)
    // A namespace goes with the last process in it, and its interfaces with the namespace.
    for (const { sleeper } of this.#parties.values()) sleeper.kill('SIGKILL')
  }

  #tell(from: string, to: string, hardware: string): void {
    const { pid } = this.#party(from)
    const { address } = this.#party(to)
    ipWithin(pid, `neighbour replace ${address} lladdr ${hardware} nud permanent dev wire`)
  }

  #party(name: string): Party {
    const party = this.#parties.get(name)
    if (party === undefined) throw new Error(`there is no party ${name}`)
    return party
  }
}

async function endOf(sleeper: ChildProcess, until: { readonly signal: AbortSignal }): Promise<never> {
  await once(sleeper, 'exit', until)
  throw new Error('unshare has ended at once')
}

function placeOf({ address, pid }: Party): Place {
  return { address, prefix: ['nsenter', '--target', String(pid), '--net', '--'] }
}
