# The grammar library, from the source archive that launch/setup.sh has fetched (launch/sources.txt pins it).
# Defines the target `xgrammar`.

set(archive ${PROJECT_SOURCE_DIR}/.cache/sources/xgrammar-0.2.8.tar.gz)
if(NOT EXISTS ${archive})
  message(WARNING "${archive} is missing (launch/setup.sh fetches it): building without structured output")
  set(PHALANX_WITH_GRAMMARS OFF)
  return()
endif()

file(STRINGS ${PROJECT_SOURCE_DIR}/launch/sources.txt pin REGEX "^xgrammar ")
string(REGEX REPLACE "^[^ ]+ [^ ]+ " "" sha256 "${pin}")

include(FetchContent)
FetchContent_Declare(xgrammar URL ${archive} URL_HASH SHA256=${sha256} DOWNLOAD_EXTRACT_TIMESTAMP TRUE)
FetchContent_GetProperties(xgrammar)
if(NOT xgrammar_POPULATED)
  FetchContent_Populate(xgrammar)
endif()

# In a function, so that the flags stay here. They are the same in every preset, so that the compiler cache serves
# all of them; link-time optimization would be paid at each link.
function(phalanx_add_xgrammar)
  # Its own switches are read from this file alone.
  file(WRITE ${CMAKE_BINARY_DIR}/config.cmake "set(XGRAMMAR_BUILD_PYTHON_BINDINGS OFF)\n")
  set(CMAKE_CXX_FLAGS "${CMAKE_CXX_FLAGS} -fno-lto -w")
  set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -DNDEBUG")
  set(CMAKE_CXX_FLAGS_DEBUG "-O2 -DNDEBUG")
  add_subdirectory(${xgrammar_SOURCE_DIR} ${xgrammar_BINARY_DIR} EXCLUDE_FROM_ALL)
  set_target_properties(xgrammar PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 5)
  # Its messages may quote what a client sent: grammar/xgrammar_log.cc takes them.
  target_compile_definitions(xgrammar PUBLIC XGRAMMAR_LOG_CUSTOMIZE=1)
endfunction()
phalanx_add_xgrammar()
