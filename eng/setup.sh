#!/usr/bin/env bash
# Checks what Flint needs on this machine and installs the Debian packages among it where that needs no question (root, or sudo
# without a password). What is left is named, with its source. Usage: eng/setup.sh run|test|long
set -euo pipefail
# shellcheck source=eng/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh"

purpose="${1:-run}"
packages=()
missing=()

wants() { # wants <Debian package> <test command...>
  local package="$1"
  shift
  "$@" >/dev/null 2>&1 || packages+=("$package")
}

has_header() { printf '#include <%s>\n' "$1" | gcc -E -x c - >/dev/null 2>&1; }
has_python_header() { find_headers | grep -q Python.h; }
has_node_header() { find_headers | grep -q node_api.h; } # wanted with Node itself, which may be about to be installed
has_python() { [[ -n $(find_pythons) ]]; }
has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_sanitizers() { printf 'int main(void){return 0;}' | gcc -fsanitize=address,undefined -x c - -o /dev/null 2>/dev/null; }

check_packages() {
  packages=()
  wants gcc have gcc
  wants make have make
  wants libc6-dev test -e /usr/include/stdlib.h
  wants libseccomp-dev test -e /usr/include/seccomp.h
  wants python3 has_python
  wants python3-dev has_python_header
  wants nodejs find_node
  wants libnode-dev has_node_header
  wants passt have pasta
  wants nftables test -x /usr/sbin/nft
  if ((EUID != 0)); then
    wants uidmap have newuidmap
  fi
  if [[ $purpose == long ]]; then
    wants qemu-system-x86 have qemu-system-x86_64
    wants busybox-static have busybox
  fi
  if [[ $purpose != run ]]; then
    wants curl have curl
    wants zip have zip
    wants jq have jq
    wants npm have npm
    wants shellcheck have shellcheck
    wants postgresql has_postgres
    wants python3-numpy test -d /usr/lib/python3/dist-packages/numpy
    wants uidmap have newuidmap
  fi
}

# ---- Debian packages
check_packages
if ((${#packages[@]} > 0)); then
  # One by one if all at once fails: a package that is not to be had must not keep the others away.
  apt_install "${packages[@]}" || for package in "${packages[@]}"; do apt_install "$package" || true; done
  check_packages
fi
optional=' passt nftables python3-dev libnode-dev qemu-system-x86 busybox-static uidmap nodejs npm jq zip shellcheck postgresql python3-numpy '
for package in "${packages[@]}"; do
  if [[ $package == libnode-dev ]] && ! find_node >/dev/null; then
    continue
  fi
  if [[ $optional == *" $package "* ]]; then
    case "$package" in
      nodejs) say "Node.js is missing: JavaScript functions are not available. Node 20 or newer comes from NodeSource or nodejs.org; it must be /usr/bin/node or /usr/local/bin/node." ;;
      python3-dev | libnode-dev) say "$package is missing: every sandbox of that language starts an interpreter of its own, which is slower and larger. To change that: sudo apt-get install $package" ;;
      passt | nftables) say "$package is missing: functions cannot have a network (network: egress). To change that: sudo apt-get install $package" ;;
      uidmap) say "uidmap is missing: sandboxes of an ordinary user share one uid. To change that: sudo apt-get install uidmap" ;;
      *) say "$package is missing: tests that need it are skipped (with CI set they fail). To change that: sudo apt-get install $package" ;;
    esac
  else
    missing+=("$package: sudo apt-get install $package")
  fi
done

# ---- what Debian does not have, or has older
if node="$(find_node)"; then
  version="$("$node" --version)"
  major="${version#v}"
  major="${major%%.*}"
  if ((major < 20)); then
    say "Node $version found: JavaScript functions run on it as nodejs$major. Flint is tested with Node 20 and newer, from NodeSource or nodejs.org (Debian 12's own is 18); it must be /usr/bin/node or /usr/local/bin/node."
  fi
fi
if ! find_dotnet >/dev/null; then
  # Where Microsoft's package feed is set up the SDK is a package like any other.
  if ! { apt_install dotnet-sdk-10.0 2>/dev/null && find_dotnet >/dev/null; }; then
    missing+=(".NET SDK 10.0 (not in Debian): the package dotnet-sdk-10.0 of Microsoft's feed for Debian, or Microsoft's dotnet-install script with --channel 10.0; see https://learn.microsoft.com/dotnet/core/install/linux-debian")
  fi
fi

if ((${#missing[@]} > 0)); then
  say "this machine lacks what Flint needs, and it may not be installed from here. Please install:"
  printf '  - %s\n' "${missing[@]}" >&2
  exit 1
fi
