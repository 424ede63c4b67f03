# What is used from the system. scripts/install_deps.sh installs it.

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(absl REQUIRED)
find_package(OpenSSL REQUIRED)
option(CAIRN_CLIENT_TLS "Build libcairn with TLS; programs that link it then need OpenSSL" ON)
find_package(PkgConfig REQUIRED)
pkg_check_modules(CAIRN_LIBEVENT REQUIRED IMPORTED_TARGET libevent_core libevent_pthreads)

option(CAIRN_CLIENT_ZSTD "Build libcairn with compression; programs that link it then need zstd" ON)
if(CAIRN_CLIENT_ZSTD)
  pkg_check_modules(CAIRN_LIBZSTD IMPORTED_TARGET libzstd)
  if(NOT CAIRN_LIBZSTD_FOUND)
    message(WARNING "libzstd was not found: libcairn is built without compression")
    set(CAIRN_CLIENT_ZSTD OFF)
  endif()
endif()

option(CAIRN_SASL "Build with Cyrus SASL when it is there" ON)
if(CAIRN_SASL)
  pkg_check_modules(SASL IMPORTED_TARGET libsasl2)
  if(NOT SASL_FOUND)
    message(WARNING "libsasl2 was not found: SASL works with a password file (-Y) only")
  endif()
endif()

# The abseil parts that any folder may use.
set(CAIRN_ABSL
  absl::base absl::core_headers absl::flat_hash_map absl::flat_hash_set absl::hash
  absl::inlined_vector absl::memory absl::random_random absl::status absl::statusor
  absl::strings absl::synchronization absl::time)

# Tests: Catch2 v3 (Debian 13, Ubuntu 24.04) or v2 (Debian 12); tests/catch.h hides which.
set(CAIRN_HAVE_TESTS FALSE)
if(CAIRN_TESTS)
  find_package(Catch2 QUIET)
  if(Catch2_FOUND)
    set(CAIRN_HAVE_TESTS TRUE)
  elseif(NOT CAIRN_TESTS STREQUAL "AUTO")
    message(FATAL_ERROR "Catch2 was not found: scripts/install_deps.sh --test installs it")
  else()
    message(STATUS "Catch2 was not found: no tests are built")
  endif()
endif()

find_package(benchmark QUIET)
# What libcairn is compared with, and has to find the keys of.
pkg_check_modules(LIBMEMCACHED QUIET IMPORTED_TARGET libmemcached)

# Debian's python3-* packages belong to /usr/bin/python3; another python3 of PATH lacks them.
set(CAIRN_PYTHON /usr/bin/python3 CACHE FILEPATH "The Python that runs the tests")
