#!/usr/bin/env bash
# Runs the Autobahn Testsuite's `wstest` in the current folder with the given arguments. Takes it from PATH, from
# autobahn/.venv (created on first use), or from a container, in this order.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if wstest --autobahnversion >/dev/null 2>&1; then
    exec wstest "$@"
fi
if bash "$here/setup.sh"; then
    # Unbuffered, so that the log of a run that hangs ends at the case that hangs.
    exec "$here/.venv/bin/python" -u -W ignore -m autobahntestsuite.wstest "$@"
fi
if docker info >/dev/null 2>&1; then
    # With the same path inside and outside and the host's network, the caller need not treat a container differently.
    exec docker run --rm --init --network host --user "$(id -u):$(id -g)" --volume "$PWD:$PWD" --workdir "$PWD" \
        crossbario/autobahn-testsuite:0.8.2 wstest "$@"
fi
echo "autobahn: no Autobahn Testsuite: it takes wstest on PATH, or Python 2.7 with pip (python2.7, or pyenv's 2.7.18), or Docker" >&2
exit 1
