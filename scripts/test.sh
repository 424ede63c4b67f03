#!/bin/bash
# Builds the release preset and its tests when needed and runs them all; arguments are ctest's.
#
#   scripts/test.sh                 everything
#   scripts/test.sh -L unit         only the C++ tests
#   scripts/test.sh -R name -V      one test, with its output
#
# The last line is ctest's, and so is the exit code.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install_deps.sh --test
scripts/build.sh release -DCAIRN_TESTS=ON

exec ctest --preset release --no-label-summary -j "${CAIRN_JOBS:-$(nproc)}" "$@"
