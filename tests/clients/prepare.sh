#!/usr/bin/env bash
# Installs what the clients in this folder need, Python's and Node's libraries, into a directory outside the checkout, and prints its
# path: venv/ and node_modules/ are in it. Run again, it only prints. It needs python3 with venv, and npm. Where there is Go, it has Go
# fetch the modules of the programs in Go into Go's own cache, and build the S3 store, which is too large to compile as a test starts.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

# Other requirements are another directory; so is another Python, whose path a virtual environment holds.
version=$( (cat python/requirements.txt node/package-lock.json; python3 --version; command -v python3) | cksum | cut -d' ' -f1)
clients="${XDG_CACHE_HOME:-$HOME/.cache}/flagtrail/clients-$version"

# A virtual environment can't be renamed, so the last thing put into the directory says that it is complete.
if [[ ! -f $clients/complete ]]; then
  mkdir -p "$clients"
  python3 -m venv --clear "$clients/venv"
  "$clients/venv/bin/pip" install --quiet --disable-pip-version-check --requirement python/requirements.txt >&2
  cp node/package.json node/package-lock.json "$clients/"
  npm ci --prefix "$clients" --no-audit --no-fund --silent >&2
  touch "$clients/complete"
fi

if command -v go >/dev/null; then
  go -C tlog mod download >&2
  store=$clients/s3-$(cat s3/go.sum s3/main.go | cksum | cut -d' ' -f1)
  if [[ ! -x $store ]]; then
    # Beside its place, and renamed: two that prepare at once don't start half of it.
    go -C s3 build -o "$store.$$" . >&2
    mv "$store.$$" "$store"
    ln -sfn "${store##*/}" "$clients/s3"
  fi
fi

echo "$clients"
