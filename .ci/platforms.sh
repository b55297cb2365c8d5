#!/usr/bin/env bash
# Lints the four crates for Windows and macOS, without TLS, whose C code would need a compiler for these systems.
# Skips a target that cannot be installed on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
for target in x86_64-pc-windows-gnu aarch64-apple-darwin; do
  if rustup target add "$target" 2>/dev/null; then
    cargo clippy -p ws-proto -p ws-tokio -p ws-server -p ws-client --features ws-server/deflate,ws-client/deflate \
      --target "$target" --quiet -- -D warnings
    echo "$target: checked"
  else
    echo "$target: cannot be installed, skipped"
  fi
done
