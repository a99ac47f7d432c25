// A virsh for machines without a hypervisor: it knows one domain, which is a real process, and answers the commands of the
// libvirt fencer in the real one's words (held to them by a test with libvirt's own test driver).

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface FakeDomain {
  readonly program: string
  readonly domainUuid: string
  readonly domainId: number
  /** A line of shell that is run first; `$commands` is what was asked for. */
  first(line: string): void
  /** Replaces a file of its state: `id`, `running` (a reason), `ended` (a reason). */
  say(what: 'id' | 'running' | 'ended', value: string): void
  asked(): readonly string[]
  close(): void
}

const PROGRAM = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
for commands in "$@"; do :; done
echo "$commands" >> asked
. ./first
pid=$(cat pid) uuid=$(cat uuid) id=$(cat id) code=0
alive() {
  kill -0 "$pid" 2>/dev/null || return 1
  case $(cat "/proc/$pid/stat" 2>/dev/null) in *') Z '*) return 1 ;; esac
}
known() { [ "$1" = "$uuid" ] || [ "$1" = "$id" ] || { echo "error: failed to get domain '$1'" >&2; return 1; }; }
printf '%s\\n' "$commands" | tr ';' '\\n' > list
while read -r verb word more; do
  code=0
  case $verb in
    list) alive && echo " $id vm running" ;;
    dominfo)
      if ! known "$word"; then code=1
      elif alive; then printf 'Id:             %s\\nName:           vm\\nUUID:           %s\\nState:          running\\n\\n' "$id" "$uuid"
      else printf 'Id:             -\\nName:           vm\\nUUID:           %s\\nState:          shut off\\n\\n' "$uuid"; fi ;;
    domstate)
      if ! known "$more"; then code=1
      elif alive; then echo "running ($(cat running))"
      else echo "shut off ($(cat ended))"; fi ;;
    destroy) if known "$word" && alive; then kill -9 "$pid"; echo "Domain '$word' destroyed"; else code=1; fi ;;
    *) code=1 ;;
  esac
done < list
exit $code
`

export function fakeDomain(pid: number): FakeDomain {
  const folder = mkdtempSync(join(tmpdir(), 'virsh-'))
  const program = join(folder, 'virsh')
  const domainUuid = `6695eb01-f6a4-8304-79aa-${pid.toString(16).padStart(12, '0')}`
  const domainId = 7
  const files = {
    pid,
    uuid: domainUuid,
    id: domainId,
    running: 'booted',
    ended: 'destroyed',
    first: '',
    asked: '',
  }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), String(text))
  writeFileSync(program, PROGRAM)
  chmodSync(program, 0o755)
  return {
    program,
    domainUuid,
    domainId,
    first: (line) => writeFileSync(join(folder, 'first'), `${line}\n`),
    say: (what, value) => writeFileSync(join(folder, what), value),
    asked: () => readFileSync(join(folder, 'asked'), 'utf8').split('\n'),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
