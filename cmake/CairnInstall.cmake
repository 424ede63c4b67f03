# cmake --install: the server, its systemd unit, the client library, and the documentation.
include(CMakePackageConfigHelpers)
set(CAIRN_SYSTEMD_UNIT_DIR "lib/systemd/system" CACHE STRING
  "Where the unit goes, below the prefix when relative; empty: nowhere")

configure_file("${PROJECT_SOURCE_DIR}/packaging/cairnd-from-conf.in"
  "${PROJECT_BINARY_DIR}/generated/cairnd-from-conf" @ONLY)
configure_file("${PROJECT_SOURCE_DIR}/packaging/cairnd.service.in"
  "${PROJECT_BINARY_DIR}/generated/cairnd.service" @ONLY)

if(TARGET cairnd)
  install(TARGETS cairnd RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  install(PROGRAMS "${PROJECT_BINARY_DIR}/generated/cairnd-from-conf"
    DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/cairn")
  if(CAIRN_SYSTEMD_UNIT_DIR)
    install(FILES "${PROJECT_BINARY_DIR}/generated/cairnd.service"
      DESTINATION "${CAIRN_SYSTEMD_UNIT_DIR}")
  endif()
endif()

# The client library: find_package(cairn) and pkg-config's cairn. Each kind of it has a file of targets
# of its own, so that a distribution may leave one out.
set(CAIRN_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/cairn")
install(TARGETS cairn_client_static EXPORT cairn-static-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(EXPORT cairn-static-targets NAMESPACE cairn:: DESTINATION "${CAIRN_CMAKE_DIR}")
if(CAIRN_SHARED)
  install(TARGETS cairn_client_shared EXPORT cairn-shared-targets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(EXPORT cairn-shared-targets NAMESPACE cairn:: DESTINATION "${CAIRN_CMAKE_DIR}")
endif()
install(TARGETS cairn-cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(DIRECTORY client/include/cairn DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/cairn-config.cmake.in"
  "${PROJECT_BINARY_DIR}/generated/cairn-config.cmake" INSTALL_DESTINATION "${CAIRN_CMAKE_DIR}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/cairn-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/cairn-config.cmake"
  "${PROJECT_BINARY_DIR}/generated/cairn-config-version.cmake" DESTINATION "${CAIRN_CMAKE_DIR}")

# What public headers use everybody links; the rest, whoever links the static library.
set(CAIRN_PC_REQUIRES "absl_status absl_statusor absl_strings absl_synchronization absl_time")
set(CAIRN_PC_REQUIRES_PRIVATE "libevent_core")
if(CAIRN_CLIENT_TLS)
  string(APPEND CAIRN_PC_REQUIRES_PRIVATE " libssl libcrypto")
endif()
if(CAIRN_CLIENT_ZSTD)
  string(APPEND CAIRN_PC_REQUIRES_PRIVATE " libzstd")
endif()
if(NOT CAIRN_SHARED)
  string(APPEND CAIRN_PC_REQUIRES " ${CAIRN_PC_REQUIRES_PRIVATE}")
  set(CAIRN_PC_REQUIRES_PRIVATE "")
endif()
# An absolute folder takes the place of the prefix.
set(CAIRN_PC_LIBDIR "\${prefix}")
set(CAIRN_PC_INCLUDEDIR "\${prefix}")
cmake_path(APPEND CAIRN_PC_LIBDIR "${CMAKE_INSTALL_LIBDIR}")
cmake_path(APPEND CAIRN_PC_INCLUDEDIR "${CMAKE_INSTALL_INCLUDEDIR}")
configure_file("${PROJECT_SOURCE_DIR}/cmake/cairn.pc.in"
  "${PROJECT_BINARY_DIR}/generated/cairn.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/generated/cairn.pc"
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES README.md ARCHITECTURE.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL)
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL
  FILES_MATCHING PATTERN "*.md")
