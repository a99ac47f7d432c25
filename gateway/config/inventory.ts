// The inventory: a file beside the configuration that says of each host how to reach it, such as the address of its BMC.
// It is read again where it has changed, so that a new host needs no restart.

import { readFileSync, statSync } from 'node:fs'
import { parseDocument } from 'yaml'
import { z } from 'zod'

const value = z.union([z.string().min(1).max(4096), z.number(), z.boolean()])
const InventoryFile = z.strictObject({
  hosts: z.record(z.string().min(1).max(256), z.record(z.string().min(1).max(64), value)),
})

export type InventoryHosts = z.output<typeof InventoryFile>['hosts']

/** Null and why where the text is no inventory. */
export function readInventory(
  text: string,
): { readonly hosts: InventoryHosts } | { readonly hosts: null; readonly fault: string } {
  const document = parseDocument(text)
  const [error] = document.errors
  if (error !== undefined) return { hosts: null, fault: error.message.split('\n')[0] ?? 'no YAML' }
  let json: unknown
  try {
    json = document.toJS()
  } catch (failure) {
    return { hosts: null, fault: failure instanceof Error ? failure.message : 'no YAML' }
  }
  const parsed = InventoryFile.safeParse(json)
  if (parsed.success) return { hosts: parsed.data.hosts }
  const [issue] = parsed.error.issues
  return { hosts: null, fault: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}` }
}

/**
 * Looks hosts up. A file that cannot be read any more, or is no inventory any more, is told once, and what it said before
 * stands: nobody is kept from opening a session by a file that is being written.
 */
export function openInventory(
  path: string,
  onFault: (message: string) => void,
): (host: string) => InventoryHosts[string] | null {
  let seen = ''
  let hosts: InventoryHosts = {}
  return (host) => {
    try {
      const { mtimeMs, size, ino } = statSync(path)
      const version = `${mtimeMs} ${size} ${ino}`
      if (version !== seen) {
        seen = version
        const read = readInventory(readFileSync(path, 'utf8'))
        if (read.hosts === null)
          onFault(`the inventory ${path} is unusable, what it said before stands: ${read.fault}`)
        else hosts = read.hosts
      }
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
      if (seen !== code) onFault(`the inventory ${path} cannot be read, what it said before stands: ${code}`)
      seen = code
    }
    return Object.hasOwn(hosts, host) ? (hosts[host] ?? null) : null
  }
}
