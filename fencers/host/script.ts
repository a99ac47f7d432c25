// Looks at a process or a unit of a host, and strikes it, with one run of /bin/sh: here, or at the far end of an ssh
// connection. The look and the strike are one run, so that no other incarnation can come between by way of the network.

import { randomBytes } from 'node:crypto'

export type Step = 'look' | 'SIGTERM' | 'SIGKILL' | 'stop'

export interface Report {
  /** `struck`: it was alive, and has been told. `unknown`: nothing may be concluded. `absent`: there is no such unit. */
  readonly state: 'alive' | 'gone' | 'struck' | 'unknown' | 'absent'
  readonly detail: string
}

export interface Script {
  /** For the standard input of `sh -s`: what a holder said is quoted there, and stands in no argument. */
  readonly text: string
  report(output: string): Report
}

export interface ProcessTarget {
  readonly pid: number
  readonly startTime: number
  readonly bootId: string
  readonly pidNamespace: string
}

/** How far a strike reaches: that process, the group that it leads, or all that is in its cgroup (v2). */
export type ScriptReach =
  | { readonly kill: 'process' | 'group' }
  | { readonly kill: 'cgroup'; readonly cgroup: string; readonly cgroupId: string }

export interface UnitTarget {
  readonly unit: string
  readonly invocationId: string
}

export function processScript(
  target: ProcessTarget,
  step: Step,
  reach: ScriptReach = { kill: 'process' },
): Script {
  const { pid, startTime, bootId, pidNamespace } = target
  const cgroup = reach.kill === 'cgroup' ? [reach.cgroup, reach.cgroupId] : ['', '']
  return script([String(pid), String(startTime), bootId, pidNamespace, step, reach.kill, ...cgroup], PROCESS)
}

export function unitScript(target: UnitTarget, step: Step, systemctl = 'systemctl'): Script {
  return script([target.unit, target.invocationId, step, systemctl], UNIT)
}

/** Strikes nobody: whether scripts come through, and whether /proc shows everybody's processes. */
export function probeScript(): Script {
  return script(
    [],
    'cat /proc/1/stat >/dev/null 2>&1 || say unknown "/proc hides the processes of others on this host"\nsay alive "scripts run"\n',
  )
}

/** What the far end prints before the script is reached (a greeting, an error) is no report: it lacks the mark. */
function script(words: readonly string[], body: string): Script {
  const mark = `fencegate-${randomBytes(12).toString('hex')}`
  // Split, so that a far end that only echoes its input does not report.
  const halves = `'${mark.slice(0, 12)}' '${mark.slice(12)}'`
  return {
    text: `say() { printf '\\n%s%s %s\\n' ${halves} "$*"; exit 0; }\nset -- ${words.map(quoted).join(' ')}\n${body}`,
    report(output) {
      const line = output.split('\n').findLast((candidate) => candidate.startsWith(`${mark} `))
      const found = /^(alive|gone|struck|absent|unknown) (.*)$/.exec(line?.slice(mark.length + 1) ?? '')
      const state = found === null ? undefined : STATES.find((candidate) => candidate === found[1])
      if (state === undefined) {
        const said = output === '' ? 'nothing' : output.slice(0, 300)
        return { state: 'unknown', detail: `the host did not report: it said ${said}` }
      }
      return { state, detail: found?.[2] ?? '' }
    },
  }
}

const STATES = ['alive', 'gone', 'struck', 'absent', 'unknown'] as const

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}

/**
 * $1 pid, $2 start time, $3 boot id, $4 pid namespace, $5 step, $6 reach, $7 cgroup and $8 its inode. Where /proc hides other
 * users' processes, pid 1 is hidden, too; then nothing that is not to be seen is gone. The number of a group is given to no new
 * process while anybody is in it; with the leader gone nobody can tell whose it is. Being inside a cgroup's folder keeps it that one.
 */
const PROCESS = `
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=
[ "\${#boot}" -eq 36 ] || say unknown "the host's boot id cannot be read"
[ "$boot" = "$3" ] || say gone "the host was started anew since: its boot id is $boot"
[ "$(readlink /proc/self/ns/pid)" = "$4" ] || say unknown "process $1 belongs to another pid namespace"
cat /proc/1/stat >/dev/null 2>&1 || say unknown "/proc hides the processes of others on this host"
pid=$1 start=$2 step=$5 reach=$6 cgroup=$7 number=$8
stat=$(cat "/proc/$pid/stat" 2>/dev/null) || stat=
group=
if [ -z "$stat" ]; then
  [ ! -e "/proc/$pid" ] || say unknown "process $pid cannot be looked at"
  leader=absent detail="there is no process $pid"
else
  set -f; set -- \${stat##*) }; set +f
  leader=alive detail="process $pid is alive (state $1)" group=$3
  case $1 in
    Z | X)
      living=
      for thread in "/proc/$pid/task/"*/stat; do
        state=$(cat "$thread" 2>/dev/null) || continue
        state=\${state##*) }
        case $state in Z* | X*) ;; *) living=yes ;; esac
      done
      [ -n "$living" ] || leader=dead detail="process $pid is dead and waits for its parent to collect it" ;;
  esac
  [ "\${20}" = "$start" ] || leader=another detail="process $pid is another one, started at \${20}"
fi
case $reach in
  process) [ $leader = alive ] || say gone "$detail" ;;
  group)
    [ $leader != another ] || say gone "$detail"
    [ $leader = absent ] || [ "$group" = "$pid" ] || say unknown "process $pid leads no process group"
    members=0
    for file in /proc/[0-9]*/stat; do
      { read -r stat <"$file"; } 2>/dev/null || continue
      set -f; set -- \${stat##*) }; set +f
      [ "$3" = "$pid" ] || continue
      case $1 in Z | X) ;; *) members=$((members + 1)) ;; esac
    done
    if [ $members -eq 0 ] && [ $leader != alive ]; then say gone "$detail, and nobody is left of its group"; fi
    [ $leader != absent ] || say unknown "$detail, and whether the $members of group $pid were its own cannot be told"
    detail="$members of process group $pid are alive" ;;
  cgroup)
    root=$(sed -n 's/^[^ ]* [^ ]* [^ ]* \\/ \\([^ ]*\\) .* - cgroup2 .*/\\1/p' /proc/self/mountinfo | head -n 1)
    [ -n "$root" ] || say unknown "this host shows no cgroups (v2)"
    case $(sed -n 's/^0:://p' /proc/self/cgroup)/ in "$cgroup"/*) say unknown "the cgroup $cgroup holds the far end itself" ;; esac
    populated=
    if cd "$root$cgroup" 2>/dev/null && [ "$(stat -c %i . 2>/dev/null)" = "$number" ]; then
      populated=$(sed -n 's/^populated //p' cgroup.events 2>/dev/null)
      [ -n "$populated" ] || say unknown "the cgroup $cgroup does not say whether anybody is in it"
    fi
    [ $leader = alive ] || [ "$populated" = 1 ] || say gone "$detail, and nobody is left of its cgroup $cgroup"
    detail="$detail; populated is \${populated:-gone} in its cgroup $cgroup" ;;
  *) say unknown "no such reach: $reach" ;;
esac
tell() {
  case $reach in
    group) kill -s "$1" -- "-$pid" ;;
    cgroup)
      if [ "$1" = KILL ] && [ -n "$populated" ]; then echo 1 >cgroup.kill || return 1; fi
      [ $leader != alive ] || kill -s "$1" "$pid" 2>/dev/null || [ ! -e "/proc/$pid" ] ;;
    *) kill -s "$1" "$pid" ;;
  esac
}
case $step in
  look) say alive "$detail" ;;
  SIGTERM) tell TERM || say unknown "SIGTERM to $reach of process $pid failed" ;;
  SIGKILL) tell KILL || say unknown "SIGKILL to $reach of process $pid failed" ;;
  *) say unknown "no such step: $step" ;;
esac
say struck "sent $step to the $reach of process $pid"
`

/**
 * $1 unit, $2 invocation id, $3 step, $4 systemctl. A unit that ends with its KillMode= at `process` or `none` leaves
 * processes behind: those are looked for in its cgroup, and under a newer invocation they cannot be told from it.
 */
const UNIT = `
unit=$1 invocation=$2 step=$3 systemctl=$4
shown=$("$systemctl" show --no-pager --property=LoadState,ActiveState,InvocationID,ControlGroup,KillMode -- "$unit" 2>&1) ||
  say unknown "systemctl show failed: $(printf '%s' "$shown" | head -c 200 | tr '\\n' ' ')"
property() { printf '%s\\n' "$shown" | sed -n "s/^$1=//p"; }
active=$(property ActiveState) load=$(property LoadState) now=$(property InvocationID) cgroup=$(property ControlGroup)
[ -n "$active" ] && [ -n "$load" ] || say unknown "systemctl said nothing of $unit"
case $active in
  inactive | failed)
    [ "$load" != not-found ] || say absent "systemd knows no unit $unit"
    if [ -n "$cgroup" ] && [ "$cgroup" != / ]; then
      for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
        [ -d "$root$cgroup" ] || continue
        left=$(find "$root$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null | head -n 1)
        [ -z "$left" ] || say unknown "$unit is $active and has left processes behind, $left among them"
      done
    fi
    say gone "$unit is $active" ;;
esac
[ "\${#now}" -eq 32 ] || say unknown "systemd does not say which invocation of $unit is $active"
if [ "$now" != "$invocation" ]; then
  case $(property KillMode) in
    control-group | mixed) say gone "$unit runs as another invocation: $now" ;;
    *) say unknown "$unit runs as another invocation; its KillMode may have left processes of $invocation" ;;
  esac
fi
case $step in
  look) say alive "the invocation $invocation of $unit is $active" ;;
  SIGTERM | SIGKILL) told=$("$systemctl" kill --kill-who=all "--signal=$step" -- "$unit" 2>&1) ;;
  stop) told=$("$systemctl" stop --no-block -- "$unit" 2>&1) ;;
  *) say unknown "no such step: $step" ;;
esac || say unknown "systemctl could not $step $unit: $(printf '%s' "$told" | head -c 200 | tr '\\n' ' ')"
say struck "told systemd: $step $unit"
`
