# nvcc and the CUDA runtime: machine code for sm_80 and sm_90a, PTX for what comes later.
set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
enable_language(CUDA)
find_package(CUDAToolkit 13 REQUIRED)
# It is linked by name.
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
# Debian's CMake does not know the standard of nvcc 12 and later.
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
# Named as a system folder of its own, it would come before the compiler's headers that include it next.
list(APPEND CMAKE_CUDA_IMPLICIT_INCLUDE_DIRECTORIES /usr/include)
