// The words of every refusal, golden: a change here is a change that operators see.

import { expect, test } from 'vitest'
import { faultsOf } from './read.ts'

test('names an unknown key at the top', () => {
  expect(
    faultsOf(`stroe: 1
@`),
  ).toMatchInlineSnapshot(`
  "f:2:1: not YAML: Plain value cannot start with reserved character @
  f:2:1: not YAML: Implicit map keys need to be followed by map values
  "
`)
})

test('names an unknown key deep inside, with what was probably meant', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends:
  cinder:
    lisen: ':1'
    listen: ':8776'
    upstream: http://10.0.0.5:8776
    policy: cinder
`),
  ).toMatchInlineSnapshot(`
    "f:4:5: unknown key "lisen" in backends.cinder — expected one of listen, listeners, tls, http2, upstream, balance, health, upstreamTls, policy, enforce, wait, quiet, limits, upgrade, forwarded, callIds, identify, implicit, callersOf, observer; did you mean "listen"?
    "
  `)
})

test('names three unknown keys in three places at once', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
sesions: {}
control: { listn: ':1' }
handover: { drainlimit: 3 }
`),
  ).toMatchInlineSnapshot(`
    "f:2:1: unknown key "sesions" — expected one of store, workers, control, backends, policies, fencers, plans, sources, defaultPlan, sessions, handover, parking, brakes, monitor, inventory, fences, shutdown, gateway, tokens, log, state; did you mean "sessions"?
    f:3:12: unknown key "listn" in control — expected one of listen, tls, credentials; did you mean "listen"?
    f:4:13: unknown key "drainlimit" in handover — expected nothing but drainLimit; did you mean "drainLimit"?
    "
  `)
})

test('names workers that have no store to share', () => {
  expect(faultsOf('store: { embedded: { path: x } }\nworkers: 3\n')).toBe(
    'f:2:10: 3 workers cannot share the embedded store: only one process can have it open — expected workers: 1, or store.etcd\n',
  )
})

test('names a missing store', () => {
  expect(
    faultsOf(`backends: {}
`),
  ).toMatchInlineSnapshot(`
  "f:1:1: store is missing — expected exactly one of etcd and embedded
  "
`)
})

test('names two stores', () => {
  expect(
    faultsOf(`store: { embedded: { path: x }, etcd: { endpoints: ['http://127.0.0.1:2379'] } }
`),
  ).toMatchInlineSnapshot(`
  "f:1:8: store is a section — expected exactly one of etcd and embedded
  "
`)
})

test('names an etcd without endpoints', () => {
  expect(
    faultsOf(`store: { etcd: { endpoints: [] } }
`),
  ).toMatchInlineSnapshot(`
  "f:1:29: store.etcd.endpoints is an empty list — expected a list of at least one URL of an etcd member
  "
`)
})

test('names an endpoint that is no URL', () => {
  expect(
    faultsOf(`store: { etcd: { endpoints: ['10.0.0.1:2379'] } }
`),
  ).toMatchInlineSnapshot(`
  "f:1:30: store.etcd.endpoints[0] is "10.0.0.1:2379" — expected an http:// or https:// URL of an etcd member
  "
`)
})

test('names an etcd user without a password', () => {
  expect(
    faultsOf(`store: { etcd: { endpoints: ['http://127.0.0.1:2379'], username: root } }
`),
  ).toMatchInlineSnapshot(`
  "f:1:16: store.etcd is a section — expected username and password together, or neither
  "
`)
})

test('names a prefix with a slash at its end', () => {
  expect(
    faultsOf(`store: { etcd: { endpoints: ['http://127.0.0.1:2379'], prefix: /a/ } }
`),
  ).toMatchInlineSnapshot(`
  "f:1:64: store.etcd.prefix is "/a/" — expected a key prefix that begins with a slash and does not end with one
  "
`)
})

test('names a listen address without a port', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { listen: 127.0.0.1 }
`),
  ).toMatchInlineSnapshot(`
  "f:2:20: control.listen is "127.0.0.1" — expected an address such as "127.0.0.1:7070", "[::1]:7070" or ":7070"
  "
`)
})

test('names a listen address that is a number', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { listen: 7070 }
`),
  ).toMatchInlineSnapshot(`
  "f:2:20: control.listen is 7070 — expected an address such as "127.0.0.1:7070", "[::1]:7070" or ":7070"
  "
`)
})

test('names a port past 65535', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { listen: '127.0.0.1:65536' }
`),
  ).toMatchInlineSnapshot(`
  "f:2:20: control.listen is "127.0.0.1:65536" — expected an address such as "127.0.0.1:7070", "[::1]:7070" or ":7070"
  "
`)
})

test('names an address of digits that is no IP address', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { listen: '127.0.0.300:80' }
`),
  ).toMatchInlineSnapshot(`
  "f:2:20: control.listen is "127.0.0.300:80" — expected an address such as "127.0.0.1:7070", "[::1]:7070" or ":7070"
  "
`)
})

test('names an empty section', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control:
`),
  ).toMatchInlineSnapshot(`
  "f:2:9: control is empty — expected a section with listen, tls and credentials
  "
`)
})

test('names a list where a section belongs', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: []
`),
  ).toMatchInlineSnapshot(`
  "f:2:11: backends is an empty list — expected backends by name
  "
`)
})

test('names an upstream with a user name in it', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { c: { listen: ':8776', upstream: 'http://u:p@h', policy: cinder } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:45: backends.c.upstream is "http://…@h" — expected an http:// or https:// URL without user name, query and fragment
  "
`)
})

test('names a backend in which everything is missing', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { c: {} }
`),
  ).toMatchInlineSnapshot(`
  "f:2:16: backends.c.listen is missing — expected an address such as "127.0.0.1:7070", "[::1]:7070" or ":7070"
  f:2:16: backends.c.policy is missing — expected the name of a policy
  f:2:16: backends.c.upstream is missing — expected an http:// or https:// URL without user name, query and fragment
  "
`)
})

test('names a name with a space', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { 'a b': { listen: ':8776', upstream: 'http://h', policy: cinder } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:13: "a b" cannot be a name — expected a name of 1 to 64 letters, digits, dots, dashes or underscores
  "
`)
})

test('names an unknown policy', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { c: { listen: ':8776', upstream: 'http://h', policy: cindr } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:65: there is no policy "cindr" — expected one of cinder, vsphere, restless; did you mean "cinder"?
  "
`)
})

test('names two listeners on one address', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends:
  a: { listen: '127.0.0.1:1', upstream: 'http://h', policy: cinder }
  b: { listen: ':1', upstream: 'http://h', policy: cinder }
`),
  ).toMatchInlineSnapshot(`
  "f:4:16: 0.0.0.0:1 is taken already by backend a (127.0.0.1:1) — expected an address of its own for each listener
  "
`)
})

test('names a backend on the address of the control API', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { a: { listen: '127.0.0.1:7070', upstream: 'http://h', policy: cinder } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:26: 127.0.0.1:7070 is taken already by control (127.0.0.1:7070) — expected an address of its own for each listener
  "
`)
})

test('names an upstream that is the gateway itself', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { a: { listen: '127.0.0.1:8776', upstream: 'http://localhost:8776/', policy: cinder } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:54: http://localhost:8776/ is this gateway's own listener of backend a — expected the address of the backend itself
  "
`)
})

test('names a control API that is open to the network', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { listen: ':7070' }
`),
  ).toMatchInlineSnapshot(`
  "f:2:20: the control API would be open to everybody who reaches 0.0.0.0:7070 — expected control.credentials, or an address on loopback such as 127.0.0.1:7070
  "
`)
})

test('names an unknown plan as default', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
defaultPlan: nova
plans: {}
`),
  ).toMatchInlineSnapshot(`
  "f:2:14: there is no plan "nova" — expected a plan (there is none)
  "
`)
})

test('names an unknown fencer in a level', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
fencers: { kill: { driver: process } }
plans:
  nova:
    levels:
      - [kill]
      - [kil, power]
`),
  ).toMatchInlineSnapshot(`
  "f:7:10: there is no fencer "kil" — expected one of kill; did you mean "kill"?
  f:7:15: there is no fencer "power" — expected one of kill
  "
`)
})

test('names an empty level', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
plans: { nova: { levels: [[]] } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:27: plans.nova.levels[0] is an empty list — expected at least one fencer in each level
  "
`)
})

test('names a plan without levels', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
plans: { nova: { levels: [] } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:26: plans.nova.levels is an empty list — expected at least one level, such as [[session], [power]]
  "
`)
})

test('names a fencer twice in a level', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
fencers: { k: { driver: process } }
plans: { p: { levels: [[k, k]] } }
`),
  ).toMatchInlineSnapshot(`
  "f:3:28: k stands twice in one level — expected each fencer once in a level
  "
`)
})

test('names an unknown driver', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
fencers: { a: { driver: proces } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:25: there is no driver "proces" — expected one of process, exec, vsphere-session, fence-agent; did you mean "process"?
  "
`)
})

test('names an option that the driver does not know', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
fencers:
  a:
    driver: process
    pasword: swordfish
`),
  ).toMatchInlineSnapshot(`
  "f:5:14: fencers.a.pasword: unknown option "pasword" — expected password
  "
`)
})

test('names a fencer without a driver', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
fencers: { a: { command: [x] } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:15: fencers.a.driver is missing — expected the name of a fencing driver
  "
`)
})

test('names a duration below zero', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
handover: { drainLimit: -1 }
`),
  ).toMatchInlineSnapshot(`
  "f:2:25: handover.drainLimit is -1 — expected a number of seconds from 0 to 86400
  "
`)
})

test('names a duration with a unit', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
sessions: { ttlMin: 10s }
`),
  ).toMatchInlineSnapshot(`
  "f:2:21: sessions.ttlMin is "10s" — expected a number of seconds from 0.1 to 86400
  "
`)
})

test('names a smallest TTL above the largest', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
sessions: { ttlMin: 10, ttlMax: 5 }
`),
  ).toMatchInlineSnapshot(`
  "f:2:21: sessions.ttlMin is 10 — expected ttlMin not above ttlMax
  "
`)
})

test('names a policy and a backend without a quiet time', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { c: { listen: ':8776', upstream: 'http://h', policy: restless } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:65: nothing could ever end a call of c whose answer was lost: the policy restless has no quiet time — expected backends.c.quiet: the seconds after which such a call can do no more harm
  "
`)
})

test('says nothing of the quiet time of a policy that has faults', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
policies: { mine: { extends: nobody } }
backends: { c: { listen: ':8776', upstream: 'http://h', policy: mine } }
`),
  ).toBe('f:2:19: policies.mine: extends nothing — expected extends\n')
})

test("names a pack of one's own with a fault, and does not call it unknown where a backend goes by it", () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
policies: { mine: { rules: [] } }
backends: { c: { listen: ':8776', upstream: 'http://h', policy: mine } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:19: policies.mine: extends nothing — expected extends
  "
`)
})

test('names a variable that is not set', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { credentials: [{ role: operator, token: '\${OPERATOR_TOKEN}' }] }
`),
  ).toMatchInlineSnapshot(`
  "f:2:51: the environment variable OPERATOR_TOKEN is not set — expected OPERATOR_TOKEN in the gateway's environment (write $\${ for a literal \${)
  "
`)
})

test('names a secret file that is not there', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control:
  credentials:
    - role: operator
      token: file:/run/secrets/none
`),
  ).toMatchInlineSnapshot(`
  "f:5:14: /run/secrets/none cannot be read (ENOENT) — expected a readable file
  "
`)
})

test('names a short credential, without showing it', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { credentials: [{ role: operator, token: swordfish }] }
`),
  ).toMatchInlineSnapshot(`
  "f:2:51: control.credentials[0].token is not usable — expected a secret of at least 16 characters: file:PATH, \${NAME}, or the text itself
  "
`)
})

test('names an unknown role', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { credentials: [{ role: root, token: swordfish-swordfish }] }
`),
  ).toMatchInlineSnapshot(`
  "f:2:34: control.credentials[0].role is "root" — expected holder, operator or viewer
  "
`)
})

test('names a holder beside another role', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { credentials: [{ role: viewer, holder: a, token: swordfish-swordfish }] }
`),
  ).toMatchInlineSnapshot(`
  "f:2:50: control.credentials[0].holder is "a" — expected holder only beside role: holder
  "
`)
})

test('names a credential that is nobody’s, or two in one', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control:
  credentials:
    - { role: viewer }
    - { role: viewer, token: swordfish-swordfish, certificate: nova-1 }
`),
  ).toMatchInlineSnapshot(`
    "f:4:7: control.credentials[0] is a section — expected either token or certificate
    f:5:7: control.credentials[1] is a section — expected either token or certificate
    "
  `)
})

test('names a client certificate that nobody is asked for', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
control: { credentials: [{ role: viewer, certificate: nova-1 }] }
`),
  ).toMatchInlineSnapshot(`
    "f:2:55: the control API asks no client for a certificate — expected control.tls.clientCa, the certificate of who signs theirs
    "
  `)
})

test('names a certificate that is not there', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { c: { listen: ':8776', upstream: 'http://h', policy: cinder, tls: { cert: cert.pem, key: none.pem } } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:101: /etc/fencegate/none.pem cannot be read (ENOENT) — expected a readable file
  "
`)
})

test('names a file that is no certificate', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
backends: { c: { listen: ':8776', upstream: 'http://h', policy: cinder, tls: { cert: key.pem, key: key.pem } } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:86: backends.c.tls.cert is "key.pem" — expected a certificate in PEM, or the path of one
  "
`)
})

test('names a signing key that is too short', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
tokens: { signing: { key: swordfish } }
`),
  ).toMatchInlineSnapshot(`
  "f:2:27: tokens.signing.key is not usable — expected a secret of at least 32 characters: file:PATH, \${NAME}, or the text itself
  "
`)
})

test('names an unknown log level', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
log: { level: verbose }
`),
  ).toMatchInlineSnapshot(`
  "f:2:15: log.level is "verbose" — expected debug, info, warn, error or silent
  "
`)
})

test('names a key that stands twice', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
state: a
state: b
`),
  ).toMatchInlineSnapshot(`
  "f:3:1: this key stands here twice — expected each key once
  "
`)
})

test('names a tab as indentation', () => {
  expect(
    faultsOf(`store:
	embedded: { path: x }
`),
  ).toMatchInlineSnapshot(`
  "f:2:1: a tab is used as indentation — expected spaces
  "
`)
})

test('names two documents', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
---
state: x
`),
  ).toMatchInlineSnapshot(`
  "f:2:1: a second document begins here — expected one YAML document
  "
`)
})

test('names an alias to nothing', () => {
  expect(
    faultsOf(`store: *none
`),
  ).toMatchInlineSnapshot(`
  "f:1:1: the YAML cannot be resolved: Unresolved alias (the anchor must be set before the alias): none
  "
`)
})

test('names a bracket that is never closed', () => {
  expect(
    faultsOf(`store: { embedded: { path: x }
backends: {}
`),
  ).toMatchInlineSnapshot(`
  "f:2:1: not YAML: Flow map in block collection must be sufficiently indented and end with a }
  "
`)
})

test('names an empty file', () => {
  expect(faultsOf(``)).toMatchInlineSnapshot(`
    "f:1:1: the configuration is empty — expected a section with store, backends, …
    "
  `)
})

test('names a fault behind an alias, at the place where it is written', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
x-common: &c { attempts: 0, levels: [[k]] }
plans: { p: *c }
`),
  ).toMatchInlineSnapshot(`
  "f:2:26: plans.p.attempts is 0 — expected a whole number from 1 to 100
  "
`)
})

test('names a fault that came in by a merge key', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
x-slow: &a { levels: [[k]], attempts: 0 }
plans:
  b: { <<: *a, timeout: 1 }
`),
  ).toMatchInlineSnapshot(`
  "f:2:39: plans.b.attempts is 0 — expected a whole number from 1 to 100
  "
`)
})

test('names an alias inside of its own anchor', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
x-common: &a { b: [1, *a] }
`),
  ).toMatchInlineSnapshot(`
    "f:2:23: *a stands inside of what it stands for — expected an alias outside of its own anchor
    "
  `)
})

test('names each TLS section whose key and certificate do not belong together', () => {
  const tls = '{ cert: cert.pem, key: other.key }'
  expect(
    faultsOf(`store: { etcd: { endpoints: ['https://10.0.0.1:2379'], tls: ${tls} } }
control: { tls: ${tls} }
backends:
  a: { listen: '127.0.0.1:1', upstream: 'http://10.0.0.5', policy: cinder, tls: ${tls} }
  b: { listen: '127.0.0.1:2', upstream: 'https://10.0.0.5', policy: cinder, upstreamTls: ${tls} }
`),
  ).toMatchInlineSnapshot(`
    "f:1:61: store.etcd.tls cannot be used: the key is another — expected certificates in PEM, and a private key without a passphrase that belongs to the first of them
    f:2:17: control.tls cannot be used: the key is another — expected certificates in PEM, and a private key without a passphrase that belongs to the first of them
    f:4:81: backends.a.tls cannot be used: the key is another — expected certificates in PEM, and a private key without a passphrase that belongs to the first of them
    f:5:90: backends.b.upstreamTls cannot be used: the key is another — expected certificates in PEM, and a private key without a passphrase that belongs to the first of them
    "
  `)
})

test('names an unknown fencer among the limits and the schedules', () => {
  expect(
    faultsOf(`store: { embedded: { path: x } }
fencers: { kill: { driver: process } }
brakes: { fencers: { kil: { atOnce: 1 } } }
monitor: { fencers: { kill: { evry: 60 } , power: { every: 60 } } }
`),
  ).toMatchInlineSnapshot(`
    "f:3:27: there is no fencer "kil" — expected one of kill; did you mean "kill"?
    f:4:31: unknown key "evry" in monitor.fencers.kill — expected one of every, timeout; did you mean "every"?
    f:4:51: there is no fencer "power" — expected one of kill
    "
  `)
})
