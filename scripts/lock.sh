#!/usr/bin/env bash
# Writes the lock files anew from pyproject.toml, with the uv of the virtual environment.
#
# uv does not read pip's configuration, so the index and the certificates that pip would use are
# handed to it. No host name gets into a lock.
set -euo pipefail

uv=$1
pip=$2
index=${PIP_INDEX_URL:-$("$pip" config get global.index-url 2>/dev/null || true)}
certificates=${PIP_CERT:-$("$pip" config get global.cert 2>/dev/null || true)}
[ -z "$index" ] || export UV_DEFAULT_INDEX=$index
[ -z "$certificates" ] || export SSL_CERT_FILE=$certificates

compile() {
  "$uv" pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --custom-compile-command "make lock" --quiet "$@"
}

compile --output-file requirements.lock
compile --group dev --output-file requirements-dev.lock
compile --group bench --output-file requirements-bench.lock
