#!/usr/bin/env bash
# Writes build/function.zip: main.py and the library beside it, where Python looks first.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"

rm -rf build
mkdir -p build/code build/package
# Debian's package needs no rights to unpack. Elsewhere: pip install --target build/code --no-deps tabulate
(cd build/package && apt-get download -qq python3-tabulate 2>/dev/null) || {
  echo "python3-tabulate cannot be downloaded; are apt's package lists there (apt-get update)?" >&2
  exit 1
}
dpkg-deb -x build/package/python3-tabulate_*.deb build/package
cp build/package/usr/lib/python3/dist-packages/tabulate.py build/code/
cp build/package/usr/share/doc/python3-tabulate/copyright build/code/tabulate.LICENSE
cp main.py build/code/
(cd build/code && zip -qr ../function.zip .)
