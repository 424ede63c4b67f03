#!/bin/bash
# Builds cairnd when needed and runs it; the arguments are cairnd's (see cairnd -h).
#
#   scripts/serve.sh            serves on port 11211 with 64 MiB
#   scripts/serve.sh -m 1024    with 1 GiB
#
# Like memcached, cairnd does not serve as root: started by root it becomes nobody, unless -u names
# another user.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"

"$root/scripts/install_deps.sh" --build
"$root/scripts/build.sh" release cairnd

user=()
if ((EUID == 0)); then
  user=(-u nobody)
  for argument in "$@"; do
    # -u alone, or at the end of letters that take no value of their own (-vu, -rdu), or --user.
    if [[ "$argument" =~ ^-[AdrMkvhiVLCFSZ]*u || "$argument" =~ ^--user(=|$) ]]; then
      user=()
    fi
  done
fi

exec "$root/build/release/cairnd" ${user[@]+"${user[@]}"} "$@"
