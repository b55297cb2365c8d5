#!/usr/bin/env bash
# Installs the other implementations for the end-to-end tests into .peers/ at the top of the workspace:
#   .peers/python   a virtual environment with `websockets`
#   .peers/node     node_modules with `ws` and `wscat`
# Also installs Chromium, nginx, HAProxy, tinyproxy and microsocks through apt-get, if that is possible and they are missing.
# Programs that are already installed are not changed.
#
# A peer that cannot be installed is reported and left out. The tests that need it print that they skip it.
# With WS_REQUIRE_PEERS=1 that is an error, here and in the tests.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers=$(cd "$here/../.." && pwd)/.peers
missing=0

has() { command -v "$1" >/dev/null 2>&1; }

leave_out() {
    echo "left out: $1" >&2
    missing=1
}

setup_python() {
    local wanted=$here/python/requirements.txt stamp=$peers/python/requirements.txt
    if cmp -s "$wanted" "$stamp"; then
        echo "websockets: there"
    elif ! has python3; then
        leave_out "websockets: no python3"
    elif python3 -m venv --clear "$peers/python" \
        && "$peers/python/bin/pip" install --quiet --disable-pip-version-check -r "$wanted"; then
        # Last, so that an incomplete installation does not count as complete.
        cp "$wanted" "$stamp"
        echo "websockets: installed"
    else
        leave_out "websockets: see above (Debian: apt-get install python3-venv)"
    fi
}

setup_node() {
    local wanted=$here/node/package.json stamp=$peers/node/.installed
    if cmp -s "$wanted" "$stamp"; then
        echo "ws, wscat: there"
    elif ! has node || ! has npm; then
        leave_out "ws, wscat: no node or no npm (Debian: apt-get install nodejs npm)"
    elif rm -rf "$peers/node" && mkdir -p "$peers/node" && cp "$wanted" "$peers/node/package.json" \
        && npm install --prefix "$peers/node" --silent --no-package-lock --no-audit --no-fund --ignore-scripts; then
        cp "$wanted" "$stamp"
        echo "ws, wscat: installed"
    else
        leave_out "ws, wscat: see above"
    fi
}

setup_chromium() {
    if has chromium || has chromium-browser || has google-chrome; then
        echo "chromium: there"
    elif [ "$(id -u)" != 0 ] || ! has apt-get; then
        leave_out "chromium: missing, and only root can install it with apt-get"
    elif apt-get update -qq \
        && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; then
        echo "chromium: installed"
    else
        leave_out "chromium: see above"
    fi
}

# setup_packages NAME...: programs of the same name.
setup_packages() {
    local name
    for name in "$@"; do
        if PATH=$PATH:/usr/sbin has "$name"; then
            echo "$name: there"
        elif [ "$(id -u)" != 0 ] || ! has apt-get; then
            leave_out "$name: missing, and only root can install it with apt-get"
        elif apt-get update -qq \
            && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$name" >/dev/null; then
            echo "$name: installed"
        else
            leave_out "$name: see above"
        fi
    done
}

mkdir -p "$peers"
setup_python
setup_node
setup_chromium
setup_packages nginx haproxy tinyproxy microsocks
[ "${WS_REQUIRE_PEERS:-0}" != 1 ] || exit "$missing"
