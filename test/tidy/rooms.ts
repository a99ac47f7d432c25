// The two tables that the house is held to: which room may import which, and where each foreign library lives.

export interface Room {
  /** Every file below this folder is in the room, unless a room with a longer path has it. */
  readonly folder: string
  /** Rooms it may import from, besides itself; `gateway/**` stands for every room at or below that folder. */
  readonly imports: readonly string[]
  /** Whether Node's own modules may be used here. */
  readonly node: boolean
}

const contracts = ['gateway/core', 'gateway/spi']

export const ROOMS: readonly Room[] = [
  { folder: 'gateway/core', imports: [], node: false },
  { folder: 'gateway/spi', imports: ['gateway/core'], node: false },
  { folder: 'gateway/store', imports: contracts, node: true },
  { folder: 'gateway/store/etcd', imports: [...contracts, 'gateway/store'], node: true },
  { folder: 'gateway/store/embedded', imports: [...contracts, 'gateway/store'], node: true },
  { folder: 'gateway/policy', imports: contracts, node: true },
  { folder: 'gateway/fencing', imports: contracts, node: true },
  { folder: 'gateway/locking', imports: contracts, node: true },
  { folder: 'gateway/telemetry', imports: contracts, node: true },
  { folder: 'gateway/config', imports: contracts, node: true },
  { folder: 'gateway/proxy', imports: contracts, node: true },
  { folder: 'gateway/control', imports: contracts, node: true },
  { folder: 'fencers', imports: contracts, node: true },
  // The composition root: main.ts, serve.ts and the command line know everyone.
  { folder: 'gateway', imports: ['gateway/**', 'fencers'], node: true },
  { folder: 'deploy', imports: ['gateway/**', 'fencers'], node: true },
  { folder: 'test', imports: ['gateway/**', 'fencers', 'clients', 'deploy'], node: true },
]

/** Packages and Node modules that must stay in their rooms; a trailing `/*` stands for a scope. */
export const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  protobufjs: ['gateway/store/etcd'],
  'node:sqlite': ['gateway/store/embedded'],
  'node:cluster': ['gateway/main.ts', 'gateway/workers'],
  fastify: ['gateway/control'],
  '@fastify/*': ['gateway/control'],
  'fastify-type-provider-zod': ['gateway/control'],
  'openapi-types': ['gateway/control'],
  undici: ['gateway/proxy', 'gateway/cli', 'fencers'],
  yaml: ['gateway/config', 'gateway/policy'],
  re2js: ['gateway/policy'],
  pino: ['gateway/telemetry'],
  'prom-client': ['gateway/telemetry'],
  zod: ['gateway', 'fencers', 'clients', 'deploy'],
}

/** Rooms that are closed to a library although they lie below one of its folders. */
export const CLOSED: Readonly<Record<string, readonly string[]>> = {
  zod: ['gateway/core'],
}

/** Libraries that tests import from the file that sets them up. */
export const SET_UP: Readonly<Record<string, string>> = { 'fast-check': 'test/support/fast-check.ts' }

/** Files that may be longer than the limit, each with the reason. */
export const LONG_FILES: Readonly<Record<string, string>> = {}

export const LINES_MAX = { shipped: 400, test: 800 }

/**
 * Tests are skipped only on another platform, or where a program is missing that they run, by asking a function of this
 * name (`describe.skipIf(!etcdAvailable())`), which says why, and fails instead where CI is set.
 */
export const AVAILABILITY = { name: /(available|^platform)$/i, file: 'test/house/availability.ts' }
