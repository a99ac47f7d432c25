// Says which machine, boot and pid namespace this is: a pid or a unit means nothing without them.

import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

export interface Machine {
  readonly bootId: string
  readonly pidNamespace: string
  /** Machine id and name: machines that were cloned share the id. */
  readonly host: string
}

export function machine(): Machine {
  return {
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync('/proc/self/ns/pid'),
    host: `${machineId()}/${hostname()}`,
  }
}

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim()
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return ''
    throw error
  }
}
