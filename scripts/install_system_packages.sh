#!/usr/bin/env bash
# Installs from Debian what a target needs and this machine lacks: as root at once, otherwise it
# prints the one line to run and stops. Nothing that is installed here leaves a service running.
# What the tests would like to have (`tests`) stops nothing where there is no apt-get: they skip it.
#
# usage: scripts/install_system_packages.sh venv|mongod|tests|bench PYTHON
set -euo pipefail

target=$1
python=$2
missing=()

has_program() { PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null; }
has_library() { "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null; }
has_postgres() { has_program postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }

if [ -z "$python" ]; then
  echo "There is no Python 3.11 or later on PATH: install one, or run make PYTHON=/path/to/python." >&2
  exit 1
fi

case $target in
  venv)
    "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("$("$python" -c \
      'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")')")
    ;;
  mongod)
    # The bundled mongod needs it; a mongod on PATH or an own MongoDB does not.
    if [ -z "${CDP_MONGO_URI:-}" ] && ! has_program mongod; then
      has_library libcurl.so.4 || missing+=(libcurl4)
    fi
    ;;
  tests)
    # Its master starts as root only.
    [ "$(id -u)" -ne 0 ] || has_program postfix || missing+=(postfix)
    has_program sftp || missing+=(openssh-client)
    has_program apt-get || missing=()
    ;;
  bench)
    has_program redis-server || missing+=(redis-server)
    has_postgres || missing+=(postgresql)
    has_program smtp-sink || missing+=(postfix)
    has_program wrk || missing+=(wrk)
    ;;
  *)
    echo "unknown target: $target" >&2
    exit 2
    ;;
esac

[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get install --yes --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ] || ! has_program apt-get; then
  echo "This needs ${missing[*]}. Run this, then try again:" >&2
  echo "  sudo $install" >&2
  exit 1
fi

# Debian asks this file whether a package may start its service: 101 is no.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
fi

echo "Installing from Debian: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && $install; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "Could not install ${missing[*]}; the whole output is in $log." >&2
  [ "$target" = tests ] || exit 1
  exit 0
fi
rm -f "$log"
