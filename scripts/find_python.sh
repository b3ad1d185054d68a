#!/usr/bin/env bash
# Prints the first Python on PATH that is new enough, or nothing.
set -u
for name in python3 python3.14 python3.13 python3.12 python3.11; do
  if command -v "$name" >/dev/null &&
    "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))'; then
    command -v "$name"
    exit 0
  fi
done
exit 0
