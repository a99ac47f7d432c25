// A strict reader of JSON-RPC requests: one call, or a batch of them. What is no request, or could be read in two ways,
// is a fault.

import { isJsonArray, isJsonObject, type JsonValue, readJson } from './json-reader.ts'

/** A batch of more calls is a fault: each is classified by itself. */
export const RPC_CALLS_MAX = 64

export interface RpcCall {
  readonly method: string
  /** Null where there are none. */
  readonly params: JsonValue
  /** As JSON text, for the answer; `null` where there is none. */
  readonly id: string
}

export type RpcReading =
  | { readonly ok: true; readonly isBatch: boolean; readonly calls: readonly RpcCall[] }
  | { readonly ok: false; readonly reason: string }

/** Reads the whole of `body`. Never throws. */
export function readRpc(body: Buffer): RpcReading {
  const reading = readJson(body)
  if (!reading.ok) return reading
  const isBatch = isJsonArray(reading.value)
  const written = isJsonArray(reading.value) ? reading.value : [reading.value]
  if (written.length === 0) return { ok: false, reason: 'the batch holds no call' }
  if (written.length > RPC_CALLS_MAX)
    return { ok: false, reason: `the batch holds more than ${RPC_CALLS_MAX} calls` }
  const calls: RpcCall[] = []
  for (const value of written) {
    const call = rpcCall(value)
    if (typeof call === 'string') return { ok: false, reason: call }
    calls.push(call)
  }
  return { ok: true, isBatch, calls }
}

const MEMBERS = new Set(['jsonrpc', 'method', 'params', 'id'])

function rpcCall(value: JsonValue): RpcCall | string {
  if (value === null || !isJsonObject(value)) return 'a call must be an object'
  // Whatever else stands there, such as `Method`, a lenient reader may take for one of these.
  for (const key of value.keys())
    if (!MEMBERS.has(key)) return `a call has no member ${JSON.stringify(key.slice(0, 64))}`
  const method = value.get('method')
  if (typeof method !== 'string' || !/^[A-Za-z0-9_.:-]{1,256}$/.test(method))
    return 'a call must name its method in letters, digits, dots, colons, hyphens and underscores'
  const params = value.get('params') ?? null
  if (params !== null && !isJsonObject(params) && !isJsonArray(params))
    return 'the params of a call must be an object or an array'
  const id = value.get('id') ?? null
  if (id === null) return { method, params, id: 'null' }
  if (typeof id === 'string') return { method, params, id: JSON.stringify(id) }
  if (typeof id === 'boolean' || isJsonObject(id) || isJsonArray(id))
    return 'the id of a call must be a text, a number or null'
  return { method, params, id: id.digits }
}
