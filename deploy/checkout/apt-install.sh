#!/bin/sh
# Installs Debian packages and leaves their services alone: who runs the tests has asked for the programs, and for no daemon
# that starts now or with the machine. usage: apt-install.sh POLICY LOG PACKAGE... (POLICY: /usr/sbin/policy-rc.d)
set -eu

policy=$1
log=$2
shift 2

# Debian asks this program before it starts a service; RUNLEVEL, which sysvinit goes by, means nothing to systemd. Whoever has
# one of his own goes by that. One of ours is left over from an installation that was killed.
hold_services() {
  if [ -e "$policy" ] && ! grep -q '^# fencegate: ' "$policy"; then return; fi
  printf '#!/bin/sh\n# fencegate: no service starts while tools for its tests are installed (process %s)\nexit 101\n' "$$" >"$policy.$$"
  chmod 755 "$policy.$$"
  mv "$policy.$$" "$policy"
}

# Another installation may have put its own in place of it meanwhile.
release_services() {
  rm -f "$policy.$$"
  if grep -qs "^# fencegate: .*(process $$)" "$policy"; then rm -f "$policy"; fi
}

# Their names, with a blank before and behind each.
installed_packages() {
  printf ' '
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | tr '\n' ' '
}

has_systemd() {
  case $(systemctl is-system-running 2>/dev/null || true) in '' | offline | unknown) return 1 ;; esac
}

# A package enables its services for the next start of the machine, and brings others along that do. What had been there before
# is not touched.
disable_services() {
  units=$(dpkg -L "$@" 2>/dev/null | sed -n 's#^\(/usr\)\{0,1\}/lib/systemd/system/\([^/@]*\.\(service\|socket\|timer\|path\|target\)\)$#\2#p')
  # shellcheck disable=SC2086
  if [ -n "$units" ]; then systemctl disable $units >>"$log" 2>&1 || true; fi
}

trap release_services EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

before=$(installed_packages)
hold_services
installed=0
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends \
  -o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20 "$@" >>"$log" 2>&1 || installed=$?
fresh=''
for package in $(installed_packages); do
  case $before in *" $package "*) ;; *) fresh="$fresh $package" ;; esac
done
# shellcheck disable=SC2086
if [ -n "$fresh" ] && has_systemd; then disable_services $fresh; fi
exit "$installed"
