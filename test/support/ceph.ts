// A ceph command without a cluster: it keeps a blocklist in a file, and answers `osd blocklist add, ls, rm` as Ceph is
// documented to.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface FakeCeph {
  readonly options: Readonly<Record<string, unknown>>
  lists(client: string): boolean
  /** Adds an entry, as an operator would; `until` in the words of `ls`. */
  add(client: string, until: string): void
  /** A line of shell that is run first; `$action` is add, ls or rm. */
  first(line: string): void
  asked(): readonly string[]
  close(): void
}

const PROGRAM = `#!/bin/sh
cd "$(dirname "$0")" || exit 1
echo "$*" >> asked
[ "$1 $3 $5 $7" = '--conf --name --keyring osd' ] || { echo 'Invalid command' >&2; exit 22; }
shift 7
[ "$1" = blocklist ] || [ "$1" = blacklist ] || { echo 'Invalid command' >&2; exit 22; }
action=$2 client=$3 seconds=$4
. ./first
case $action in
  add)
    grep -v "^$client " list > list.new
    echo "$client $(date -u -d "+$seconds seconds" +%Y-%m-%dT%H:%M:%S.000000+0000)" >> list.new; mv list.new list
    echo "blocklisting $client until later ($seconds sec)" >&2 ;;
  rm) grep -v "^$client " list > list.new; mv list.new list ;;
  ls)
    echo "listed $(wc -l < list) entries" >&2
    awk 'BEGIN { printf "[" } { printf "%s{\\"addr\\":\\"%s\\",\\"until\\":\\"%s\\"}", (NR > 1 ? "," : ""), $1, $2 } END { print "][]" }' list ;;
esac
`

export function fakeCeph(): FakeCeph {
  const folder = mkdtempSync(join(tmpdir(), 'ceph-'))
  const file = (name: string): string => join(folder, name)
  for (const name of ['list', 'first', 'asked']) writeFileSync(file(name), '')
  writeFileSync(file('ceph'), PROGRAM)
  chmodSync(file('ceph'), 0o755)
  const list = (): string => readFileSync(file('list'), 'utf8')
  return {
    options: { ceph: file('ceph'), keyring: '/etc/ceph/keyring' },
    lists: (client) => list().includes(`${client} `),
    add: (client, until) => writeFileSync(file('list'), `${list()}${client} ${until}\n`),
    first: (line) => writeFileSync(file('first'), `${line}\n`),
    asked: () => readFileSync(file('asked'), 'utf8').split('\n'),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
