// Reads configurations from strings, with the knowledge of a small made-up gateway.

import type { Knowledge, LoadResult } from '../../../gateway/config/index.ts'
import { formatFaults, loadConfig } from '../../../gateway/config/index.ts'

export const MINIMAL =
  'store: { embedded: { path: data } }\ndefaultPlan: p\nfencers: { k: { driver: process } }\nplans: { p: { levels: [[k]] } }\n'

const PEMS: Readonly<Record<string, string>> = {
  '/etc/fencegate/cert.pem': '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n',
  '/etc/fencegate/key.pem': '-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n',
  '/etc/fencegate/other.key': '-----BEGIN PRIVATE KEY-----\nBB==\n-----END PRIVATE KEY-----\n',
  '/run/secrets/vc': 'swordfish from a file\n',
}

export const knowledge: Knowledge = {
  policies: (packs) => ({
    names: [
      'cinder',
      'vsphere',
      'restless',
      ...Object.keys(packs).filter((name) => packs[name]?.['extends']),
    ],
    faults: Object.entries(packs).flatMap(([name, pack]) =>
      pack['extends'] === undefined || pack['extends'] === 'nobody'
        ? [{ path: [name], message: 'extends nothing', expected: 'extends' }]
        : [],
    ),
    quietMs: (name) => (name === 'restless' || packs[name]?.['extends'] === 'nobody' ? null : 60_000),
  }),
  drivers: ['process', 'exec', 'vsphere-session', 'fence-agent'],
  driverOptions: (_driver, options) =>
    'pasword' in options
      ? [{ path: ['pasword'], message: 'unknown option "pasword"', expected: 'password' }]
      : options['password'] === ''
        ? [{ path: ['password'], message: 'must not be empty' }]
        : [],
  tlsFault: ({ key }) => (key?.includes('BB==') === true ? 'the key is another' : null),
}

export function read(text: string, environment: Readonly<Record<string, string>> = {}): LoadResult {
  return loadConfig({
    file: '/etc/fencegate/fencegate.yaml',
    environment,
    knowledge,
    readFile: (path) => {
      const content = path === '/etc/fencegate/fencegate.yaml' ? text : PEMS[path]
      if (content === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' })
      return content
    },
  })
}

/** The printed faults without the file's directory; throws where there are none. */
export function faultsOf(text: string, environment: Readonly<Record<string, string>> = {}): string {
  const result = read(text, environment)
  if (result.kind === 'loaded') throw new Error('this configuration has no faults')
  return formatFaults(result.faults).replaceAll('/etc/fencegate/fencegate.yaml', 'f')
}

export function warningsOf(text: string): string {
  const result = read(text)
  return formatFaults(result.warnings).replaceAll('/etc/fencegate/fencegate.yaml', 'f')
}
