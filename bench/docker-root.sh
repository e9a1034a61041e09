#!/usr/bin/env bash
# Makes a small root file system with Python from Debian and this machine's Node in it, for `docker import`. Usage: bench/docker-root.sh FILE.tar
set -euo pipefail
target="$1"
root="$(mktemp -d "${TMPDIR:-/tmp}/flint-bench-root.XXXXXX")"
trap 'rm -rf "$root"' EXIT
# `extract` runs nothing inside, so it works wherever packages can be fetched.
mmdebstrap --variant=extract --include=python3.11-minimal,libpython3.11-stdlib,busybox,libstdc++6 bookworm "$root/tree"
node="$(readlink -f "$(command -v node)")"
install -D "$node" "$root/tree/usr/bin/node"
while read -r library; do
  [[ -e $root/tree$library ]] || install -D "$(readlink -f "$library")" "$root/tree$library"
done < <(ldd "$node" | grep -oE '/[^ ]+')
tar -C "$root/tree" -cf "$target.new" .
mv "$target.new" "$target"
