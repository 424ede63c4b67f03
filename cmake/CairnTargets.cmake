# Functions that the folders' CMakeLists.txt are made of. Sources are globbed, so that adding a file
# needs no edit here; a folder without sources gets no compiled target.

# cairn_add_library(<name> [EXCLUDE <file>...] [DEPENDS <target>...])
# A static library from every .cc of the current folder, used as #include "<folder>/x.h".
function(cairn_add_library name)
  cmake_parse_arguments(ARG "" "" "EXCLUDE;DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  foreach(file IN LISTS ARG_EXCLUDE)
    list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  if(sources)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PRIVATE cairn_flags PUBLIC ${ARG_DEPENDS})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARG_DEPENDS})
  endif()
endfunction()

# The environment that every test runs in.
set(CAIRN_TEST_ENVIRONMENT
  "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1"
  "UBSAN_OPTIONS=print_stacktrace=1"
  "TSAN_OPTIONS=second_deadlock_stack=1:suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")

# cairn_add_catch_test(<name> TIMEOUT <seconds> LABELS <label>... SOURCES <file>... DEPENDS <target>...
#                      [ARGS <arg>...])
# One Catch2 executable, run as one test.
function(cairn_add_catch_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LABELS;SOURCES;DEPENDS;ARGS" ${ARGN})
  if(NOT ARG_SOURCES)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE cairn_flags cairn_catch_main ${ARG_DEPENDS})
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${ARG_TIMEOUT}
    LABELS "${ARG_LABELS}"
    ENVIRONMENT "${CAIRN_TEST_ENVIRONMENT}")
endfunction()

# cairn_add_python_test(<name> <script> [ARGS <arg>...] TIMEOUT <seconds> [LABELS <label>...]
#                       [RUN_SERIAL])
# A Python test of the running server. It finds in its environment:
#   CAIRND                the server binary to start
#   CAIRN_SOURCE_DIR      the root of the source tree
#   CAIRN_TEST_DIR        a writable folder of its own in the build tree
#   CAIRN_SANITIZE        the sanitizers of the build, empty in the others
#   CAIRN_DEBUG_COMMANDS  1 when the server answers the debug commands, else 0
# and can import the modules of tests/wire. Exit code 77 means that the test was skipped.
function(cairn_add_python_test name script)
  cmake_parse_arguments(ARG "RUN_SERIAL" "TIMEOUT" "ARGS;LABELS" ${ARGN})
  if(NOT TARGET cairnd)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    message(FATAL_ERROR "cairn_add_python_test(${name}): TIMEOUT is missing")
  endif()
  if(NOT ARG_LABELS)
    get_filename_component(ARG_LABELS "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
  endif()
  set(test_dir "${CMAKE_CURRENT_BINARY_DIR}/${name}")
  file(MAKE_DIRECTORY "${test_dir}")
  add_test(NAME ${name}
    COMMAND "${CAIRN_PYTHON}" "${CMAKE_CURRENT_SOURCE_DIR}/${script}" ${ARG_ARGS}
    WORKING_DIRECTORY "${test_dir}")
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${ARG_TIMEOUT}
    LABELS "${ARG_LABELS}"
    SKIP_RETURN_CODE 77
    ENVIRONMENT "${CAIRN_TEST_ENVIRONMENT};\
CAIRND=$<TARGET_FILE:cairnd>;\
CAIRN_SOURCE_DIR=${PROJECT_SOURCE_DIR};\
CAIRN_TEST_DIR=${test_dir};\
CAIRN_SANITIZE=${CAIRN_SANITIZE};\
CAIRN_DEBUG_COMMANDS=$<BOOL:${CAIRN_DEBUG_COMMANDS}>;\
PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/wire;\
PYTHONDONTWRITEBYTECODE=1")
  if(ARG_RUN_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL TRUE)
  endif()
endfunction()
