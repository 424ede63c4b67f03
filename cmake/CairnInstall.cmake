# cmake --install: the server, its systemd unit and its documentation.
include(GNUInstallDirs)

if(TARGET cairnd)
  install(TARGETS cairnd RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
