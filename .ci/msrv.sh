#!/usr/bin/env bash
# Builds all crates and their tests with the oldest Rust version that they support. Skips if that version cannot be
# installed on this machine; clippy's incompatible_msrv still finds newer functions of the standard library.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
if rustup toolchain install "$version" --profile minimal >/dev/null 2>&1; then
  cargo "+$version" check --workspace --all-targets --quiet
  echo "Rust $version: checked"
else
  echo "Rust $version cannot be installed: skipped"
fi
