#!/usr/bin/env bash
# Builds the packages that would be published, and compiles the crates from them. Uncommitted changes are included.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(ws-proto ws-tokio ws-server ws-client ws-simulation ws-hyper ws-cluster ws-cli)
target="${CARGO_TARGET_DIR:-target}"

# Cargo unpacks the packages into a local registry, takes a registry's crate of one version as unchangeable, and keeps
# both the sources and what it compiled from them. What an earlier run left would be compiled instead of this source.
for package in "${packages[@]}"; do
  rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/"$package"-[0-9]*
  rm -rf "$target/package/$package"-[0-9]*
done
rm -rf "$target"/debug/.fingerprint/ws-*

cargo package --allow-dirty --quiet "${packages[@]/#/-p}"
