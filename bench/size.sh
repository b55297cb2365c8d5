#!/usr/bin/env bash
# Builds a minimal echo server and a minimal client on each library, in release mode and from nothing, and prints a table:
# the seconds of the build, the CPU seconds of all compilers, the number of crates, and the size of the binary as built and stripped.
#
#     bash bench/size.sh                   # all programs in bench/size
#     bash bench/size.sh ours-server yawc-server
#
# The versions are those of bench/Cargo.lock. Crates are downloaded before the clock starts.
# SIZE_ROUNDS=3 builds each program three times, one after the other, and prints the median times.
set -euo pipefail
cd "$(dirname "$0")"

rounds="${SIZE_ROUNDS:-1}"
programs=("$@")
if [[ ${#programs[@]} -eq 0 ]]; then
    programs=({ours,tokio-tungstenite,fastwebsockets,yawc}-server {ours,tokio-tungstenite,fastwebsockets,yawc}-client)
fi
work="$(mktemp -d)"
# The lock files are copies, and belong to this run.
trap 'rm -rf "$work"; rm -f size/*/Cargo.lock' EXIT
# Seconds have a decimal point.
export LC_ALL=C
TIMEFORMAT="%1R %1U %1S"
unset RUSTFLAGS CARGO_PROFILE_RELEASE_DEBUG CARGO_PROFILE_RELEASE_LTO

for program in "${programs[@]}"; do
    if [[ ! -f "size/$program/Cargo.toml" ]]; then
        echo "no folder size/$program" >&2
        exit 2
    fi
    cp Cargo.lock "size/$program/Cargo.lock"
    cargo fetch --quiet --manifest-path "size/$program/Cargo.toml"
done

echo "$(rustc --version), $(nproc) cores"
echo
echo "| program | build s | CPU s | crates | binary KiB | stripped KiB |"
echo "|---|--:|--:|--:|--:|--:|"
for program in "${programs[@]}"; do
    manifest="size/$program/Cargo.toml"
    : >"$work/times"
    for ((round = 0; round < rounds; round++)); do
        rm -rf "$work/target"
        build=(cargo build --quiet --offline --release --manifest-path "$manifest" --target-dir "$work/target")
        if ! { time "${build[@]}" 2>"$work/log"; } 2>>"$work/times"; then
            cat "$work/log" >&2
            exit 1
        fi
    done
    median() { sort -n | sed -n "$(((rounds + 1) / 2))p"; }
    elapsed="$(awk '{ print $1 }' "$work/times" | median)"
    cpu="$(awk '{ print $2 + $3 }' "$work/times" | median)"
    # The program itself is not counted.
    crates="$(cargo tree --offline --manifest-path "$manifest" --edges normal,build --prefix none --no-dedupe |
        sed 's/ (.*//' | sort -u | grep -vc "^size-$program ")"
    binary="$work/target/release/size-$program"
    strip -o "$work/stripped" "$binary"
    kib() { echo "$((($(stat -c %s "$1") + 512) / 1024))"; }
    echo "| $program | $elapsed | $cpu | $crates | $(kib "$binary") | $(kib "$work/stripped") |"
done
