// A BMC with Redfish sessions and systems, as far as fencing goes, that can be slow to switch off, deaf to it, or a liar.

import { type RestAnswer, type RestCall, type RestServer, startRestServer } from './rest-server.ts'

export interface BmcSystem {
  readonly id: string
  uuid: string
  readonly serialNumber: string
  power: string
  lastResetTime: string
}

export interface RedfishBmc {
  readonly server: RestServer
  /** By id. */
  readonly systems: Map<string, BmcSystem>
  readonly openSessions: Set<string>
  /**
   * `slow`: goes through PoweringOff and stays there until `finish`. `deaf`: says 204 and does nothing. `strict`: the
   * machine has just gone off by itself when ForceOff arrives, which is then refused with 409. `refuse`: answers 400 whatever the power is.
   */
  mode: 'prompt' | 'slow' | 'deaf' | 'strict' | 'refuse'
  finish(): void
}

export const SYSTEM_UUID = '30343536-3138-5a43-3235-313430374c50'

export async function startRedfishBmc(settings: {
  readonly password: string
  readonly systems?: number
  readonly tls?: boolean
}): Promise<RedfishBmc> {
  const systems = new Map<string, BmcSystem>()
  for (let i = 1; i <= (settings.systems ?? 1); i++) {
    const uuid = i === 1 ? SYSTEM_UUID : SYSTEM_UUID.replace(/^../, String(i).padStart(2, '0'))
    systems.set(String(i), {
      id: String(i),
      uuid,
      serialNumber: `SN-${i}`,
      power: 'On',
      lastResetTime: '2031-01-01T00:00:00Z',
    })
  }
  const sessions = new Set<string>()
  let opened = 0
  const refused = (status: number): RestAnswer => ({
    status,
    json: { error: { code: 'Base.1.0.GeneralError' } },
  })

  function answer({ method, path, headers, json }: RestCall): RestAnswer {
    if (method === 'POST' && path === '/redfish/v1/SessionService/Sessions') {
      const given: unknown = typeof json === 'object' && json !== null ? Reflect.get(json, 'Password') : null
      if (given !== settings.password) return refused(401)
      const id = `s${++opened}`
      sessions.add(id)
      return {
        status: 201,
        headers: { 'X-Auth-Token': id, Location: `/redfish/v1/SessionService/Sessions/${id}` },
        json: {},
      }
    }
    if (!sessions.has(String(headers['x-auth-token']))) return refused(401)
    const session = /^\/redfish\/v1\/SessionService\/Sessions\/(\w+)$/.exec(path)?.[1]
    if (method === 'DELETE' && session !== undefined)
      return sessions.delete(session) ? { status: 204 } : refused(404)
    if (path === '/redfish/v1/Systems') {
      const members = [...systems.keys()].map((id) => ({ '@odata.id': `/redfish/v1/Systems/${id}` }))
      return { status: 200, json: { '@odata.id': '/redfish/v1/Systems', Members: members } }
    }
    const [, id = '', action] =
      /^\/redfish\/v1\/Systems\/(\w+)(\/Actions\/ComputerSystem\.Reset)?$/.exec(path) ?? []
    const system = systems.get(id)
    if (system === undefined) return refused(404)
    if (action === undefined) return { status: 200, json: resourceOf(system) }
    const type: unknown = typeof json === 'object' && json !== null ? Reflect.get(json, 'ResetType') : null
    return method === 'POST' ? reset(system, String(type)) : refused(405)
  }

  function reset(system: BmcSystem, type: string): RestAnswer {
    if (bmc.mode === 'refuse') return refused(400)
    if (bmc.mode === 'deaf') return { status: 204 }
    if (type === 'On') system.power = 'On'
    else if (type !== 'ForceOff') return refused(400)
    else if (bmc.mode === 'strict') {
      system.power = 'Off'
      return refused(409)
    } else system.power = bmc.mode === 'slow' ? 'PoweringOff' : 'Off'
    return { status: 204 }
  }

  const server = await startRestServer(answer, { tls: settings.tls === true })
  const bmc: RedfishBmc = {
    server,
    systems,
    openSessions: sessions,
    mode: 'prompt',
    finish() {
      for (const system of systems.values()) if (system.power === 'PoweringOff') system.power = 'Off'
    },
  }
  return bmc
}

function resourceOf(system: BmcSystem): unknown {
  const path = `/redfish/v1/Systems/${system.id}`
  return {
    '@odata.id': path,
    UUID: system.uuid,
    SerialNumber: system.serialNumber,
    PowerState: system.power,
    LastResetTime: system.lastResetTime,
    Actions: { '#ComputerSystem.Reset': { target: `${path}/Actions/ComputerSystem.Reset` } },
  }
}
