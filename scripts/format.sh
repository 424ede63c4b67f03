#!/bin/bash
# Formats the C++ of the tree (or the given files) in place; with --check only says which differ.
#
#   scripts/format.sh [--check] [<file>...]
#
# Versions of clang-format differ in what they make of the same .clang-format: 16 is the one.
set -euo pipefail
cd "$(dirname "$0")/.."

check=0
if [[ "${1:-}" == --check ]]; then
  check=1
  shift
fi
if ! command -v clang-format-16 >/dev/null; then
  echo "clang-format-16 is not here; scripts/install_deps.sh --ci installs it where there is one" >&2
  exit 77
fi
files=("$@")
if ((${#files[@]} == 0)); then
  mapfile -t files < <(git ls-files -- '*.cc' '*.h')
fi

if ((check == 0)); then
  clang-format-16 -i "${files[@]}"
  exit 0
fi
different=0
for file in "${files[@]}"; do
  if ! clang-format-16 "$file" | cmp -s - "$file"; then
    echo "$file is not as clang-format-16 has it; scripts/format.sh makes it so"
    different=1
  fi
done
exit "$different"
