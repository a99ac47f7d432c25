// Runs scripts on hosts with the system's OpenSSH client, over one connection for each host that is kept for a minute.
// It must never talk to a host whose key is not known, and never let a host use what is here (agent, display, ports).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FencerContext } from '../../gateway/spi/fencer.ts'
import { type Ending, runProgram } from '../program/run.ts'

export interface SshSettings {
  readonly user: string
  readonly port: number
  readonly identityFile: string
  readonly knownHostsFile: string
  readonly connectTimeoutSeconds: number
  readonly sudo: boolean
}

export interface SshClient {
  /** Rejects where the client could not be started or was ended; an ending with code 255 is the client's own. */
  run(host: string, script: string, context: SshContext): Promise<Ending>
  /** Ends the kept connections. Idempotent. */
  close(context: FencerContext): Promise<void>
}

export type SshContext = FencerContext & { readonly signal: AbortSignal }

export const SSH_FAILED = 255
const KEPT_SECONDS = 60
const ALIVE_SECONDS = 5
const CLOSE_MS_MAX = 2_000

/** Does no I/O before the first run. */
export function createSshClient(settings: SshSettings): SshClient {
  /** Only for this process, and only for its user: whoever can open the socket in it is logged in. */
  let folder: string | null = null
  /** After a failure the next try makes a connection of its own: the kept one may be what hangs. */
  let generation = 0
  const kept = new Map<string, { readonly host: string; readonly socket: string }>()

  const argv = (host: string, socket: string, more: readonly string[]): string[] => [
    'ssh',
    ...['-F', 'none', '-T', '-p', String(settings.port), '-l', settings.user, '-i', settings.identityFile],
    ...Object.entries({
      BatchMode: 'yes',
      StrictHostKeyChecking: 'yes',
      UserKnownHostsFile: settings.knownHostsFile,
      GlobalKnownHostsFile: 'none',
      UpdateHostKeys: 'no',
      PreferredAuthentications: 'publickey',
      IdentitiesOnly: 'yes',
      IdentityAgent: 'none',
      ForwardAgent: 'no',
      ClearAllForwardings: 'yes',
      PermitLocalCommand: 'no',
      ConnectTimeout: settings.connectTimeoutSeconds,
      ConnectionAttempts: 1,
      ServerAliveInterval: ALIVE_SECONDS,
      ServerAliveCountMax: 2,
      LogLevel: 'ERROR',
      ControlMaster: 'auto',
      ControlPath: socket,
      ControlPersist: KEPT_SECONDS,
    }).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ...more,
    '--',
    host,
  ]

  return {
    async run(host, script, context) {
      folder ??= mkdtempSync(join(tmpdir(), 'fencegate-ssh-'))
      const socket = join(folder, `${generation}-%C`)
      kept.set(`${host} ${socket}`, { host, socket })
      try {
        const ending = await runProgram({
          argv: [...argv(host, socket, []), settings.sudo ? 'exec sudo -n /bin/sh -s' : 'exec /bin/sh -s'],
          input: script,
          context,
          signal: context.signal,
        })
        if (ending.code === SSH_FAILED) generation += 1
        return ending
      } catch (error) {
        generation += 1
        throw error
      }
    },

    async close(context) {
      const connections = [...kept.values()]
      kept.clear()
      const signal = AbortSignal.timeout(CLOSE_MS_MAX)
      await Promise.all(
        connections.map(({ host, socket }) =>
          // What cannot be ended now ends by itself, a minute after its last use.
          runProgram({ argv: argv(host, socket, ['-O', 'exit']), context, signal }).catch(() => undefined),
        ),
      )
      if (folder !== null) rmSync(folder, { recursive: true, force: true })
      folder = null
    },
  }
}
