# shellcheck shell=bash
# What ./run, ./test and the scripts of eng/ share. Sourced, never run.

FLINT_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
export FLINT_ROOT
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1
# No build server may outlive the script that started it.
export MSBUILDDISABLENODEREUSE=1

say() { printf 'flint: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Prints the dotnet host that has a .NET 10 SDK; fails when there is none.
find_dotnet() {
  local host
  for host in "${DOTNET_ROOT:+$DOTNET_ROOT/dotnet}" "$(command -v dotnet || true)" "$HOME/.dotnet/dotnet" \
    /usr/share/dotnet/dotnet /usr/lib/dotnet/dotnet; do
    if [[ -n $host && -x $host ]] && compgen -G "$(dirname "$(readlink -f "$host")")/sdk/10.*" >/dev/null; then
      printf '%s\n' "$host"
      return 0
    fi
  done
  return 1
}

# Prints the interpreters that functions can use, newest first. Only system paths count: sandboxes see nothing of a home directory.
find_pythons() {
  local python
  for python in $(printf '%s\n' /usr/bin/python3.* /usr/local/bin/python3.* | grep -E '/python3\.[0-9]+$' | sort -t. -k2,2nr); do
    [[ -x $python ]] && printf '%s\n' "$python"
  done
  return 0
}

find_node() {
  local node
  for node in /usr/bin/node /usr/local/bin/node; do
    if [[ -x $node ]]; then
      printf '%s\n' "$node"
      return 0
    fi
  done
  return 1
}

# Prints the headers that the zygotes' modules are built with; what is not there is not printed.
find_headers() {
  compgen -G '/usr/include/python3.[0-9]*/Python.h' || true
  # nodejs.org's archives, unpacked below /usr/local, bring them too.
  compgen -G '/usr/include/node/node_api.h' || compgen -G '/usr/local/include/node/node_api.h' || true
}

# The command that gives root's rights without asking: nothing for root, "sudo -n", or failure.
privilege() {
  if ((EUID == 0)); then
    return 0
  fi
  if have sudo && sudo -n true 2>/dev/null; then
    printf 'sudo -n\n'
    return 0
  fi
  return 1
}

# Installs Debian packages, or fails. A fresh machine has no package lists, so a first failure refreshes them.
apt_install() {
  local as_root
  have apt-get || return 1
  as_root="$(privilege)" || return 1
  say "installing $*"
  # shellcheck disable=SC2086 # as_root is empty or two words
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null 2>&1 && return 0
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq </dev/null >&2 || return 1
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >&2
}
