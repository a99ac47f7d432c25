import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { loadConfig, nearest, parseListen, Secret } from '../../../gateway/config/index.ts'
import { collide, formatListen, isLoopback } from '../../../gateway/config/listen.ts'
import { faultsOf, MINIMAL, read, warningsOf } from './read.ts'

function loaded(text: string, environment: Readonly<Record<string, string>> = {}) {
  const result = read(text, environment)
  if (result.kind === 'faulty') throw new Error(result.faults.map((fault) => fault.message).join('\n'))
  return result.config
}

const PUBLISHED_EXAMPLE = `
store: { etcd: { endpoints: ["https://10.0.0.1:2379"], prefix: /fencegate } }
control: { listen: "127.0.0.1:7070" }
backends:
  cinder:  { listen: "0.0.0.0:8776", upstream: "http://10.0.0.5:8776", policy: cinder }
  vcenter: { listen: "0.0.0.0:8443", tls: { cert: cert.pem, key: key.pem }, upstream: "https://vcenter.example", policy: vsphere, enforce: true }
fencers:
  vc-session: { driver: vsphere-session, url: "https://vcenter.example/sdk", username: fencer, password: "file:/run/secrets/vc" }
  kill:       { driver: process }
  hook:       { driver: exec, command: ["/usr/local/bin/fence-it"] }
  power:      { driver: fence-agent, agent: fence_ipmilan, options: { username: admin, password: "\${IPMI_PASSWORD}" } }
plans:
  nova-compute: { levels: [[vc-session], [kill], [power]], brakes: { powerPerHour: 3 } }
defaultPlan: nova-compute
`

describe('a configuration without faults', () => {
  test('the published example loads, with every reference resolved', () => {
    const config = loaded(PUBLISHED_EXAMPLE, { IPMI_PASSWORD: 'hunter2' })
    expect(config.store).toMatchObject({ kind: 'etcd', prefix: '/fencegate' })
    expect(config.fencers['vc-session']?.options.reveal()).toMatchObject({
      password: 'swordfish from a file',
    })
    expect(config.fencers['power']?.options.reveal()).toMatchObject({ options: { password: 'hunter2' } })
    expect(config.backends['vcenter']?.tls?.key.reveal()).toContain('BEGIN PRIVATE KEY')
    expect(config.plans['nova-compute']?.brakes.powerPerHour).toBe(3)
  })

  test('a level may begin later than the one before has failed, and a plan may be a dry run', () => {
    const config = loaded(
      'store: { embedded: { path: data } }\nfencers: { k: { driver: process } }\nplans: { p: { dryRun: true, levels: [[k], { after: 30, fencers: [k] }] } }\n',
    )
    expect(config.plans['p']).toMatchObject({ levels: [['k'], ['k']], delaysMs: [0, 30_000], dryRun: true })
  })

  test('everything that may be left out has its default', () => {
    expect(loaded('store: { embedded: { path: data } }\n')).toMatchInlineSnapshot(`
      {
        "backends": {},
        "brakes": {
          "fencers": {},
          "storm": {
            "count": 5,
            "share": 0.5,
            "windowMs": 60000,
          },
        },
        "control": {
          "credentials": [],
          "listen": {
            "host": "127.0.0.1",
            "port": 7070,
          },
        },
        "defaultPlan": null,
        "fencers": {},
        "fences": {
          "keepMs": 2592000000,
          "secretInfo": [],
        },
        "gateway": {
          "leaseMs": 10000,
        },
        "handover": {
          "drainMsMax": 60000,
        },
        "log": {
          "level": "info",
        },
        "monitor": {
          "everyMs": 300000,
          "fencers": {},
          "timeoutMs": 30000,
        },
        "parking": {
          "bytes": 67108864,
          "bytesPerLock": 16777216,
          "calls": 4096,
          "callsPerLock": 256,
        },
        "plans": {},
        "policies": {},
        "sessions": {
          "ttlMsMax": 3600000,
          "ttlMsMin": 100,
        },
        "shutdown": {
          "delayMs": 0,
          "limitMs": 30000,
        },
        "sources": {},
        "state": "/etc/fencegate/state",
        "store": {
          "kind": "embedded",
          "path": "/etc/fencegate/data",
        },
        "tokens": {
          "signing": null,
        },
        "workers": 1,
      }
    `)
  })

  test('a backend has its defaults, and enforces', () => {
    const backends = "backends: { c: { listen: ':8776', upstream: 'http://h', policy: cinder } }"
    expect(loaded(MINIMAL + backends).backends['c']).toMatchInlineSnapshot(`
      {
        "balance": "first",
        "callIds": [
          "idempotency-key",
        ],
        "callersOf": null,
        "enforce": true,
        "forwarded": {
          "send": [],
          "trust": [],
        },
        "health": null,
        "http2": true,
        "identify": [],
        "implicit": false,
        "limits": {
          "answerTimeoutMs": 300000,
          "bodiesBytes": 268435456,
          "bodyBytes": 0,
          "bodyTimeoutMs": 60000,
          "calls": 4096,
          "callsPerSession": 1024,
          "connectTimeoutMs": 10000,
          "connections": 4096,
          "connectionsPerAddress": 2048,
          "headTimeoutMs": 30000,
          "headerBytes": 65536,
          "headers": 200,
          "idleTimeoutMs": 65000,
          "inspectedBytes": null,
          "parked": 1024,
          "parkedBytes": 33554432,
          "readTimeoutMs": 300000,
          "streams": 100,
          "tunnelIdleMs": 3600000,
          "upstreamAgeMs": 300000,
          "upstreamConnections": 256,
        },
        "listen": {
          "host": "0.0.0.0",
          "port": 8776,
        },
        "listeners": {},
        "observer": null,
        "policy": "cinder",
        "quietMs": null,
        "tls": null,
        "upgrade": [],
        "upstreamTls": null,
        "upstreams": [
          "http://h",
        ],
        "waitMs": null,
      }
    `)
  })

  test('durations are seconds in the file and milliseconds in the program', () => {
    const config = loaded(
      `${MINIMAL}sessions: { ttlMin: 0.25, ttlMax: 90 }\nhandover: { drainLimit: 1.5 }\ngateway: { lease: 2.5 }\n`,
    )
    expect(config.sessions).toEqual({ ttlMsMin: 250, ttlMsMax: 90_000 })
    expect(config.handover.drainMsMax).toBe(1500)
    expect(config.gateway.leaseMs).toBe(2500)
  })

  test('only where there may be other gateways does an ending one wait for callers to find them', () => {
    const shutdown = (text: string) => loaded(text).shutdown
    expect(shutdown('store: { embedded: { path: data } }\n')).toEqual({ delayMs: 0, limitMs: 30_000 })
    const etcd = 'store: { etcd: { endpoints: ["http://e:2379"] } }\n'
    expect(shutdown(etcd)).toEqual({ delayMs: 3_000, limitMs: 30_000 })
    expect(loaded(`${etcd}workers: 3\n`).workers).toBe(3)
    expect(shutdown(`${etcd}shutdown: { delay: 0, limit: 2 }\n`)).toEqual({ delayMs: 0, limitMs: 2_000 })
  })

  test('paths are taken from the directory of the file', () => {
    const config = loaded(`${MINIMAL}state: own\n`)
    expect(config.store).toEqual({ kind: 'embedded', path: '/etc/fencegate/data' })
    expect(config.state).toBe('/etc/fencegate/own')
  })

  test('anchors, merge keys and sections of the operator are allowed', () => {
    const config = loaded(`store: { embedded: { path: x } }
x-slow: &slow { attempts: 9, timeout: 5 }
fencers: { k: { driver: process } }
plans: { p: { <<: *slow, levels: [[k]], timeout: 6 } }
`)
    expect(config.plans['p']).toMatchObject({ attempts: 9, timeoutMs: 6000 })
  })

  test('an operator’s own packs are passed on untouched, dollar signs and all', () => {
    const config = loaded(
      `${MINIMAL}policies: { mine: { extends: cinder, match: '^/\${id}$', note: 'file:x' } }\n`,
    )
    expect(config.policies['mine']).toEqual({ extends: 'cinder', match: `^/\${id}$`, note: 'file:x' })
  })
})

describe('references', () => {
  test('a doubled dollar sign is a literal one', () => {
    expect(loaded(`${MINIMAL}state: '/x/$\${HOME}'\n`).state).toBe(`/x/\${HOME}`)
  })

  test('what a variable holds is not read as a reference again', () => {
    const config = loaded(`${MINIMAL}state: '\${DIRECTORY}'\n`, { DIRECTORY: `/\${HOME}` })
    expect(config.state).toBe(`/\${HOME}`)
  })

  test('a fault shows the reference and not what it stands for', () => {
    const text = `${MINIMAL}log: { level: '\${LEVEL}' }\n`
    const printed = faultsOf(text, { LEVEL: 'swordfish' })
    expect(printed).toContain(`\${LEVEL}`)
    expect(printed).not.toContain('swordfish')
  })
})

describe('secrets', () => {
  test('show themselves nowhere but where they are asked for by name', () => {
    const config = loaded(
      `${MINIMAL}control: { credentials: [{ role: operator, token: swordfish-swordfish }] }
tokens: { signing: { key: swordfish-swordfish-swordfish-swordfish } }
backends: { c: { listen: ':8776', upstream: 'http://h', policy: cinder, observer: { username: u, password: swordfish } } }
`.replace('{ driver: process }', '{ driver: process, password: swordfish }'),
    )
    const printings = [
      JSON.stringify(config),
      inspect(config, { depth: 20 }),
      String(config.tokens.signing?.key),
    ]
    for (const printed of printings) expect(printed).not.toContain('swordfish')
    expect(config.control.credentials[0]?.token?.reveal()).toBe('swordfish-swordfish')
  })

  test('a secret of any kind is opaque to JSON, templates and inspection', () => {
    const secret = new Secret({ password: 'swordfish' })
    expect(JSON.stringify({ secret })).toBe('{"secret":"[secret]"}')
    expect(String(secret)).toBe('[secret]')
    expect(inspect(secret)).toBe('[secret]')
    expect(Object.keys(secret)).toEqual([])
  })
})

describe('warnings', () => {
  test('stand beside faults and do not refuse', () => {
    expect(
      warningsOf(`store: { embedded: { path: x } }
control: { listen: ':7070', credentials: [{ role: operator, token: swordfish-swordfish }] }
fencers: { hook: { driver: exec, command: [/bin/true] } }
backends:
  a: { listen: ':1', upstream: 'https://h', policy: cinder, upstreamTls: { verify: false } }
  b: { listen: ':2', upstream: 'http://h', policy: cinder, enforce: false }
  c: { listen: '127.0.0.1:3', upstream: 'http://h', policy: cinder }
`),
    ).toMatchInlineSnapshot(`
      "f:1:1: there is no defaultPlan: a holder that names no plan is sealed and drained when it expires, but never fenced
      f:2:20: credentials and tokens cross the network in the clear at 0.0.0.0:7070: add control.tls
      f:3:43: /bin/true fences nobody: hook would report success for a living holder
      f:5:16: fencing tokens cross the network in the clear at 0.0.0.0:1: whoever reads one can use it; add tls
      f:5:84: anybody can pose as a: its certificate is not verified
      f:6:69: shadow mode: b refuses nothing, whatever the verdict
      "
    `)
  })

  test('are not told of what is left when a misspelt section is taken away', () => {
    expect(warningsOf(`${MINIMAL}backend: { c: { policy: cinder } }\n`)).toBe('')
  })

  test('a quiet configuration has none', () => {
    const backends = "backends: { c: { listen: '127.0.0.1:1', upstream: 'http://h', policy: cinder } }\n"
    expect(warningsOf(MINIMAL + backends)).toBe('')
  })
})

test('all faults are told at once, of shape and of meaning', () => {
  const printed = faultsOf(`store: { embedded: { path: x } }
lgo: { level: info }
defaultPlan: none
backends: { c: { listen: ':1', upstream: 'http://h', policy: nothing, x: 1 } }
`)
  expect(printed.split('\n').filter((line) => line !== '')).toHaveLength(4)
})

test('what a reference would have stood for is not judged where it cannot be read', () => {
  const fencer = (password: string) =>
    faultsOf(
      `${MINIMAL}brakes: { fencers: { s: {} } }\n`.replace(
        'k: {',
        `s: { driver: exec, password: ${password} }, k: {`,
      ),
    )
  expect(fencer('""')).toContain('must not be empty')
  expect(fencer('"file:/none"').trim().split('\n')).toEqual([expect.stringContaining('/none cannot be read')])
})

test('a backend’s own quiet time makes up for a policy without one', () => {
  const backend = "listen: '127.0.0.1:1', upstream: 'http://h', policy: restless"
  expect(loaded(`${MINIMAL}backends: { c: { ${backend}, quiet: 30 } }`).backends['c']?.quietMs).toBe(30_000)
  expect(() => loaded(`${MINIMAL}backends: { c: { ${backend} } }`)).toThrow('nothing could ever end a call')
})

test('without knowledge of the other rooms their names are not judged', () => {
  const file = '/f.yaml'
  const text = `${MINIMAL}backends: { c: { listen: '127.0.0.1:1', upstream: 'http://h', policy: whatever } }`
  const result = loadConfig({ file, environment: {}, knowledge: null, readFile: () => text })
  expect(result.kind).toBe('loaded')
})

test('a file that cannot be read is a fault like any other', () => {
  const result = loadConfig({ file: '/nonexistent/fencegate.yaml', environment: {}, knowledge: null })
  expect(result).toMatchObject({
    kind: 'faulty',
    faults: [{ message: 'the configuration cannot be read (ENOENT)' }],
  })
})

test('names that JavaScript knows are names like any other', () => {
  expect(faultsOf(`${MINIMAL}constructor: 1\n`)).toContain('unknown key "constructor"')
  expect(faultsOf(`${MINIMAL.replace('defaultPlan: p', 'defaultPlan: toString')}`)).toContain(
    'there is no plan "toString"',
  )
})

test.each([
  ['127.0.0.1:7070', { host: '127.0.0.1', port: 7070 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  [':8776', { host: '0.0.0.0', port: 8776 }],
  ['Gateway.example:443', { host: 'gateway.example', port: 443 }],
  ['::1:80', null],
  ['[zz]:80', null],
  ['1.2.3:80', null],
  ['host', null],
  ['host:', null],
  ['host:99999', null],
  ['-x:80', null],
])('the address %s is read as %o', (text, expected) => {
  expect(parseListen(text)).toEqual(expected)
})

test('an address is written as it is read', () => {
  for (const text of ['127.0.0.1:7070', '[::1]:0', 'gateway.example:443'])
    expect(formatListen(parseListen(text) ?? { host: '', port: 0 })).toBe(text)
})

test('only addresses of this machine are loopback, whatever a name pretends', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].map(isLoopback)).toEqual([true, true, true, true])
  expect(['0.0.0.0', '::', '127.evil.example', '10.0.0.1'].map(isLoopback)).toEqual([
    false,
    false,
    false,
    false,
  ])
})

test('a wildcard collides with every address of its family, port 0 with nothing', () => {
  const at = (text: string) => parseListen(text) ?? { host: '', port: -1 }
  expect(collide(at('0.0.0.0:1'), at('127.0.0.1:1'))).toBe(true)
  expect(collide(at('[::]:1'), at('127.0.0.1:1'))).toBe(true)
  expect(collide(at('0.0.0.0:1'), at('[::1]:1'))).toBe(false)
  expect(collide(at('127.0.0.1:1'), at('127.0.0.2:1'))).toBe(false)
  expect(collide(at('127.0.0.1:0'), at('127.0.0.1:0'))).toBe(false)
})

test('the nearest word is suggested only where it is near', () => {
  expect(nearest('lisen', ['listen', 'tls'])).toBe('listen')
  expect(nearest('upstraem', ['upstream', 'listen'])).toBe('upstream')
  expect(nearest('frobnicate', ['listen', 'tls'])).toBeNull()
})
