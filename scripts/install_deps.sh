#!/bin/bash
# Installs what Cairn needs from the distribution: Debian 12 and 13, Ubuntu 24.04.
#
#   scripts/install_deps.sh [--build] [--test] [--ci]
#
# --build   compiler and libraries (the default)
# --test    the same, and what the tests use: Catch2, SQLite for an example, clients, a memcached to
#           compare with
# --ci      the same, and the second compiler and its checkers
#
# Says nothing when all is there. Works as root or with sudo. No service is left running or enabled:
# the tests start their own servers on free ports.
set -euo pipefail

required=(
  g++ cmake ninja-build ccache pkg-config git
  libevent-dev libabsl-dev libfmt-dev libssl-dev libsasl2-dev libsasl2-modules libzstd-dev
)
# Clients differ between distributions: a test whose client is missing skips itself and says so.
optional=()

for argument in "$@"; do
  case "$argument" in
    --build | --test | --ci) ;;
    *)
      echo "usage: $0 [--build] [--test] [--ci]" >&2
      exit 2
      ;;
  esac
done
if [[ " $* " == *" --test "* || " $* " == *" --ci "* ]]; then
  required+=(catch2 libbenchmark-dev python3 openssl libsqlite3-dev)
  optional+=(
    memcached libmemcached-tools libmemcached-dev python3-pylibmc python3-pymemcache python3-memcache
    python3-binary-memcached php-cli php-memcached php-memcache libcache-memcached-fast-perl
    ruby ruby-dalli nginx nutcracker sasl2-bin
  )
fi
if [[ " $* " == *" --ci "* ]]; then
  required+=(clang clang-tidy)
  # Formatting differs between versions, hence one is chosen.
  optional+=(libclang-rt-dev clang-format-16)
fi

say() { echo "cairn: $*" >&2; }

is_installed() {
  [[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" == ?i* ]]
}

# An installable version is known. One call for all packages: apt-cache is slow to start.
only_available() {
  LC_ALL=C apt-cache policy "$@" 2>/dev/null |
    awk '/^[^ ]/ { sub(":$", "", $1); name = $1 } /Candidate:/ && $2 != "(none)" { print name }'
}

missing_of() {
  local package
  for package in "$@"; do
    is_installed "$package" || echo "$package"
  done
}

if ! command -v apt-get >/dev/null; then
  say "no apt-get here; these must be installed by other means: ${required[*]} ${optional[*]}"
  exit 0
fi

mapfile -t missing_required < <(missing_of "${required[@]}")
mapfile -t missing_optional < <(missing_of ${optional[@]+"${optional[@]}"})
if ((${#missing_required[@]} + ${#missing_optional[@]} == 0)); then
  exit 0
fi

as_root=()
if ((EUID != 0)); then
  if command -v sudo >/dev/null; then
    as_root=(sudo)
    [[ -t 0 ]] || as_root=(sudo -n)
  elif ((${#missing_required[@]} == 0)); then
    say "not installed, tests that need them are skipped: ${missing_optional[*]}"
    exit 0
  else
    say "not root and no sudo; run as root: apt-get install ${missing_required[*]}"
    exit 1
  fi
fi

log="$(mktemp)"
blocker=""
cleanup() {
  rm -f "$log"
  if [[ -n "$blocker" ]]; then
    "${as_root[@]}" rm -f "$blocker"
  fi
}
trap cleanup EXIT

quietly() {
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    return 1
  fi
}

apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# Lists are fetched when something required is missing or there are none at all: an optional package
# that the distribution does not have must not cost an update at every run.
if ((${#missing_required[@]} > 0)) || [[ -z "$(only_available base-files)" ]] ||
  [[ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit 2>/dev/null)" ]]; then
  say "fetching the package lists"
  quietly apt update || say "apt-get update failed; trying with the lists that are there"
fi

wanted=("${missing_required[@]}")
if ((${#missing_optional[@]} > 0)); then
  mapfile -t installable < <(only_available "${missing_optional[@]}")
  wanted+=(${installable[@]+"${installable[@]}"})
fi
if ((${#wanted[@]} == 0)); then
  exit 0
fi

# A package of a service starts it. invoke-rc.d asks this file first; 101 means "do not".
if [[ ! -e /usr/sbin/policy-rc.d ]]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee /usr/sbin/policy-rc.d >/dev/null
  blocker=/usr/sbin/policy-rc.d
  "${as_root[@]}" chmod 755 "$blocker"
fi

say "installing ${#wanted[@]} packages: ${wanted[*]}"
quietly apt install --no-install-recommends "${wanted[@]}"

# Nor may it start at the next boot: memcached's port is the one cairnd is to have. Only packages that
# came just now are meant: a service that was here before is the machine's own.
for package in "${wanted[@]}"; do
  case "$package" in
    memcached | nginx | nutcracker)
      if [[ -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl stop "$package" >/dev/null 2>&1 || true
      fi
      "${as_root[@]}" update-rc.d "$package" disable >/dev/null 2>&1 || true
      "${as_root[@]}" deb-systemd-helper disable "$package.service" >/dev/null 2>&1 || true
      ;;
  esac
done
