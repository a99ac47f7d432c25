#!/bin/sh
# Runs a checkout on a machine that has no more than git, npm and some Node.js: finds a Node.js that is new enough,
# installs what the lockfiles pin, and becomes the program. Never leaves a wrapper process behind.
set -eu

node_major_min=24
setup_wait_seconds=300

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
runtime="$root/deploy/checkout/runtime"
setup_lock="$root/.cache/setup.lock"
npm_pid=''

say() { printf 'fencegate: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}

usage() {
  cat >&2 <<'TEXT'
usage: run.sh start [ARGS]   the sample set-up; with ARGS: fencegate serve ARGS
       run.sh cli ARGS       fencegate ARGS, such as: check -c FILE
       run.sh test [ARGS]    all tests; ARGS go to vitest
       run.sh check          types, format, lint, house rules
       run.sh demo           the story of a stale write, with the gateway and without
       run.sh bench [ARGS]   what the gateway costs
       run.sh chaos [ARGS]   three gateways and three etcd members under every fault (test/chaos/run.ts)
       run.sh sim [ARGS]     the simulation, on seeds that nobody has seen yet
       run.sh sim:mutants    planted bugs that the simulation has to find
       run.sh build          dist/, which is what npm pack packs
TEXT
  exit 2
}

# Major version of the Node.js at $1; 0 where it does not run.
node_major() {
  "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0
}

pinned_node() {
  for candidate in "$runtime"/node_modules/node-*/bin/node; do
    if [ -x "$candidate" ]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
}

# Is what stands in $1/node_modules what $1/package-lock.json asks for? An installation by hand counts too.
installed() {
  stamp="$1/node_modules/.fencegate-stamp"
  if [ -f "$stamp" ]; then
    [ "$(cat "$stamp")" = "$(cksum <"$1/package-lock.json")" ]
  else
    [ -n "$(find "$1/node_modules/.package-lock.json" -newer "$1/package-lock.json" 2>/dev/null)" ]
  fi
}

# npm's own configuration may leave out development or optional packages; both are needed here, and what it says where it fails
# is read (`npm run --silent` hands its silence on).
# In the background, so that a signal ends the wait and npm with it.
run_npm() {
  (cd "$1" && shift && exec npm "$@" --ignore-scripts --include=dev --include=optional --no-progress --loglevel=error >"$npm_log" 2>&1) &
  npm_pid=$!
  npm_exit=0
  wait "$npm_pid" || npm_exit=$?
  npm_pid=''
  return "$npm_exit"
}

install_packages() {
  command -v npm >/dev/null 2>&1 || die "npm is not on the PATH. Install npm (Debian: apt-get install npm), then run this again."
  npm_log="$root/.cache/npm.$$.log"
  lockfile=$(cksum <"$1/package-lock.json")
  say "installing $2 (npm ci)"
  if ! run_npm "$1" ci; then
    if ! node "$root/deploy/checkout/other-platforms.mjs" "$npm_log" "$1/package-lock.json" || ! run_npm "$1" install --no-save; then
      sed '/^npm error Clean install a project$/,$d' "$npm_log" >&2
      rm -f "$npm_log"
      die "npm failed in $1: see above. It needs the npm registry: check the network, or point npm to a mirror (npm config set registry URL), then run this again."
    fi
    say "the lockfile has this platform's packages only, which npm ci refuses: installed with npm install, from the same lockfile"
  fi
  rm -f "$npm_log"
  if [ "$(cksum <"$1/package-lock.json")" != "$lockfile" ]; then
    die "npm changed $1/package-lock.json, so what it installed is not what is pinned. Restore it (git checkout package-lock.json), then run this again."
  fi
  printf '%s\n' "$lockfile" >"$1/node_modules/.fencegate-stamp"
}

abandon_setup() {
  [ -z "$npm_pid" ] || kill "$npm_pid" 2>/dev/null || true
  exit "$1"
}

release_setup() {
  rm -rf "$setup_lock"
  trap - EXIT INT TERM HUP
}

# A dead holder's lock is removed by one waiter at a time, who looks again before he does it.
break_dead_lock() {
  holder=$(cat "$setup_lock/pid" 2>/dev/null || true)
  if [ -z "$holder" ] || kill -0 "$holder" 2>/dev/null; then return; fi
  mkdir "$setup_lock.breaking" 2>/dev/null || return 0
  if [ "$(cat "$setup_lock/pid" 2>/dev/null || true)" = "$holder" ]; then rm -rf "$setup_lock"; fi
  rmdir "$setup_lock.breaking"
}

# Two `npm start` may run at once: one installs, the others wait for it.
acquire_setup() {
  mkdir -p "$root/.cache"
  waited=0
  until mkdir "$setup_lock" 2>/dev/null; do
    if [ "$waited" -eq 0 ]; then say "another process is setting this checkout up: waiting for it"; fi
    if [ "$waited" -ge "$setup_wait_seconds" ]; then
      die "still being set up after ${setup_wait_seconds} s. If no other npm runs here, remove $setup_lock and $setup_lock.breaking, then run this again."
    fi
    break_dead_lock
    sleep 1
    waited=$((waited + 1))
  done
  trap release_setup EXIT
  trap 'abandon_setup 130' INT
  trap 'abandon_setup 143' TERM HUP
  echo "$$" >"$setup_lock/pid"
}

# Puts a Node.js that is new enough first on the PATH; the shell's own lookup finds npm's Node.js here too.
choose_node() {
  own=$(command -v node || true)
  if [ -n "$own" ] && [ "$(node_major "$own")" -ge "$node_major_min" ]; then return; fi
  if ! installed "$runtime" || [ -z "$(pinned_node)" ]; then
    acquire_setup
    if ! installed "$runtime" || [ -z "$(pinned_node)" ]; then
      say "Node.js here is ${own:+$("$own" --version 2>/dev/null) }${own:-missing}; fencegate needs $node_major_min or later"
      install_packages "$runtime" "a pinned Node.js into this checkout"
    fi
    release_setup
  fi
  node=$(pinned_node)
  if [ -z "$node" ]; then
    die "there is no pinned Node.js for $(uname -s) $(uname -m). Install Node.js $node_major_min or later, then run this again."
  fi
  if [ "$(node_major "$node")" -lt "$node_major_min" ]; then
    die "$node does not run on this machine. Install Node.js $node_major_min or later, then run this again."
  fi
  PATH="$(dirname -- "$node"):$PATH"
  export PATH
}

install_dependencies() {
  if installed "$root"; then return; fi
  acquire_setup
  installed "$root" || install_packages "$root" "the packages of package-lock.json"
  release_setup
}

apt_install() {
  sh "$root/deploy/checkout/apt-install.sh" /usr/sbin/policy-rc.d "$root/.cache/apt.log" "$@"
}

has_command() {
  PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1
}

# The real parts that tests run against. Never fatal: what is missing is skipped with the reason, and fails where CI=true.
install_test_tools() {
  missing=''
  has_command etcd || missing="$missing etcd-server"
  has_command etcdctl || missing="$missing etcd-client"
  has_command go || missing="$missing golang-go"
  [ -d /usr/share/gocode/src/github.com/vmware/govmomi ] || missing="$missing golang-github-vmware-govmomi-dev"
  [ -d /usr/share/gocode/src/go.etcd.io/etcd/clientv3 ] || missing="$missing golang-etcd-server-dev"
  [ -d /usr/lib/python3/dist-packages/tooz ] || missing="$missing python3-tooz"
  [ -d /usr/lib/python3/dist-packages/etcd3gw ] || missing="$missing python3-etcd3gw"
  for client in cinderclient novaclient ironicclient openstackclient; do
    [ -d "/usr/lib/python3/dist-packages/$client" ] || missing="$missing python3-$client"
  done
  [ -d /usr/lib/python3/dist-packages/oslo_vmware ] || missing="$missing python3-oslo.vmware"
  has_command nginx || missing="$missing nginx"
  has_command haproxy || missing="$missing haproxy"
  has_command curl || missing="$missing curl"
  has_command nghttp || missing="$missing nghttp2-client"
  has_command systemd-analyze || missing="$missing systemd"
  has_command ip || missing="$missing iproute2"
  has_command fence_ipmilan || missing="$missing fence-agents"
  has_command ipmi_sim || missing="$missing openipmi"
  has_command sshd || missing="$missing openssh-server"
  has_command stonith_admin || missing="$missing pacemaker-cli-utils"
  [ -x /usr/lib/pacemaker/pacemaker-fenced ] || missing="$missing pacemaker"
  has_command corosync || missing="$missing corosync"
  has_command virsh || missing="$missing libvirt-clients"
  has_command ceph || missing="$missing ceph-common"
  has_command ceph-mon || missing="$missing ceph-mon"
  has_command libvirtd || missing="$missing libvirt-daemon"
  has_command ipmitool || missing="$missing ipmitool"
  has_command spin || missing="$missing spin"
  has_command gcc || missing="$missing gcc"
  [ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
  if [ -z "$missing" ]; then return; fi
  if [ "${FENCEGATE_APT:-yes}" = no ] || [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    say "not installed here, and left so:$missing (tests that need them are skipped)"
    return
  fi
  mkdir -p "$root/.cache"
  say "installing for the tests:$missing (apt-get; FENCEGATE_APT=no prevents it)"
  # shellcheck disable=SC2086
  if apt_install $missing; then return; fi
  apt-get update -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20 >>"$root/.cache/apt.log" 2>&1 || true
  # shellcheck disable=SC2086
  if apt_install $missing; then return; fi
  for package in $missing; do
    apt_install "$package" || say "could not install $package: see $root/.cache/apt.log"
  done
}

# Cinder's drivers, which tests drive, and Keystone, which they run, come with services, users and databases that nobody
# wants here: of what is missing only the Python and its libraries are unpacked, and nothing installed. Never fatal, as above.
unpack_openstack() {
  unpacked="$root/.cache/openstack"
  if [ -d "$unpacked" ]; then return; fi
  if [ "${FENCEGATE_APT:-yes}" = no ] || ! has_command apt-get; then
    say "not here, and left so: Cinder's drivers, Keystone (tests that need them are skipped)"
    return
  fi
  say "unpacking Cinder's drivers and Keystone for the tests (apt-get; FENCEGATE_APT=no prevents it)"
  fresh="$unpacked.$$"
  rm -rf "$fresh"
  fetch_openstack || {
    apt-get update -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20 >>"$root/.cache/apt.log" 2>&1 || true
    fetch_openstack || say "could not unpack python3-cinder and python3-keystone: see $root/.cache/apt.log"
  }
  rm -rf "$fresh"
}

# What is large, and imported by none of the two, is left out.
fetch_openstack() {
  packages=$(apt-get install -s --no-install-recommends python3-cinder python3-keystone 2>/dev/null |
    sed -n 's/^Inst \(\(python3-\|lib\)[^ ]*\) .*/\1/p' |
    grep -v -E '^(python3-(confluent-kafka|migrate|mysqldb|os-win|psycopg2|sphinx|swiftclient|testresources|testscenarios|unittest2|zmq)|lib(ann|cdt|cgraph|gts|gvc|gvpr|lab-|pathplan|mariadb|rdkafka).*)$' || true)
  # They may be installed as a whole.
  [ -n "$packages" ] || [ -d /usr/lib/python3/dist-packages/keystone ] || return 1
  mkdir -p "$fresh/debs" "$fresh/tree/usr/lib/python3/dist-packages"
  # shellcheck disable=SC2086
  [ -z "$packages" ] || (cd "$fresh/debs" && apt-get download -q -o Acquire::Retries=1 -o Acquire::http::Timeout=20 $packages >>"$root/.cache/apt.log" 2>&1) || return 1
  for package in "$fresh"/debs/*.deb; do
    [ ! -e "$package" ] || dpkg -x "$package" "$fresh/tree" || return 1
  done
  mv "$fresh/tree" "$unpacked"
}

# All four are run, so that one round shows everything that is wrong.
check_everything() {
  failed=''
  say 'check: types (tsc)'
  tsc -p . || failed="$failed types"
  say 'check: format, imports, cycles (biome)'
  biome ci . || failed="$failed biome"
  say 'check: lint with types (oxlint)'
  oxlint --type-aware || failed="$failed oxlint"
  say 'check: house rules (test/tidy)'
  vitest run test/tidy || failed="$failed tidy"
  [ -z "$failed" ] || die "check failed:$failed"
  say 'check: all is well'
}

command=${1:-}
[ -n "$command" ] || usage
shift
case "$command" in
  start | cli | test | check | demo | bench | chaos | build | sim | sim:mutants) ;;
  *) usage ;;
esac

choose_node
install_dependencies
PATH="$root/node_modules/.bin:$PATH"
export PATH

case "$command" in
  start)
    if [ "$#" -eq 0 ]; then exec node "$root/deploy/sample/start.ts"; fi
    exec node "$root/gateway/main.ts" serve "$@"
    ;;
  cli) exec node "$root/gateway/main.ts" "$@" ;;
  demo) exec node "$root/deploy/demo/demo.ts" "$@" ;;
  build) exec node "$root/deploy/package/build.mjs" ;;
  sim) exec node "$root/test/sim/replay.ts" "$@" ;;
  sim:mutants) exec node "$root/test/sim/mutants.ts" "$@" ;;
esac

cd "$root"
case "$command" in
  check) check_everything ;;
  test)
    install_test_tools
    unpack_openstack
    exec node node_modules/vitest/vitest.mjs run "$@"
    ;;
  bench)
    install_test_tools
    exec node test/bench/main.ts "$@"
    ;;
  chaos)
    install_test_tools
    exec node test/chaos/run.ts "$@"
    ;;
esac
