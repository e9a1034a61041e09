#!/usr/bin/env bash
# Writes build/function.zip: index.mjs and node_modules as the lock file has them. -y keeps the links of node_modules/.bin as links.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

rm -rf build
mkdir -p build/code
cp index.mjs package.json package-lock.json build/code/
(cd build/code && npm ci --ignore-scripts --omit=dev --no-audit --no-fund --loglevel=error && zip -qry ../function.zip .)
