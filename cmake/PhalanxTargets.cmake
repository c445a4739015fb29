# Target helpers. One library per folder; a library names exactly the libraries that its folder may use, so a
# wrong include does not link.

add_library(phalanx_options INTERFACE)
target_include_directories(phalanx_options INTERFACE ${PROJECT_SOURCE_DIR})
# Contraction is off so that a fused multiply-add happens where the code says so and nowhere else: bits must not
# depend on how a loop was unrolled.
target_compile_options(phalanx_options INTERFACE
  "$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wconversion;-Werror;-ffp-contract=off>")
if(PHALANX_SANITIZE)
  # AddressSanitizer stops at what null, vptr and object-size would report, and they cost a fifth of the compile time.
  target_compile_options(phalanx_options INTERFACE -fsanitize=${PHALANX_SANITIZE} -fno-sanitize=null,vptr,object-size
    -fno-omit-frame-pointer -fno-sanitize-recover=all)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code makes GCC see uses before a value is set where there are none.
    target_compile_options(phalanx_options INTERFACE -Wno-maybe-uninitialized)
  endif()
  target_link_options(phalanx_options INTERFACE -fsanitize=${PHALANX_SANITIZE})
endif()
if(PHALANX_COVERAGE)
  target_compile_options(phalanx_options INTERFACE --coverage -O0)
  target_link_options(phalanx_options INTERFACE --coverage)
endif()

# phalanx_apart(FILE...): with CMAKE_UNITY_BUILD these are compiled each for itself, since other files of their target
# use the same names for something else.
function(phalanx_apart)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# phalanx_library(NAME SOURCES a.cc b.cc DEPS other_target ... PRECOMPILED owner): the owner is one of
# PrecompiledHeaders.cmake's.
function(phalanx_library name)
  cmake_parse_arguments(ARG "" "PRECOMPILED" "SOURCES;DEPS" ${ARGN})
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC phalanx_options ${ARG_DEPS})
    if(ARG_PRECOMPILED)
      target_precompile_headers(${name} REUSE_FROM ${ARG_PRECOMPILED})
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE phalanx_options ${ARG_DEPS})
  endif()
endfunction()

# phalanx_binary(NAME SOURCES ... DEPS ...): an executable in build/<preset>/bin.
function(phalanx_binary name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE phalanx_options ${ARG_DEPS})
endfunction()

# Programs of all tests but those with the label slow.
add_custom_target(quick_tests)

# Percent of their random cases that tests run which are slow without optimization.
set(PHALANX_TEST_EFFORT 100)
if(PHALANX_SANITIZE)
  set(PHALANX_TEST_EFFORT 10)
endif()

# phalanx_test(NAME SOURCES ... DEPS ... LABELS ... TIMEOUT seconds SHARDS n): a GoogleTest executable and its ctest
# entry, or n entries that divide its cases.
function(phalanx_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;SHARDS" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 600)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE phalanx_options ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_definitions(${name} PRIVATE PHALANX_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    PHALANX_BIN_DIR="${CMAKE_BINARY_DIR}/bin" PHALANX_TEST_EFFORT=${PHALANX_TEST_EFFORT})
  if(NOT "slow" IN_LIST ARG_LABELS)
    add_dependencies(quick_tests ${name})
  endif()
  if(NOT ARG_SHARDS)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
    return()
  endif()
  foreach(shard RANGE 1 ${ARG_SHARDS})
    math(EXPR index "${shard} - 1")
    add_test(NAME ${name}_${shard} COMMAND ${name})
    set_tests_properties(${name}_${shard} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${ARG_SHARDS};GTEST_SHARD_INDEX=${index}")
  endforeach()
endfunction()
