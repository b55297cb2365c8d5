#!/usr/bin/env bash
# Installs the other implementations for the end-to-end tests into .peers/ at the top of the workspace:
#   .peers/python   a virtual environment with `websockets`
#   .peers/node     node_modules with `ws` and `wscat`
#   .peers/nats     nats-server of the Debian package, without its service
# Also installs Chromium, nginx, HAProxy, tinyproxy, microsocks and redis-server through apt-get, if that is possible and
# they are missing. Programs that are already installed are not changed.
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

# The tests start servers of their own, so the one of the package is not started.
setup_redis() {
    local policy=/usr/sbin/policy-rc.d made=0
    if ! has redis-server && [ "$(id -u)" = 0 ] && has apt-get && [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        made=1
    fi
    setup_packages redis-server
    [ "$made" = 0 ] || rm -f "$policy"
}

# Not installed as a package, because that starts a service.
setup_nats() {
    if PATH=$PATH:/usr/sbin:$peers/nats/usr/sbin has nats-server; then
        echo "nats-server: there"
    elif ! has apt-get || ! has dpkg-deb; then
        leave_out "nats-server: missing, and there is no apt-get or no dpkg-deb"
    elif { [ "$(id -u)" != 0 ] || apt-get update -qq; } && mkdir -p "$peers/nats" && cd "$peers/nats" \
        && apt-get download -qq nats-server && dpkg-deb --extract nats-server_*.deb .; then
        echo "nats-server: installed"
    else
        leave_out "nats-server: see above"
    fi
}

mkdir -p "$peers"
setup_python
setup_node
setup_chromium
setup_packages nginx haproxy tinyproxy microsocks
setup_redis
(setup_nats; exit "$missing") || missing=1
[ "${WS_REQUIRE_PEERS:-0}" != 1 ] || exit "$missing"
