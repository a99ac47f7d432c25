// A real sshd on the loopback, with keys and a configuration of its own in a temporary folder.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findProgram } from '../house/availability.ts'
import { freePort } from './free-port.ts'

export interface Sshd {
  /** What the fencer is configured with to get in. */
  readonly options: Readonly<Record<string, unknown>>
  /** Of another key, which the server does not let in. */
  readonly strangerIdentity: string
  /** Known hosts in which this server has another key. */
  readonly wrongKnownHosts: string
  /** From now on this runs in place of whatever a client asks for. */
  force(command: string): void
  /** How many connections have been let in. */
  logins(): number
  stop(): Promise<void>
}

export async function startSshd(): Promise<Sshd> {
  const folder = mkdtempSync(join(tmpdir(), 'sshd-'))
  const program = findProgram('sshd')
  if (program === null) throw new Error('there is no sshd')
  for (const name of ['host', 'client', 'stranger', 'other-host']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(folder, name)])
  }
  writeFileSync(join(folder, 'authorized'), readFileSync(join(folder, 'client.pub')))
  chmodSync(join(folder, 'authorized'), 0o600)
  // Where sshd's own processes without privileges are locked in; it asks for it when it is run by root.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true })

  const force = (command: string): void => writeFileSync(join(folder, 'forced'), command)
  force('eval "$SSH_ORIGINAL_COMMAND"')
  const port = await freePort()
  const config = join(folder, 'config')
  writeFileSync(
    config,
    `ListenAddress 127.0.0.1:${port}
HostKey ${folder}/host
AuthorizedKeysFile ${folder}/authorized
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
LogLevel VERBOSE
MaxStartups 100
ForceCommand /bin/sh ${folder}/forced
`,
  )
  const known = (name: string): string => {
    const file = join(folder, `known-${name}`)
    writeFileSync(file, `[127.0.0.1]:${port} ${readFileSync(join(folder, `${name}.pub`), 'utf8')}`)
    return file
  }
  const child = spawn(program, ['-D', '-e', '-f', config], { stdio: ['ignore', 'ignore', 'pipe'] })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  await untilListening(port, child, () => log)
  return {
    options: {
      user: userInfo().username,
      port,
      identityFile: join(folder, 'client'),
      knownHostsFile: known('host'),
      connectTimeoutSeconds: 5,
      graceMs: 100,
    },
    strangerIdentity: join(folder, 'stranger'),
    wrongKnownHosts: known('other-host'),
    force,
    logins: () => log.split('Accepted publickey').length - 1,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit')
        child.kill('SIGTERM')
        await ended
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function untilListening(port: number, child: ChildProcess, log: () => string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}: ${log()}`)
    const socket = connect(port, '127.0.0.1')
    const answered = await new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (answered) return
    await sleep(25)
  }
  throw new Error(`sshd does not listen: ${log()}`)
}
