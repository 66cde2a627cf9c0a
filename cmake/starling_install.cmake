# The installed package: find_package(Starling) gives Starling::starling.
include(CMakePackageConfigHelpers)

install(TARGETS starling EXPORT StarlingTargets)
install(DIRECTORY include/starling DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT StarlingTargets NAMESPACE Starling:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Starling)
configure_package_config_file(cmake/StarlingConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/StarlingConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Starling)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/StarlingConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/StarlingConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/StarlingConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Starling)
