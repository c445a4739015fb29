# The bundle: what serves, tests and measures on a host that has glibc and a driver. Laid out by
# `cmake --install build/PRESET --component bundle --prefix DIR`, packed by cpack, both by launch/bundle.sh.
if(NOT PHALANX_BUILD_SERVICE OR PHALANX_SANITIZE OR PHALANX_COVERAGE)
  return()
endif()

set(programs
  worker coordinator phalanx
  bench_allreduce bench_e2e bench_limits bench_ops bench_sums dummy_checkpoint gpu_report
  device_kernels_test device_model_test model_tool)
# Those that the options leave out are not there.
foreach(program IN LISTS programs)
  if(TARGET ${program})
    list(APPEND bundled ${program})
  endif()
endforeach()
add_custom_target(bundle_programs DEPENDS ${bundled} phalanx_reflection)

# The libraries, and NCCL and cuBLAS where somebody adds them.
set_target_properties(${bundled} phalanx_reflection PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
install(TARGETS ${bundled} RUNTIME DESTINATION bin COMPONENT bundle EXCLUDE_FROM_ALL)
# Beside the coordinator, which looks for it there.
install(TARGETS phalanx_reflection LIBRARY DESTINATION bin COMPONENT bundle EXCLUDE_FROM_ALL)
install(PROGRAMS launch/bundle/mpirun DESTINATION bin COMPONENT bundle EXCLUDE_FROM_ALL)

# Data and scripts lie where they lie in the repository.
install(FILES launch/bundle/README.md LICENSE DESTINATION . COMPONENT bundle EXCLUDE_FROM_ALL)
install(PROGRAMS launch/gpu-check.sh launch/serve.sh DESTINATION launch COMPONENT bundle EXCLUDE_FROM_ALL)
install(DIRECTORY launch/gpu-check DESTINATION launch COMPONENT bundle EXCLUDE_FROM_ALL)
install(DIRECTORY launch/demo/model DESTINATION launch/demo COMPONENT bundle EXCLUDE_FROM_ALL)
install(FILES docs/gpu-check.md DESTINATION docs COMPONENT bundle EXCLUDE_FROM_ALL)
install(DIRECTORY tests/model/goldens DESTINATION tests/model COMPONENT bundle EXCLUDE_FROM_ALL)
install(FILES tests/model/live_16_bit.py tests/model/reference.py tests/model/dummy_weights.py
  DESTINATION tests/model COMPONENT bundle EXCLUDE_FROM_ALL)
install(DIRECTORY bench/models DESTINATION bench COMPONENT bundle EXCLUDE_FROM_ALL)
install(DIRECTORY DESTINATION bench/results COMPONENT bundle EXCLUDE_FROM_ALL)

if(PHALANX_CUDA)
  set(variant "")
else()
  set(variant "-cpu")
endif()
install(CODE "
  set(source_dir \"${PROJECT_SOURCE_DIR}\")
  set(xgrammar_dir \"${xgrammar_SOURCE_DIR}\")
  set(cuda_dir \"${CUDAToolkit_LIBRARY_ROOT}\")"
  COMPONENT bundle EXCLUDE_FROM_ALL)
install(SCRIPT cmake/InstallLibraries.cmake COMPONENT bundle EXCLUDE_FROM_ALL)
install(SCRIPT cmake/InstallRecords.cmake COMPONENT bundle EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR TXZ)
set(CPACK_ARCHIVE_THREADS 0)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL bundle)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
set(CPACK_PACKAGE_FILE_NAME phalanx-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR}${variant})
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_SOURCE_DIR}/build/bundle)
include(CPack)
