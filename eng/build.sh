#!/usr/bin/env bash
# Makes artifacts/flint: everything that a server needs to run, in one directory:
#   Flint.Server.dll ...   flint-launcher   guest/
# Nothing is done when the sources are those of the last build. Each build has a directory of its own, so that a running server keeps its files.
set -euo pipefail
# shellcheck source=eng/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"
cd "$FLINT_ROOT"

releases=artifacts/releases

# What the build is made from: the contents of the sources and the versions of the tools.
stamp() {
  {
    find src native guest eng/build.sh Directory.Build.props Directory.Packages.props global.json \
      \( -name build -o -name __pycache__ -o -name bin -o -name obj -o -path guest/native \) -prune -o -type f -print0 \
      | LC_ALL=C sort -z | xargs -0 sha256sum
    dirname "$(readlink -f "$(find_dotnet)")"
    find_pythons
    find_headers
    uname -m
  } | sha256sum | cut -c1-16
}

current="$(stamp)"
release="$releases/$current"
up_to_date() { [[ -e $release/complete && $(readlink artifacts/flint) == "releases/$current" ]]; }
if up_to_date; then
  exit 0
fi

mkdir -p "$releases"
exec 9>artifacts/.build.lock
flock 9
if up_to_date; then
  exit 0
fi
if [[ -e $release/complete ]]; then
  ln -sfn "releases/$current" artifacts/flint
  exit 0
fi

dotnet="$(find_dotnet)" || die "no .NET 10 SDK; eng/setup.sh says where it comes from"
say "building (a minute or two the first time)"
log=artifacts/build.log
staging="$releases/.$current.$$"
trap 'rm -rf "$staging"' EXIT
mkdir -p "$staging"

build() {
  make -C native
  "$dotnet" publish src/Flint.Server -c Release --use-current-runtime --no-self-contained -o "$staging" -v minimal -p:UseSharedCompilation=false -p:DebugType=embedded
  cp native/build/flint-launcher "$staging/"
  tar -C guest --exclude=__pycache__ --exclude=conformance --exclude='*-walls.so' --exclude='*.md' -cf - . | tar -C "$staging" --one-top-level=guest -xf -
  # Sandboxes cannot write bytecode, so it is written here, for every interpreter; by hash, since a copy changes times.
  for python in $(find_pythons); do
    "$python" -I -m compileall -q --invalidation-mode unchecked-hash "$staging/guest"
  done
  chmod -R a+rX "$staging"
}
# Not as a condition, where bash would go on after a failed command.
set +e
(set -e; build) >"$log" 2>&1 9>&-
status=$?
set -e
if ((status != 0)); then
  tail -n 40 "$log" >&2
  die "the build failed; all of its output is in $log"
fi

for module in 'flint_zygote.abi3.so Python python3-dev' 'flint_zygote.node JavaScript nodejs (from NodeSource; in Debian: libnode-dev)'; do
  read -r file language package <<<"$module"
  [[ -e $staging/guest/native/$file ]] \
    || say "$file was not built, since the interpreter's headers are not there: every $language sandbox starts an interpreter of its own, which is slower and larger. To change that: install $package and build again"
done
touch "$staging/complete"
rm -rf "$release"
mv "$staging" "$release"
ln -sfn "releases/$current" artifacts/flint
# The two builds before this one may still be running somewhere.
find "$releases" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- | xargs -r rm -rf
