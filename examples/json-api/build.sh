#!/usr/bin/env bash
# Writes build/function.zip: one file.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

rm -rf build
mkdir build
zip -qj build/function.zip index.mjs
