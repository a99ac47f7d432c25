// A baseboard controller for the tests: OpenIPMI's ipmi_sim on a UDP port of the loopback, whose power is a file.

import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Bmc {
  readonly port: number
  isOn(): boolean
  /** From now on it says yes to every command, and does nothing. */
  lie(): void
  stop(): Promise<void>
}

export const BMC_USER = 'fencer'
export const BMC_PASSWORD = 'very-secret-word'

/** The program that ipmi_sim asks for the power and tells to change it; a file `lie` keeps it from doing so. */
const CHASSIS = `#!/bin/sh
cd "$1" || exit 1
for word in "$@"; do
  case "$previous/$word" in
    get/power) echo "power:$(cat power)" ;;
    power/0 | power/1) [ -e lie ] || echo "$word" > power.new && mv power.new power 2> /dev/null ;;
  esac
  previous=$word
done
exit 0
`

const EMULATION = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
`

export async function startBmc(): Promise<Bmc> {
  const folder = mkdtempSync(join(tmpdir(), 'bmc-'))
  const power = join(folder, 'power')
  const port = await freeUdpPort()
  writeFileSync(power, '1\n')
  writeFileSync(join(folder, 'chassis'), CHASSIS)
  chmodSync(join(folder, 'chassis'), 0o755)
  writeFileSync(join(folder, 'sim.emu'), EMULATION)
  writeFileSync(join(folder, 'lan.conf'), lanConfiguration(folder, port))
  const child = spawn(
    'ipmi_sim',
    ['-c', join(folder, 'lan.conf'), '-f', join(folder, 'sim.emu'), '-s', join(folder, 'state'), '-n', '-p'],
    { stdio: 'ignore' },
  )
  await untilAnswering(port, child)
  return {
    port,
    isOn: () => readFileSync(power, 'utf8').trim() === '1',
    lie: () => writeFileSync(join(folder, 'lie'), ''),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const ended = once(child, 'exit')
        child.kill('SIGKILL')
        await ended
      }
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function lanConfiguration(folder: string, port: number): string {
  const levels = ['callback', 'user', 'operator', 'admin']
  return `name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 ${port}
    priv_limit admin
    ${levels.map((level) => `allowed_auths_${level} none md2 md5 straight`).join('\n    ')}
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "${folder}/chassis ${folder}"
  user 2 true "${BMC_USER}" "${BMC_PASSWORD}" admin 10
`
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return port
}

/** Pings it (RMCP presence) until it answers. */
async function untilAnswering(port: number, child: ChildProcess): Promise<void> {
  const ping = Buffer.from([6, 0, 255, 6, 0, 0, 17, 190, 128, 0, 0, 0])
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  const answered = once(socket, 'message', { signal: AbortSignal.timeout(20_000) })
  const timer = setInterval(() => socket.send(ping, port, '127.0.0.1'), 50)
  try {
    const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`ipmi_sim ended: ${code}`)))
    await Promise.race([answered, ended])
  } finally {
    clearInterval(timer)
    socket.close()
  }
}
