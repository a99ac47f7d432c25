// What a holder reads of itself to be fenced over ssh, and a systemctl that knows one unit.

import { readFileSync, readlinkSync } from 'node:fs'

export function whereabouts(pid: number) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return {
    pid,
    startTime: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    pidNamespace: readlinkSync(`/proc/${pid}/ns/pid`),
  }
}
