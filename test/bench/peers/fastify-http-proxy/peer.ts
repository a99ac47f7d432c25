// @fastify/http-proxy with a preHandler: the usual way to a proxy in Node. No dependency of ours: it is installed into
// the cache on request, and left out without it.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { CACHE, find } from '../../ground.ts'
import { run, startAnnounced } from '../../processes.ts'
import { type Peer, runningAlone } from '../peer.ts'

const PREFIX = path.join(CACHE, 'fastify-http-proxy')
const PACKAGES = ['fastify@5', '@fastify/http-proxy@11']

export const fastifyPeer: Peer = {
  id: 'fastify',
  title: '@fastify/http-proxy with a preHandler',
  checks: true,
  prepare: async ({ install }) => {
    if (existsSync(path.join(PREFIX, 'node_modules', '@fastify', 'http-proxy', 'package.json'))) return null
    if (!install) return 'not installed (--peers all installs it)'
    if ((await find('npm')) === null) return 'npm is not installed'
    mkdirSync(PREFIX, { recursive: true })
    writeFileSync(path.join(PREFIX, 'package.json'), '{"private":true}\n')
    try {
      await run({
        name: 'npm install',
        command: 'npm',
        args: ['install', '--prefix', PREFIX, '--ignore-scripts', '--no-audit', '--no-fund', ...PACKAGES],
        cwd: PREFIX,
        timeoutMs: 120_000,
      })
      return null
    } catch (error) {
      return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    }
  },
  start: async (ground) => {
    const { mapFile, upstream, tls } = ground
    const { started, port } = await startAnnounced({
      name: '@fastify/http-proxy',
      command: process.execPath,
      args: [
        fileURLToPath(new URL('./server.mjs', import.meta.url)),
        JSON.stringify({ prefix: PREFIX, mapFile, upstreamPort: upstream.port, tls }),
      ],
    })
    return runningAlone(started, port, ground)
  },
}
