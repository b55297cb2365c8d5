#!/usr/bin/env bash
# Installs the Autobahn Testsuite into autobahn/.venv unless a working one is there.
# The suite needs Python 2. The versions below are the last that support it.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=$here/.venv
readonly VIRTUALENV=virtualenv==20.15.1 SUITE=autobahntestsuite==0.8.2

# Runs the program instead of looking for files: an interrupted installation or a moved checkout leaves files that do not run.
venv_works() {
    "$venv/bin/python" -W ignore -m autobahntestsuite.wstest --autobahnversion >/dev/null 2>&1
}

# Prints the path of a Python 2.7 that runs. Version managers put names on PATH for versions that are not selected.
find_python27() {
    local candidate prefix
    candidate=$(command -v python2.7) && "$candidate" -c '' 2>/dev/null && { echo "$candidate"; return; }
    prefix=$(pyenv prefix 2.7.18 2>/dev/null) || return 1
    "$prefix/bin/python2.7" -c '' 2>/dev/null && echo "$prefix/bin/python2.7"
}

# virtualenv goes into a folder of its own, so that the interpreter's own packages stay as they are.
create() {
    local python=$1
    unset PYTHONHOME PYTHONPATH
    "$python" -m pip install --target "$venv/bootstrap" "$VIRTUALENV" &&
        PYTHONPATH=$venv/bootstrap "$python" -m virtualenv "$venv" &&
        "$venv/bin/python" -m pip install "$SUITE" &&
        venv_works
}

venv_works && exit 0
python=$(find_python27) || exit 1
echo "autobahn: installing $SUITE in autobahn/.venv (once; about a minute)" >&2
rm -rf "$venv"
mkdir -p "$venv"
if ! create "$python" >"$venv/setup.log" 2>&1; then
    echo "autobahn: installing $SUITE failed; autobahn/.venv/setup.log says why" >&2
    exit 1
fi
