#!/usr/bin/env bash
# Builds an example and deploys it: created the first time, updated after that.
#   examples/deploy.sh csv-report [server, default http://127.0.0.1:8000]
set -euo pipefail
here="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
example="${1:?name an example: $(cd "$here" && echo */ | tr -d /)}"
server="${2:-http://127.0.0.1:8000}"
cd "$here/$example"
./build.sh

json() { curl -sS --fail-with-body -o /dev/null "$@"; }
name="$(sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' function.json)"
if curl -sf -o /dev/null "$server/api/functions/$name"; then
  json -X PUT "$server/api/functions/$name/code" -H 'content-type: application/zip' --data-binary @build/function.zip
  echo "updated $name"
else
  # function.json is an object of settings; the code is put in before its closing brace.
  { sed '$ s/}[[:space:]]*$//' function.json; printf ', "code": {"zip": "'; base64 -w 0 build/function.zip; printf '"}}'; } \
    | json "$server/api/functions" -H 'content-type: application/json' --data-binary @-
  echo "created $name"
fi
