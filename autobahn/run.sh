#!/usr/bin/env bash
# Runs the Autobahn Testsuite against our server, our server inside axum, or our client, and compares every case with
# expected.json.
# README.md beside this file explains the options.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-python3}
testee_pid='' suite_pid=''

usage() {
    echo 'usage: bash autobahn/run.sh server|client|axum [quick|full] [--api handler|async] [--deflate]'
}

refuse() {
    printf 'autobahn: %s\n' "$1" >&2
    usage >&2
    exit 2
}

fail() {
    printf 'autobahn: %s\n' "$1" >&2
    return 1
}

parse_arguments() {
    direction='' scope=quick apis='handler async' deflate=''
    while [ $# -gt 0 ]; do
        case $1 in
            server | client | axum) [ -z "$direction" ] || refuse "one direction at a time"; direction=$1 ;;
            quick | full) scope=$1 ;;
            --api)
                case ${2-} in handler | async) apis=$2 ;; *) refuse "--api takes handler or async" ;; esac
                api_given=yes
                shift
                ;;
            --deflate) deflate=--deflate ;;
            -h | --help) usage; exit 0 ;;
            *) refuse "unknown argument: $1" ;;
        esac
        shift
    done
    [ -n "$direction" ] || refuse "say which side to test: server, client or axum"
    [ "$direction" = server ] || [ -z "${api_given-}" ] || refuse "--api belongs to the server"
}

# Minutes allowed for one run of the suite. Compression sends 216 000 messages through Python's zlib.
default_minutes() {
    case $scope$deflate in
        quick*) echo 10 ;;
        full) echo 30 ;;
        *) echo 120 ;;
    esac
}

# --- processes ---------------------------------------------------------------------------------------------------

# await SECONDS PID COMMAND…: waits until the command succeeds. Fails if the process ends or the time is up first.
await() {
    local deadline=$((SECONDS + $1)) pid=$2
    shift 2
    until "$@"; do
        kill -0 "$pid" 2>/dev/null || { "$@" && return 0; return 1; }
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

gone() {
    ! kill -0 "$1" 2>/dev/null
}

# stop PID: sends TERM, then KILL if the process does not end. The exit status is the process's.
stop() {
    kill -TERM "$1" 2>/dev/null || true
    await 15 "$1" gone "$1" || kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null
}

clean_up() {
    local pid
    for pid in $testee_pid $suite_pid; do
        stop "$pid" || true
    done
}

# --- the suite ---------------------------------------------------------------------------------------------------

excluded_cases() {
    case $scope$deflate in
        quick*) echo '"9.*", "12.*", "13.*"' ;;
        full) echo '"12.*", "13.*"' ;;
    esac
}

# write_spec PEER: PEER is the part of the specification that differs between the two directions.
write_spec() {
    cat <<SPEC
{
  $1,
  "outdir": ".",
  "options": {"failByDrop": false},
  "cases": ["*"],
  "exclude-cases": [$(excluded_cases)],
  "exclude-agent-cases": {}
}
SPEC
}

# start_suite MODE: starts the suite in the folder of the run, which holds the specification and the reports.
start_suite() {
    (cd "$reports" && exec bash "$here/wstest.sh" --mode "$1" --spec spec.json --webport 0) \
        >"$reports/wstest.log" 2>&1 &
    suite_pid=$!
}

prepare_reports() {
    reports=$here/reports/$1
    rm -rf "$reports"
    mkdir -p "$reports"
}

compare() {
    # Inside axum the server must behave as it does alone.
    local expected=$direction
    [ "$direction" != axum ] || expected=server
    "$python" "$here/compare.py" "$expected" "$reports/index.json" "--$scope" $deflate
}

# --- the two directions ------------------------------------------------------------------------------------------

# binary PACKAGE NAME OVERRIDE: prints the path of the testee. Builds it unless OVERRIDE names one.
binary() {
    if [ -n "$3" ]; then
        echo "$3"
        return
    fi
    (cd "$root" && cargo build --release --package "$1" --bin "$2" >&2) || return 1
    echo "$target/release/$2"
}

server_address() {
    address=$(sed -n 's|^listening on ws://||p' "$reports/testee.out" | head -n 1)
    [ -n "$address" ]
}

# run_server NAME OPTION…
run_server() {
    local name=$1 address
    shift
    prepare_reports "$name"
    "$testee" --listen 127.0.0.1:0 "$@" --max-message-size 33554432 $deflate \
        >"$reports/testee.out" 2>"$reports/testee.log" &
    testee_pid=$!
    await 30 "$testee_pid" server_address || { fail "the server did not say that it listens; see $reports/testee.log"; return; }
    write_spec "\"servers\": [{\"agent\": \"webzockets-$name\", \"url\": \"ws://$address\"}]" >"$reports/spec.json"
    start_suite fuzzingclient
    await "$limit" "$suite_pid" gone "$suite_pid" || { fail "the suite was not done after $limit s; see $reports/wstest.log"; return; }
    wait "$suite_pid" || { fail "wstest failed; see $reports/wstest.log"; return; }
    suite_pid=''
    compare || return 1
    stop "$testee_pid" || { fail "the server did not end well on SIGTERM (status $?); see $reports/testee.log"; return; }
    testee_pid=''
}

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

accepts() {
    "$python" -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1)' "$1" 2>/dev/null
}

run_client() {
    local port
    prepare_reports client
    port=$(free_port)
    write_spec "\"url\": \"ws://127.0.0.1:$port\"" >"$reports/spec.json"
    start_suite fuzzingserver
    await 60 "$suite_pid" accepts "$port" || { fail "wstest does not listen; see $reports/wstest.log"; return; }
    "$testee" --server "ws://127.0.0.1:$port" --agent webzockets-client $deflate \
        >"$reports/testee.out" 2>"$reports/testee.log" &
    testee_pid=$!
    await "$limit" "$testee_pid" gone "$testee_pid" || { fail "the client was not done after $limit s; see $reports/wstest.log"; return; }
    wait "$testee_pid" || { fail "the client failed (status $?); see $reports/testee.log"; return; }
    testee_pid=''
    compare
}

engine() {
    case $1 in 0) echo runtime ;; *) echo shards ;; esac
}

# Runs all servers in turn, even if one fails, so that the report covers all of them.
run_all() {
    local api shards failed=0
    case $direction in
        client) run_client; return ;;
        axum) run_server axum; return ;;
    esac
    for api in $apis; do
        # The server has two engines: one on its caller's runtime, one on threads of its own.
        for shards in 0 1; do
            run_server "server-$api-$(engine "$shards")" --api "$api" --shards "$shards" || failed=1
            clean_up
            testee_pid='' suite_pid=''
        done
    done
    return "$failed"
}

parse_arguments "$@"
limit=${AUTOBAHN_TIMEOUT:-$(($(default_minutes) * 60))}
# cargo resolves a relative folder from where it runs. The caller means it relative to the caller's own folder.
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
export CARGO_TARGET_DIR=$target

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bash "$here/wstest.sh" --autobahnversion
case $direction in
    server) testee=$(binary ws-examples echo-server "${ECHO_SERVER_BIN-}") ;;
    client) testee=$(binary autobahn autobahn-client "${AUTOBAHN_CLIENT_BIN-}") ;;
    axum) testee=$(binary autobahn autobahn-axum "${AUTOBAHN_AXUM_BIN-}") ;;
esac
run_all
