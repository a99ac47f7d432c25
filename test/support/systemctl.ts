// A systemctl for machines that systemd does not run: a program that knows one unit, which is a real process. It takes the
// arguments that the fencers give to the real one, and answers in its words.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface FakeUnit {
  /** Folder of the program, whose name is `systemctl`. */
  readonly folder: string
  readonly program: string
  readonly unit: string
  readonly invocationId: string
  /** A line of shell that is run first; `$verb` is what was asked for. */
  first(line: string): void
  /** What systemd says of the unit from now on, in place of what is so. */
  say(property: string, value: string): void
  close(): void
}

const PROGRAM = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
verb=$1; for last in "$@"; do :; done
. ./first
pid=$(cat pid)
case $verb:$* in *--property=Version*) echo Version=252; exit 0 ;; esac
if [ "$last" != "$(cat unit)" ]; then
  [ "$verb" = show ] || { echo "Unit $last not loaded." >&2; exit 5; }
  printf 'LoadState=not-found\\nActiveState=inactive\\nInvocationID=\\nControlGroup=\\nKillMode=control-group\\n'
  exit 0
fi
case $verb in
  show)
    active=active
    kill -0 "$pid" 2>/dev/null || active=inactive
    case $(cat "/proc/$pid/stat" 2>/dev/null) in *') Z '*) active=inactive ;; esac
    printf 'LoadState=loaded\\nActiveState=%s\\nInvocationID=%s\\n' "$active" "$(cat invocation)" > shown
    printf 'ControlGroup=\\nKillMode=control-group\\n' >> shown
    for said in say.*; do
      [ -e "$said" ] && sed -i "s|^\${said#say.}=.*|\${said#say.}=$(cat "$said")|" shown
    done
    cat shown ;;
  kill) case "$*" in *--signal=SIGKILL*) kill -9 "$pid" ;; *) exit 1 ;; esac ;;
  stop) kill -TERM "$pid" ;;
  *) echo "Unknown command verb $verb." >&2; exit 1 ;;
esac
`

export function fakeUnit(pid: number, unit = 'nova-compute@3.service'): FakeUnit {
  const folder = mkdtempSync(join(tmpdir(), 'systemctl-'))
  const invocationId = pid.toString(16).padStart(32, '0')
  const program = join(folder, 'systemctl')
  writeFileSync(program, PROGRAM)
  chmodSync(program, 0o755)
  for (const [name, text] of Object.entries({
    pid: String(pid),
    unit,
    invocation: invocationId,
    first: '',
  })) {
    writeFileSync(join(folder, name), text)
  }
  return {
    folder,
    program,
    unit,
    invocationId,
    first: (line) => writeFileSync(join(folder, 'first'), `${line}\n`),
    say: (property, value) => writeFileSync(join(folder, `say.${property}`), value),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
