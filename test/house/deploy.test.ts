import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { type Config, formatFaults, type Knowledge, loadConfig } from '../../gateway/config/index.ts'
import { loadFencerRegistry } from '../../gateway/fencing/registry.ts'
import { loadPolicies, makeCatalogue } from '../../gateway/policy/index.ts'
import { describeWith, findProgram } from './availability.ts'

const root = join(import.meta.dirname, '..', '..')
const deploy = join(root, 'deploy')
const examples = readdirSync(join(deploy, 'examples')).filter((name) => name.endsWith('.yaml'))

/** What an example names outside the repository is there for the test: certificates, keys, secrets. */
function readReferenced(path: string): string {
  if (path.startsWith(root)) return readFileSync(path, 'utf8')
  if (path.endsWith('.pem')) return '-----BEGIN CERTIFICATE-----\n'
  if (path.endsWith('.key')) return '-----BEGIN PRIVATE KEY-----\n'
  return 'a secret of more than sixteen characters'
}

const registry = await loadFencerRegistry()
const { packs } = loadPolicies(join(root, 'policies'))
const knowledge: Knowledge = {
  policies: (configured) => makeCatalogue(packs, configured),
  drivers: registry.ids,
  driverOptions: (driver, options) => registry.optionFaults(driver, options),
  // What stands in for the files of an installation is no real certificate.
  tlsFault: () => null,
}

function load(name: string): Config {
  const environment = {
    IPMI_PASSWORD: 'secret',
    FENCEGATE_HOLDER_TOKEN: 'a secret of more than sixteen characters',
    FENCEGATE_OPERATOR_TOKEN: 'another secret of more than sixteen characters',
  }
  const file = join(deploy, 'examples', name)
  const result = loadConfig({ file, environment, readFile: readReferenced, knowledge })
  if (result.kind === 'faulty') throw new Error(formatFaults(result.faults))
  return result.config
}

describe('the example configurations', () => {
  it.each(examples)('%s is valid', (name) => {
    expect(Object.keys(load(name).backends).length).toBeGreaterThan(0)
  })

  it.each(examples)('%s says at its head what it is for', (name) => {
    expect(readFileSync(join(deploy, 'examples', name), 'utf8')).toMatch(/^# [A-Z].{40}/)
  })

  it('there are those that the documents name', () => {
    expect(examples).toEqual([
      'cinder-tooz.yaml',
      'cinder.yaml',
      'sample.yaml',
      'sessions.yaml',
      'three-members.yaml',
      'vcenter.yaml',
    ])
  })

  it('the sample listens on this machine only', () => {
    const { control, backends } = load('sample.yaml')
    const hosts = [control, ...Object.values(backends)].map(({ listen }) => listen.host)
    expect(new Set(hosts)).toEqual(new Set(['127.0.0.1']))
  })
})

const Compose = z.object({
  services: z.record(
    z.string(),
    z.object({
      command: z.string().optional(),
      ports: z.array(z.string()).optional(),
      volumes: z.array(z.string()).optional(),
      entrypoint: z.array(z.string()).optional(),
      environment: z.record(z.string(), z.string()).optional(),
    }),
  ),
})

describe('the containers', () => {
  const folder = join(deploy, 'container')
  const { services } = Compose.parse(
    parse(readFileSync(join(folder, 'compose.yaml'), 'utf8'), { merge: true }),
  )
  const named = (prefix: string): readonly string[] =>
    Object.keys(services).filter((name) => name.startsWith(prefix))
  const config = load('three-members.yaml')
  const proxy = readFileSync(join(deploy, 'haproxy', 'haproxy.cfg'), 'utf8')

  it('run three etcd members that know one another', () => {
    const members = named('etcd-')
    expect(members).toHaveLength(3)
    const cluster = members.map((name) => `${name}=http://${name}:2380`).join(',')
    for (const name of members) {
      expect(services[name]?.command).toContain(`--name ${name} `)
      expect(services[name]?.command).toContain(`--initial-cluster ${cluster} `)
    }
  })

  it('run gateways whose store is those members', () => {
    if (config.store.kind !== 'etcd') throw new Error('three-members.yaml has no etcd')
    expect(config.store.endpoints).toEqual(named('etcd-').map((name) => `http://${name}:2379`))
  })

  it('give each gateway the same configuration, a state of its own, and the secrets that it names', () => {
    const gateways = named('gateway-')
    expect(gateways).toHaveLength(2)
    for (const name of gateways) {
      const [configuration, state] = services[name]?.volumes ?? []
      expect(configuration).toBe('../examples/three-members.yaml:/etc/fencegate/fencegate.yaml:ro')
      expect(state).toBe(`${name}:${config.state}`)
      const text = readFileSync(join(deploy, 'examples', 'three-members.yaml'), 'utf8')
      const variables = [...text.matchAll(/\$\{(\w+)\}/g)].map((match) => match[1])
      expect(Object.keys(services[name]?.environment ?? {})).toEqual(variables)
    }
  })

  it('mount only what is there', () => {
    const sources = Object.values(services)
      .flatMap(({ volumes }) => volumes ?? [])
      .map((volume) => volume.split(':')[0] ?? '')
      .filter((source) => source.startsWith('.'))
    expect(sources.length).toBeGreaterThan(0)
    for (const source of sources) expect(existsSync(join(folder, source)), source).toBe(true)
  })

  it('let the backend be reached through the gateways alone', () => {
    const upstream = new URL(config.backends['volumes']?.upstreams[0] ?? '')
    expect(services[upstream.hostname]?.entrypoint).toContain(upstream.port)
    const published = Object.keys(services).filter((name) => services[name]?.ports !== undefined)
    expect(published).toEqual(['entrance'])
  })

  it('stand behind HAProxy with every port that a gateway listens on', () => {
    const ports = [config.control, ...Object.values(config.backends)].map(({ listen }) => listen.port)
    const bound = [...proxy.matchAll(/^\s+bind :(\d+)$/gm)].map((match) => Number(match[1]))
    expect(new Set(bound)).toEqual(new Set(ports))
    for (const port of ports) {
      for (const name of named('gateway-')) expect(proxy).toContain(`server ${name} ${name}:${port}`)
    }
  })

  it('are built from what is in the checkout', () => {
    const text = readFileSync(join(folder, 'Containerfile'), 'utf8')
    const sources = [...text.matchAll(/^COPY (.+) \S+$/gm)].flatMap((match) => (match[1] ?? '').split(' '))
    expect(sources).toContain('gateway')
    for (const source of sources) expect(existsSync(join(root, source)), source).toBe(true)
    const program = /ENTRYPOINT \["node", "(?<path>[^"]+)"\]/.exec(text)?.groups?.['path'] ?? 'none'
    expect(existsSync(join(root, program)), program).toBe(true)
    const backend = services['volume-backend']?.entrypoint?.[1] ?? 'none'
    expect(existsSync(join(root, backend)), backend).toBe(true)
  })
})

function run(
  program: string,
  args: readonly string[],
): { readonly code: number | null; readonly said: string } {
  const ended = spawnSync(findProgram(program) ?? program, args, { encoding: 'utf8', timeout: 20_000 })
  return { code: ended.status, said: ended.stdout + ended.stderr }
}

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fencegate-deploy-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

describeWith(['haproxy'], 'the HAProxy configuration', () => {
  it('is accepted by HAProxy, without a warning', () => {
    const copy = join(folder, 'haproxy.cfg')
    // The gateways' names are known in their own network only.
    const text = readFileSync(join(deploy, 'haproxy', 'haproxy.cfg'), 'utf8')
    writeFileSync(copy, text.replaceAll(/ gateway-\d:/g, ' 127.0.0.1:'))
    const { code, said } = run('haproxy', ['-c', '-V', '-f', copy])
    expect(said).not.toMatch(/WARNING|ALERT/)
    expect(said).toContain('Configuration file is valid')
    expect(code).toBe(0)
  })

  it('never lets a call be sent a second time', () => {
    const proxy = readFileSync(join(deploy, 'haproxy', 'haproxy.cfg'), 'utf8')
    expect([...proxy.matchAll(/retry-on (.*)/g)].map((match) => match[1])).toEqual(['conn-failure'])
  })
})

describeWith(['systemd-analyze'], 'the systemd unit', () => {
  const source = join(deploy, 'systemd', 'fencegate.service')

  /** systemd looks for the program, which is installed nowhere here. */
  function installedUnit(): string {
    const text = readFileSync(source, 'utf8')
    const unit = join(folder, basename(source))
    writeFileSync(unit, text.replace('/usr/local/bin/fencegate', process.execPath))
    return unit
  }

  it('is accepted by systemd', () => {
    expect(run('systemd-analyze', ['verify', installedUnit()])).toEqual({ code: 0, said: '' })
  })

  it('is exposed less than 2.0 by systemd’s own measure', () => {
    const { code, said } = run('systemd-analyze', [
      'security',
      '--offline=yes',
      '--threshold=20',
      '--no-pager',
      installedUnit(),
    ])
    expect(said).toContain('Overall exposure level')
    expect(code).toBe(0)
  })
})
