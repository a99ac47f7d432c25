// The calls that are sent: Cinder's "extend", and a SOAP call of 4 KiB to a virtual machine. What a call changes stands
// in its body; peers that read no bodies are told by the target instead.

import type { RunningPeer } from './peers/peer.ts'

export type Api = 'cinder' | 'vsphere'

export interface BenchLock {
  /** Of the volume or the machine that the lock protects. */
  readonly id: string
  readonly name: string
  /** Decimal. */
  readonly token: string
}

const PROJECT = '7a4f2c9e1b3d4e5f8a6b7c8d9e0f1a2b'
const SOAP_BYTES = 4096

/** The name under which the pack of this API wants the lock. */
export function lockName(api: Api, id: string): string {
  switch (api) {
    case 'cinder':
      return `cinder/volume/${id}`
    case 'vsphere':
      return `vmware/vm/${id}`
  }
}

/** Where a peer that reads no bodies gets the checked call, a different target for each lock. */
export function plainTarget(api: Api, id: string): string {
  switch (api) {
    case 'cinder':
      return `/v3/${PROJECT}/volumes/${id}/action`
    case 'vsphere':
      return `/sdk/${id}`
  }
}

/** A call that changes what the lock protects. `fields`: more header fields. */
export function checkedCall(
  api: Api,
  lock: BenchLock,
  { port, readsBodies }: Pick<RunningPeer, 'port' | 'readsBodies'>,
  fields: readonly string[] = [],
): string {
  switch (api) {
    case 'cinder':
      return message(`POST ${plainTarget(api, lock.id)}`, port, {
        headers: [`Fencing-Token: ${lock.token}`, 'Content-Type: application/json', ...fields],
        body: '{"os-extend":{"new_size":2}}',
      })
    case 'vsphere':
      return message(`POST ${readsBodies ? '/sdk' : plainTarget(api, lock.id)}`, port, {
        headers: [
          `Fencing-Token: ${lock.token}`,
          'Content-Type: text/xml; charset="utf-8"',
          'SOAPAction: "urn:vim25/6.5"',
          ...fields,
        ],
        body: setScreens(lock.id),
      })
  }
}

/** A call that changes nothing. */
export function read(lock: BenchLock, { port }: Pick<RunningPeer, 'port'>): string {
  return message(`GET /v3/${PROJECT}/volumes/${lock.id}`, port, { headers: [], body: null })
}

interface Parts {
  readonly headers: readonly string[]
  readonly body: string | null
}

function message(start: string, port: number, { headers, body }: Parts): string {
  return [
    `${start} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'User-Agent: bench',
    'Accept: */*',
    'X-Auth-Token: 0123456789abcdef0123456789abcdef',
    ...headers,
    ...(body === null ? [] : [`Content-Length: ${body.length}`]),
    '',
    body ?? '',
  ].join('\r\n')
}

/** A method without a task, so that its answer ends the call, with a list as long as one likes. */
function setScreens(vm: string): string {
  const start =
    '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>' +
    `<SetDisplayTopology xmlns="urn:vim25"><_this type="VirtualMachine">${vm}</_this>`
  const end = '</SetDisplayTopology></soapenv:Body></soapenv:Envelope>'
  const screen = '<displays><x>0</x><y>0</y><width>1024</width><height>768</height></displays>'
  const screens = screen.repeat(Math.floor((SOAP_BYTES - start.length - end.length) / screen.length))
  return `${start}${screens}${end}`.padEnd(SOAP_BYTES)
}
