# What can be chosen when configuring, and the compiler flags that follow from it.

set(CAIRN_SANITIZE "" CACHE STRING "Sanitizers to build with: empty, address,undefined or thread")
option(CAIRN_DEBUG_COMMANDS "Answer memcached's debug commands (debugtime): never in production" OFF)
option(CAIRN_FUZZ "Build the libFuzzer targets of tests/fuzz (clang only)" OFF)
set(CAIRN_TESTS AUTO CACHE STRING "Build tests: AUTO (when Catch2 is there), ON (required) or OFF")
set_property(CACHE CAIRN_TESTS PROPERTY STRINGS AUTO ON OFF)
option(CAIRN_SHARED "Build libcairn as a shared library besides the static one" ON)
if(CAIRN_SANITIZE)
  set(CAIRN_SHARED OFF)  # Its undefined symbols would be the sanitizers'.
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

get_property(cairn_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT CMAKE_BUILD_TYPE AND NOT cairn_multi_config)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or RelWithDebInfo" FORCE)
endif()

find_program(CAIRN_CCACHE ccache)
if(CAIRN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths relative to the tree, so that a second clone finds what the first has compiled.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1
    "${CAIRN_CCACHE}")
endif()

# -g1 keeps backtraces readable at little cost in size.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g -D_GLIBCXX_ASSERTIONS")

# Everything of ours is compiled with these; headers of dependencies are SYSTEM and exempt.
add_library(cairn_flags INTERFACE)
target_compile_options(cairn_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror
  -Wshadow -Wconversion -Wno-sign-conversion
  -Wnon-virtual-dtor -Wold-style-cast -Wimplicit-fallthrough -Wswitch
  -fno-omit-frame-pointer
  $<$<NOT:$<BOOL:$<TARGET_PROPERTY:POSITION_INDEPENDENT_CODE>>>:-fPIE>)
target_link_options(cairn_flags INTERFACE
  $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
target_include_directories(cairn_flags INTERFACE
  "${PROJECT_SOURCE_DIR}" "${PROJECT_BINARY_DIR}/generated")

if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(cairn_flags INTERFACE -Wthread-safety)
endif()

if(CAIRN_SANITIZE)
  set(CAIRN_SANITIZE_OPTIONS -fsanitize=${CAIRN_SANITIZE} -fno-sanitize-recover=all)
  target_compile_options(cairn_flags INTERFACE ${CAIRN_SANITIZE_OPTIONS})
  target_link_options(cairn_flags INTERFACE -fsanitize=${CAIRN_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # With its instrumentation in between, GCC takes the standard library's own code for it.
    target_compile_options(cairn_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(cairn_flags INTERFACE
    -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
  target_link_options(cairn_flags INTERFACE -Wl,-z,relro,-z,now)
endif()

if(CAIRN_SANITIZE MATCHES "thread")
  # The system's abseil hides its locks from ThreadSanitizer; see the header there.
  set(CAIRN_TSAN_HEADERS "${PROJECT_SOURCE_DIR}/tests/tsan")
  target_include_directories(cairn_flags BEFORE INTERFACE "${CAIRN_TSAN_HEADERS}")
endif()

if(CAIRN_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "CAIRN_FUZZ needs clang: libFuzzer is part of it")
  endif()
  target_compile_options(cairn_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

configure_file("${PROJECT_SOURCE_DIR}/cmake/version.h.in"
  "${PROJECT_BINARY_DIR}/generated/server/version.h" @ONLY)

# What -i prints.
file(READ "${PROJECT_SOURCE_DIR}/LICENSE" CAIRN_LICENSE)
configure_file("${PROJECT_SOURCE_DIR}/cmake/license.h.in"
  "${PROJECT_BINARY_DIR}/generated/server/license.h" @ONLY)
