# Headers that nearly every file of some folders parses are parsed once. They are only a shortcut: a file includes
# what it uses, and the tsan preset builds without them, so that a forgotten include fails there.

# phalanx_precompiled(NAME DEPS other_target ... HEADERS <header> ...): an owner of headers, for
# phalanx_library(... PRECOMPILED NAME).
function(phalanx_precompiled name)
  cmake_parse_arguments(ARG "" "" "DEPS;HEADERS" ${ARGN})
  set(source ${CMAKE_CURRENT_BINARY_DIR}/${name}.cc)
  file(GENERATE OUTPUT ${source} CONTENT "// Carries the headers of ${name}.\n")
  add_library(${name} OBJECT ${source})
  target_link_libraries(${name} PRIVATE phalanx_options ${ARG_DEPS})
  target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
  if(CMAKE_CXX_COMPILER_LAUNCHER)
    set_target_properties(${name} PROPERTIES CXX_COMPILER_LAUNCHER
      "${PROJECT_SOURCE_DIR}/cmake/without_old_output.sh;${CMAKE_CXX_COMPILER_LAUNCHER}")
  endif()
endfunction()

set(PHALANX_BASIC_HEADERS <algorithm> <chrono> <cstdint> <functional> <map> <memory> <mutex> <optional> <span> <string>
  <string_view> <unordered_map> <utility> <variant> <vector> <kernels/base/status.h>)
phalanx_precompiled(phalanx_precompiled_basic DEPS fmt::fmt HEADERS ${PHALANX_BASIC_HEADERS})

phalanx_precompiled(phalanx_precompiled_messages
  DEPS phalanx_messages fmt::fmt nlohmann_json::nlohmann_json
  HEADERS ${PHALANX_BASIC_HEADERS} <nlohmann/json.hpp> <phalanx/v1/inference.pb.h> <phalanx/internal/engine.pb.h>)

if(PHALANX_BUILD_SERVICE)
  phalanx_precompiled(phalanx_precompiled_service
    DEPS phalanx_proto fmt::fmt nlohmann_json::nlohmann_json
    HEADERS ${PHALANX_BASIC_HEADERS} <nlohmann/json.hpp> <phalanx/v1/inference.grpc.pb.h>
      <phalanx/internal/engine.grpc.pb.h>)
endif()
