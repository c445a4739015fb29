# Puts mpirun, its components and every shared library into the bundle that the programs need there, but for glibc and
# the driver. Each file finds the others by its own rpath: a runpath is not handed on to dependencies of dependencies.
# Sets `packed_files`: where what was copied came from.
set(root ${CMAKE_INSTALL_PREFIX})
find_program(patchelf patchelf)
find_program(ompi_info ompi_info)
if(NOT patchelf OR NOT ompi_info)
  message(FATAL_ERROR "patchelf or ompi_info is missing (launch/setup.sh --bundle)")
endif()

function(open_mpi_path what result)
  execute_process(COMMAND ${ompi_info} --parsable --path ${what} OUTPUT_VARIABLE line
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "^.*:" "" path "${line}")
  set(${result} ${path} PARENT_SCOPE)
endfunction()
open_mpi_path(prefix prefix)
open_mpi_path(bindir programs)
open_mpi_path(pkglibdir components_dir)
open_mpi_path(pkgdatadir texts)

# What ranks of one host need: no network but loopback, no resource manager, nothing of several hosts.
set(components
  allocator_basic allocator_bucket bml_r2 btl_self btl_tcp btl_vader
  coll_basic coll_inter coll_libnbc coll_self coll_sm coll_tuned
  errmgr_default_app errmgr_default_hnp ess_env ess_hnp ess_pmi filem_raw grpcomm_direct iof_hnp mpool_hugepage
  odls_default oob_tcp op_avx osc_pt2pt osc_rdma osc_sm patcher_overwrite plm_isolated pmix_ext3x pml_ob1
  rcache_grdma reachable_weighted regx_fwd regx_naive rmaps_ppr rmaps_rank_file rmaps_round_robin rmaps_seq
  rml_oob routed_direct routed_radix rtc_hwloc schizo_ompi schizo_orte shmem_mmap shmem_posix shmem_sysv
  state_app state_hnp state_novm topo_basic)
list(TRANSFORM components PREPEND ${components_dir}/mca_)
list(TRANSFORM components APPEND .so)
file(REAL_PATH ${components_dir}/../../../libpmix.so.2 pmix)
get_filename_component(pmix_dir ${pmix} DIRECTORY)
set(pmix_components ${pmix_dir}/pmix/pmix_mca_pcompress_zlib.so ${pmix_dir}/pmix/pmix_mca_prm_default.so)

file(GLOB bundled_programs ${root}/bin/*)
list(FILTER bundled_programs EXCLUDE REGEX "/mpirun$|\\.so$")
file(GET_RUNTIME_DEPENDENCIES
  EXECUTABLES ${bundled_programs} ${programs}/orterun
  MODULES ${components} ${pmix_components} ${root}/bin/phalanx_reflection.so
  RESOLVED_DEPENDENCIES_VAR libraries
  UNRESOLVED_DEPENDENCIES_VAR unresolved
  PRE_EXCLUDE_REGEXES
    "^ld-linux" "^lib(c|m|mvec|dl|pthread|rt|resolv|util|nsl|anl)\\.so" "^libcuda\\.so" "^libnvidia-"
  POST_EXCLUDE_REGEXES "^${root}/")
if(unresolved)
  message(FATAL_ERROR "Shared libraries are missing here: ${unresolved}")
endif()

# copy(FROM TO RUNPATH): an ELF file that finds its libraries by RUNPATH. Who may not write to a file may copy it.
function(copy from to runpath)
  file(REAL_PATH ${from} file)
  get_filename_component(folder ${to} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  file(COPY_FILE ${file} ${to})
  file(CHMOD ${to} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  execute_process(COMMAND ${patchelf} --set-rpath ${runpath} ${to} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

foreach(library IN LISTS libraries)
  get_filename_component(name ${library} NAME)
  copy(${library} ${root}/lib/${name} "$ORIGIN")
endforeach()

# copy_components(FOLDER COMPONENT...): plugins, which lie below lib/.
function(copy_components folder)
  string(REGEX REPLACE "[^/]+" ".." back ${folder})
  foreach(component IN LISTS ARGN)
    get_filename_component(name ${component} NAME)
    copy(${component} ${root}/lib/${folder}/${name} "$ORIGIN/${back}")
  endforeach()
endfunction()
# Open MPI finds its folders below OPAL_PREFIX as it did below the prefix that it was built for (launch/bundle/mpirun).
file(RELATIVE_PATH components_below ${prefix} ${components_dir})
file(RELATIVE_PATH texts_below ${prefix} ${texts})
file(GLOB help_texts ${texts}/help-*.txt)
copy(${programs}/orterun ${root}/lib/openmpi/bin/mpirun "$ORIGIN/../..")
copy_components(openmpi/${components_below} ${components})
file(COPY ${help_texts} DESTINATION ${root}/lib/openmpi/${texts_below})
copy_components(openmpi/pmix/lib/pmix ${pmix_components})
file(GLOB help_texts ${pmix_dir}/../share/pmix/help-*.txt)
file(COPY ${help_texts} DESTINATION ${root}/lib/openmpi/pmix/share/pmix)

set(packed_files ${libraries} ${components} ${pmix_components} ${programs}/orterun ${texts}/help-orterun.txt)
