# Settings that every target of ours shares: language, warnings, sanitizers, ccache, CUDA.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()

# Warnings are errors where CMAKE_COMPILE_WARNING_AS_ERROR says so: in the presets, not for those who build a package.
# FMA contraction would let a compiler's choice change results between instruction sets: only intrinsics fuse.
add_library(starling_options INTERFACE)
target_compile_options(starling_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -ffp-contract=off>)
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # gcc takes a source that another one includes for a header, in which types of anonymous namespaces would be a fault.
  target_compile_options(starling_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
endif()
if(STARLING_SANITIZE)
  target_compile_options(starling_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${STARLING_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_link_options(starling_options INTERFACE -fsanitize=${STARLING_SANITIZE})
endif()
if(STARLING_SANITIZE STREQUAL thread)
  # oneTBB is not instrumented: tests/tsan/tbb.h takes its place, under the names of its headers.
  set(stand_in "#include \"${PROJECT_SOURCE_DIR}/tests/tsan/tbb.h\"\n")
  foreach(header blocked_range enumerable_thread_specific global_control info parallel_for parallel_invoke
      parallel_pipeline parallel_reduce parallel_scan parallel_sort partitioner task_arena)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/tbb/tbb/${header}.h CONTENT "${stand_in}")
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/tbb/oneapi/tbb/${header}.h CONTENT "${stand_in}")
  endforeach()
  include_directories(BEFORE ${PROJECT_BINARY_DIR}/tbb)
endif()

# starling_simd_sources(avx512 kernels_avx512.cpp -O3): compiles the source with the flags of an instruction level, and
# leaves it out on processors that lack the level. These flags are a matter of the named file alone: an inline function
# that it shared with others could be linked from there, with instructions that a processor may lack.
set(STARLING_FLAGS_avx2 -mavx2 -mfma)
# GCC 12 takes the undefined operand inside its own AVX-512 intrinsics for an uninitialised variable.
set(STARLING_FLAGS_avx512 ${STARLING_FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-uninitialized>)
set(STARLING_FLAGS_avx512_vnni ${STARLING_FLAGS_avx512} -mavx512vnni -mavx512vbmi
  -mamx-tile -mamx-int8)
function(starling_simd_sources level source)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    return()
  endif()
  target_sources(starling PRIVATE ${source})
  set_source_files_properties(${source} TARGET_DIRECTORY starling PROPERTIES
    COMPILE_OPTIONS "${STARLING_FLAGS_${level}};${ARGN}")
endfunction()

set(STARLING_HAS_CUDA OFF)
if(NOT STARLING_CUDA STREQUAL OFF)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 90)
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(STARLING_HAS_CUDA ON)
    # CMake 3.25 knows no flag for CUDA standard 20.
    foreach(form STANDARD EXTENSION)
      set(CMAKE_CUDA20_${form}_COMPILE_OPTION -std=c++20)
    endforeach()
  elseif(STARLING_CUDA STREQUAL ON)
    message(FATAL_ERROR "STARLING_CUDA=ON: no nvcc was found")
  endif()
endif()
