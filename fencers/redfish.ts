// Cuts the power of the holder's machine through its BMC's Redfish API, and looks whether it is off.
// It must never cut a machine that is not the one named: which system, is never guessed.

import { z } from 'zod'
import { type Attempt, defineFencer, FenceInfoFault, type Verification } from '../gateway/spi/fencer.ts'
import {
  createHttpEndpoint,
  type HttpAnswer,
  type HttpEndpoint,
  type HttpRequest,
  HttpTls,
  HttpUrl,
  strikeCheck,
} from './http/client.ts'
import { at } from './http/judgement.ts'
import { createOwnSession, type OwnSession } from './http/own-session.ts'

const Machine = z.strictObject({
  url: HttpUrl,
  /** Its resource; needed where the BMC has several. */
  system: z
    .string()
    .regex(/^\/redfish\/v1\/Systems\/[^/?#]+$/, { error: 'as in /redfish/v1/Systems/1' })
    .optional(),
  tls: HttpTls.optional(),
})
type Machine = z.infer<typeof Machine>

const RedfishOptions = z.strictObject({
  machines: z
    .record(z.string().min(1), Machine)
    .refine((machines) => Object.keys(machines).length > 0, { error: 'at least one machine' })
    .describe('host name → {url, system?, tls?}: the BMC, and the system at it where it has several'),
  username: z.string().min(1).describe('an account of the BMCs that may reset the system'),
  password: z.string().min(1).describe('of that account'),
  tls: HttpTls,
})
type RedfishOptions = z.infer<typeof RedfishOptions>

const RedfishInfo = z.object({
  host: z.string().min(1).max(256).describe('which of the configured machines the holder runs on'),
  systemUuid: z
    .string()
    .min(8)
    .max(64)
    .optional()
    .describe('of the machine (dmidecode -s system-uuid): another one is never struck'),
  serialNumber: z.string().min(1).max(128).optional().describe('of the machine, likewise'),
  lastResetTime: z.iso
    .datetime({ offset: true })
    .optional()
    .describe("the BMC's LastResetTime when the holder started: after a later one the machine is left alone"),
})
type RedfishInfo = z.infer<typeof RedfishInfo>

interface System {
  readonly path: string
  readonly powerState: string
  readonly uuid: string
  readonly serialNumber: string
  readonly lastResetMs: number
  readonly resetPath: string
}

interface Bmc {
  readonly endpoint: HttpEndpoint
  readonly own: OwnSession<{ readonly token: string; readonly location: string | null }>
  readonly machine: Machine
}

const SESSIONS = '/redfish/v1/SessionService/Sessions'
const SYSTEMS = '/redfish/v1/Systems'
const LOGOUT_MS_MAX = 3_000
const MONITORS_AT_ONCE = 8
/** A BMC may write the same reset down a little differently each time. */
const RESET_MARGIN_MS = 5_000

/**
 * What it proves: a machine without power starts no calls. Power strikes whoever is on the machine, so the target is the
 * machine and not its boot: while a fence is due, no new session of this machine gets a lock.
 */
export default defineFencer<RedfishOptions, RedfishInfo>({
  id: 'redfish',
  summary: "powers the holder's machine off through its BMC (Redfish)",
  power: true,
  options: RedfishOptions,
  fenceInfo: RedfishInfo,
  example: {
    options: {
      machines: {
        'compute-3': { url: 'https://compute-3.bmc.example', tls: { fingerprint: '00'.repeat(32) } },
      },
      username: 'fencer',
      password: 'file:/run/secrets/bmc',
    },
    fenceInfo: { host: 'compute-3', systemUuid: '30343536-3138-5a43-3235-313430374c50' },
  },
  proves: () => ['no-new-calls'],
  target: (info) => info.host,

  create(options) {
    const bmcs = new Map<string, Bmc>()

    function machineOf(host: string): Machine {
      const machine = Object.hasOwn(options.machines, host) ? options.machines[host] : undefined
      if (machine === undefined) throw new FenceInfoFault(`no machine ${host} is configured`)
      return machine
    }

    function bmcOf(host: string): Bmc {
      const known = bmcs.get(host)
      if (known !== undefined) return known
      const machine = machineOf(host)
      const endpoint = createHttpEndpoint({ url: machine.url, tls: machine.tls ?? options.tls })
      const own = createOwnSession(async (signal) => {
        const json = { UserName: options.username, Password: options.password }
        const answer = await endpoint.send({ method: 'POST', path: SESSIONS, json }, signal)
        const token = answer.header('x-auth-token')
        if (answer.status !== 201 || token === undefined)
          throw new Error(`${endpoint.host} answered the login with ${answer.status}`)
        return { token, location: pathOf(answer.header('location'), machine.url) }
      })
      const bmc = { endpoint, own, machine }
      bmcs.set(host, bmc)
      return bmc
    }

    async function call(
      { endpoint, own }: Bmc,
      wanted: HttpRequest,
      signal: AbortSignal,
      lastCheck?: () => void,
    ): Promise<HttpAnswer> {
      for (let again = false; ; again = true) {
        const session = await own.get(signal)
        const headers = { 'X-Auth-Token': session.token }
        const answer = await endpoint.send({ ...wanted, headers }, signal, lastCheck)
        // What was refused for want of a session has done nothing.
        if (answer.status !== 401 || again) return answer
        own.drop(session)
      }
    }

    async function get(bmc: Bmc, path: string, signal: AbortSignal): Promise<unknown> {
      const answer = await call(bmc, { method: 'GET', path }, signal)
      if (answer.status !== 200)
        throw new Error(`${bmc.endpoint.host} answered ${answer.status} to GET ${path}`)
      // Whoever else answers with 200 does not know what was asked for.
      if (at(answer.json, '/@odata.id') !== path && at(answer.json, '/@odata.id') !== `${path}/`)
        throw new Error(`${bmc.endpoint.host} did not answer GET ${path} with that resource`)
      return answer.json
    }

    async function readSystem(bmc: Bmc, signal: AbortSignal): Promise<System> {
      const path = bmc.machine.system ?? (await onlySystem(bmc, signal))
      const system = await get(bmc, path, signal)
      const target = at(system, '/Actions/#ComputerSystem.Reset/target')
      return {
        path,
        powerState: textAt(system, '/PowerState'),
        uuid: textAt(system, '/UUID'),
        serialNumber: textAt(system, '/SerialNumber'),
        lastResetMs: Date.parse(textAt(system, '/LastResetTime')),
        resetPath: typeof target === 'string' ? target : `${path}/Actions/ComputerSystem.Reset`,
      }
    }

    async function onlySystem(bmc: Bmc, signal: AbortSignal): Promise<string> {
      const members = at(await get(bmc, SYSTEMS, signal), '/Members')
      const [first, ...others] = Array.isArray(members) ? members : []
      const path = at(first, '/@odata.id')
      if (others.length > 0)
        throw new Error(`${bmc.endpoint.host} has ${others.length + 1} systems: name one of them (system:)`)
      if (typeof path !== 'string') throw new Error(`${bmc.endpoint.host} lists no system`)
      return path
    }

    async function reset(info: RedfishInfo, type: 'ForceOff' | 'On', attempt: Attempt): Promise<void> {
      const bmc = bmcOf(info.host)
      const wanted = type === 'On' ? 'On' : 'Off'
      const before = await readSystem(bmc, attempt.signal)
      const stranger = strangerIn(before, info)
      if (stranger !== null) throw new Error(`${stranger}: it was left alone`)
      if (type === 'ForceOff' && wasResetSince(before, info)) {
        attempt.note(`${info.host} was reset since the holder started: it was left alone`)
        return
      }
      if (before.powerState === wanted) {
        attempt.note(`the power of ${info.host} was ${wanted} already`)
        return
      }
      const request = { method: 'POST', path: before.resetPath, json: { ResetType: type } }
      const answer = await call(bmc, request, attempt.signal, strikeCheck(attempt))
      const said = `${bmc.endpoint.host} answered ${answer.status} to ${type} of ${before.path}`
      if (answer.status === 400 || answer.status === 409) {
        // So BMCs refuse to turn off what is off.
        const after = await readSystem(bmc, attempt.signal)
        if (after.powerState !== wanted) throw new Error(`${said}, and its power is ${after.powerState}`)
      } else if (answer.status < 200 || answer.status > 299) throw new Error(said)
      attempt.note(said)
    }

    async function observe(info: RedfishInfo, signal: AbortSignal): Promise<Verification> {
      const bmc = bmcOf(info.host)
      const system = await readSystem(bmc, signal)
      const stranger = strangerIn(system, info)
      if (stranger !== null) return { state: 'unknown', reason: stranger }
      const request = `GET ${system.path} at ${bmc.endpoint.host}`
      if (wasResetSince(system, info)) {
        const observed = `${info.host} was reset at ${new Date(system.lastResetMs).toISOString()}, after the holder started`
        return { state: 'fenced', evidence: { observed, request } }
      }
      switch (system.powerState) {
        case 'Off':
          return { state: 'fenced', evidence: { observed: `the power of ${info.host} is Off`, request } }
        case 'On':
        case 'PoweringOff':
        case 'PoweringOn':
        case 'Paused':
          return { state: 'not-fenced', reason: `the power of ${info.host} is ${system.powerState}` }
        default:
          return {
            state: 'unknown',
            reason: `${bmc.endpoint.host} does not say how the power of ${info.host} is`,
          }
      }
    }

    return {
      check: (info) => void machineOf(info.host),
      fence: (info, attempt) => reset(info, 'ForceOff', attempt),
      unfence: (info, attempt) => reset(info, 'On', attempt),

      async verify(info, attempt) {
        try {
          return await observe(info, attempt.signal)
        } catch (error) {
          if (!(error instanceof Error)) throw error
          return { state: 'unknown', reason: `the BMC of ${info.host} could not be asked: ${error.message}` }
        }
      },

      async monitor({ signal }) {
        const hosts = Object.keys(options.machines)
        const faults: string[] = []
        const look = async (): Promise<void> => {
          for (let host = hosts.shift(); host !== undefined; host = hosts.shift()) {
            try {
              const { powerState } = await readSystem(bmcOf(host), signal)
              if (powerState === '') throw new Error('it does not say how the power is')
            } catch (error) {
              faults.push(`${host}: ${error instanceof Error ? error.message : String(error)}`)
            }
          }
        }
        await Promise.all(Array.from({ length: MONITORS_AT_ONCE }, look))
        if (faults.length > 0) throw new Error(faults.sort().slice(0, 20).join('; '))
      },

      async close() {
        const closing = [...bmcs.values()]
        bmcs.clear()
        await Promise.all(
          closing.map(async ({ endpoint, own }) => {
            const session = own.take()
            if (session !== null && session.location !== null) {
              const goodbye = {
                method: 'DELETE',
                path: session.location,
                headers: { 'X-Auth-Token': session.token },
              }
              // A session that cannot be closed now ends by the idle time-out of the BMC.
              await endpoint.send(goodbye, AbortSignal.timeout(LOGOUT_MS_MAX)).catch(() => undefined)
            }
            await endpoint.close()
          }),
        )
      },
    }
  },
})

/** Why this system is not the holder's; null where nothing speaks against it. */
function strangerIn(system: System, info: RedfishInfo): string | null {
  const { systemUuid, serialNumber } = info
  if (systemUuid !== undefined && plain(system.uuid) !== plain(systemUuid))
    return `the machine at the BMC of ${info.host} has the UUID ${system.uuid || '(none)'}, not the holder's`
  if (serialNumber !== undefined && system.serialNumber !== serialNumber)
    return `the machine at the BMC of ${info.host} has the serial number ${system.serialNumber || '(none)'}, not the holder's`
  return null
}

/** A BMC that does not tell when, says false: then only power that is off counts. */
function wasResetSince(system: System, info: RedfishInfo): boolean {
  return (
    info.lastResetTime !== undefined && system.lastResetMs > Date.parse(info.lastResetTime) + RESET_MARGIN_MS
  )
}

function plain(uuid: string): string {
  return uuid.replaceAll('-', '').toLowerCase()
}

function textAt(document: unknown, pointer: string): string {
  const found = at(document, pointer)
  return typeof found === 'string' ? found : ''
}

function pathOf(location: string | undefined, url: string): string | null {
  if (location === undefined || !URL.canParse(location, url)) return null
  const target = new URL(location, url)
  return target.origin === new URL(url).origin ? target.pathname : null
}
