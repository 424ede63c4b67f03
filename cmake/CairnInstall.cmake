# cmake --install: the server, its systemd unit and its documentation.
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

install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES README.md ARCHITECTURE.md DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL)
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL
  FILES_MATCHING PATTERN "*.md")
