# cmake --install: the server and its systemd unit, the client library and cairn-cli, and the
# documentation. Either can be installed by itself (--component server or client), and then nothing
# else has to be built: the targets cairnd and cairn-client are what they need.
include(CMakePackageConfigHelpers)
set(CAIRN_SYSTEMD_UNIT_DIR "lib/systemd/system" CACHE STRING
  "Where the unit goes, below the prefix when relative; empty: nowhere")

configure_file("${PROJECT_SOURCE_DIR}/packaging/cairnd-from-conf.in"
  "${PROJECT_BINARY_DIR}/generated/cairnd-from-conf" @ONLY)
configure_file("${PROJECT_SOURCE_DIR}/packaging/cairnd.service.in"
  "${PROJECT_BINARY_DIR}/generated/cairnd.service" @ONLY)

if(TARGET cairnd)
  install(TARGETS cairnd RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT server)
  install(PROGRAMS "${PROJECT_BINARY_DIR}/generated/cairnd-from-conf"
    DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/cairn" COMPONENT server)
  if(CAIRN_SYSTEMD_UNIT_DIR)
    install(FILES "${PROJECT_BINARY_DIR}/generated/cairnd.service"
      DESTINATION "${CAIRN_SYSTEMD_UNIT_DIR}" COMPONENT server)
  endif()
endif()

# The client library: find_package(cairn) and pkg-config's cairn. Each kind of it has a file of targets
# of its own, so that a distribution may leave one out.
set(CAIRN_CMAKE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/cairn")
add_custom_target(cairn-client DEPENDS cairn_client_static cairn-cli)
install(TARGETS cairn_client_static EXPORT cairn-static-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT client)
install(EXPORT cairn-static-targets NAMESPACE cairn:: DESTINATION "${CAIRN_CMAKE_DIR}"
  COMPONENT client)
if(CAIRN_SHARED)
  add_dependencies(cairn-client cairn_client_shared)
  install(TARGETS cairn_client_shared EXPORT cairn-shared-targets
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT client)
  install(EXPORT cairn-shared-targets NAMESPACE cairn:: DESTINATION "${CAIRN_CMAKE_DIR}"
    COMPONENT client)
endif()
install(TARGETS cairn-cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT client)
install(DIRECTORY client/include/cairn DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT client)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/cairn-config.cmake.in"
  "${PROJECT_BINARY_DIR}/generated/cairn-config.cmake" INSTALL_DESTINATION "${CAIRN_CMAKE_DIR}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/cairn-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/cairn-config.cmake"
  "${PROJECT_BINARY_DIR}/generated/cairn-config-version.cmake" DESTINATION "${CAIRN_CMAKE_DIR}"
  COMPONENT client)

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
  DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig" COMPONENT client)

foreach(component IN ITEMS server client)
  install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT ${component})
  install(FILES README.md ARCHITECTURE.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL
    COMPONENT ${component})
  install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL COMPONENT ${component}
    FILES_MATCHING PATTERN "*.md")
endforeach()
