// `npm start` without arguments: the sample volume backend and a gateway in front of it, in one process, so that one signal
// ends both. For trying things out; `npm start -- -c FILE` runs a gateway and nothing else.

import { join } from 'node:path'
import { argv, exit, stderr, stdout } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatFaults, formatListen, loadConfig } from '../../gateway/config/index.ts'
import { startVolumeBackend } from './volume-backend.ts'

const file = join(import.meta.dirname, '..', 'examples', 'sample.yaml')
const volume = '5aa10000-0000-4000-8000-000000000001'
const pollMs = 100

function fail(message: string): never {
  stderr.write(`fencegate: ${message}\n`)
  exit(1)
}

/** What to try, with the addresses of the configuration. */
function introduction(control: string, gateway: string, upstream: string): string {
  const json = "-H 'Content-Type: application/json'"
  const extend = `curl -i ${gateway}/v3/demo/volumes/${volume}/action ${json} -d '{"os-extend": {"new_size": 2}}'`
  return `
fencegate is running (Ctrl-C ends it).

  backend listener   ${gateway}   send your calls here
  control API        ${control}   locks, sessions, fences
  volume backend     ${upstream}   what is protected; GET /_log shows what it was asked to do

Try, in another terminal:

1. Change a volume without a token. It is refused: 428 missing-token.

  ${extend}

2. Open a session and take the volume's lock. The answer is the fencing token.

  SESSION=$(curl -s ${control}/v1/sessions ${json} -d '{"ttl": 300, "holder": {"id": "me"}}' | sed 's/.*"session": *"\\([^"]*\\)".*/\\1/')
  TOKEN=$(curl -s ${control}/v1/locks/cinder%2Fvolume%2F${volume} ${json} -d "{\\"session\\": \\"$SESSION\\"}" | sed 's/.*"token": *"\\([^"]*\\)".*/\\1/'); echo $TOKEN

3. The same change with the token. It goes through: 202.

  ${extend} -H "Fencing-Token: $TOKEN"

`
}

async function introduceWhenReady(control: string, text: string): Promise<void> {
  // A gateway that cannot start ends this process, and the wait with it.
  for (;;) {
    const ready = await fetch(`${control}/readyz`).catch(() => null)
    if (ready?.status === 200) break
    await sleep(pollMs)
  }
  stdout.write(text)
}

const loaded = loadConfig({ file, environment: {}, knowledge: null })
if (loaded.kind === 'faulty') fail(formatFaults(loaded.faults))
const { control, backends } = loaded.config
const [backend] = Object.values(backends)
if (backend === undefined) fail(`${file} has no backend`)

function reasonOf(error: unknown): string {
  const isTaken = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
  return isTaken
    ? 'the port is taken, perhaps by an `npm start` that still runs; end what uses it'
    : String(error)
}

const [address = ''] = backend.upstreams
const upstream = new URL(address)
await startVolumeBackend({
  host: upstream.hostname,
  port: Number(upstream.port),
  workMs: 1_000,
  volumes: [{ id: volume, name: 'sample', sizeGb: 1 }],
}).catch((error: unknown) => fail(`the volume backend cannot listen on ${address}: ${reasonOf(error)}`))

const controlUrl = `http://${formatListen(control.listen)}`
const text = introduction(controlUrl, `http://${formatListen(backend.listen)}`, address)
introduceWhenReady(controlUrl, text).catch((error: unknown) => fail(String(error)))

argv.splice(2, argv.length, 'serve', '-c', file)
await import('../../gateway/main.ts')
