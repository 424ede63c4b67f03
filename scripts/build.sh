#!/bin/bash
# Configures and builds a preset, with output only where something is done.
#
#   scripts/build.sh <preset> [-D<variable>=<value>...] [<target>...]
#
# CAIRN_JOBS is how many compilers run at once (default: one a processor).
set -euo pipefail
cd "$(dirname "$0")/.."

preset="$1"
shift
definitions=()
targets=()
for argument in "$@"; do
  case "$argument" in
    -D*) definitions+=("$argument") ;;
    *) targets+=("$argument") ;;
  esac
done
if ((${#targets[@]} == 0)); then
  targets=(all)
fi

directory="build/$preset"
log="$directory/build.log"
mkdir -p "$directory"

fail() {
  cat "$log" >&2
  echo "cairn: building $preset failed" >&2
  exit 1
}

# Configured once; after that ninja notices changed CMake files by itself. Options are compared with
# the cache, so that giving the same ones again costs nothing.
configured=1
[[ -f "$directory/build.ninja" ]] || configured=0
for definition in ${definitions[@]+"${definitions[@]}"}; do
  name="${definition#-D}"
  name="${name%%=*}"
  grep -qE "^$name:[A-Z]+=${definition#*=}$" "$directory/CMakeCache.txt" 2>/dev/null || configured=0
done
if ((configured == 0)); then
  echo "cairn: configuring $preset" >&2
  cmake --preset "$preset" ${definitions[@]+"${definitions[@]}"} >"$log" 2>&1 || fail
fi

# Says that it builds once a compiler really runs; the rest is in the log.
show_progress() {
  local line said=0
  while IFS= read -r line; do
    printf '%s\n' "$line"
    if ((said == 0)) && [[ "$line" == \[*Building* ]]; then
      echo "cairn: building $preset (log: $log)" >&2
      said=1
    fi
  done
}
ninja -C "$directory" ${CAIRN_JOBS:+-j "$CAIRN_JOBS"} "${targets[@]}" 2>&1 | show_progress >"$log" ||
  fail
