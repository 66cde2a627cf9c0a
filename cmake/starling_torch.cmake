# LibTorch out of the Python wheel in .venv (or of STARLING_PYTHON), linked by hand: the wheel is a CUDA build, and its own
# find_package(Torch) demands a CUDA toolkit even where nothing of ours uses one.

# pip builds with the Python that it installs for, or with one of its own that holds the build requirements.
if(SKBUILD)
  set(STARLING_PYTHON ${Python_EXECUTABLE})
endif()
set(STARLING_PYTHON ${PROJECT_SOURCE_DIR}/.venv/bin/python3 CACHE FILEPATH "The Python that holds torch")
execute_process(COMMAND ${STARLING_PYTHON} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
  OUTPUT_VARIABLE torch_root OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed ERROR_QUIET)
if(failed)
  message(FATAL_ERROR "STARLING_LEARN needs torch: ${STARLING_PYTHON} cannot import it. `make test` sets up .venv.")
endif()

# What every build of torch has, CPU-only ones too.
add_library(starling_torch_cpu INTERFACE)
target_include_directories(starling_torch_cpu SYSTEM INTERFACE
  ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
target_link_directories(starling_torch_cpu INTERFACE ${torch_root}/lib)
target_link_options(starling_torch_cpu INTERFACE -Wl,--allow-shlib-undefined)
target_link_libraries(starling_torch_cpu INTERFACE torch_cpu c10)

add_library(starling_torch INTERFACE)
# torch_cuda registers itself when it is loaded; nothing refers to it, so the linker would drop it.
target_link_options(starling_torch INTERFACE -Wl,-rpath,${torch_root}/lib)
# libtorch.so exports parts of a C++ library of its own, incomplete ones too: the system's is searched before it.
target_link_options(starling_torch INTERFACE -Wl,--push-state,--no-as-needed,-lstdc++,--pop-state)
target_link_libraries(starling_torch INTERFACE
  starling_torch_cpu torch -Wl,--push-state,--no-as-needed torch_cuda c10_cuda -Wl,--pop-state)

# Several processes, through torch's c10d. Its header of Gloo names Gloo's own headers, which no wheel has: what it needs
# of them is declared in learn/c10d/gloo.
add_library(starling_torch_gloo INTERFACE)
if(NOT EXISTS ${torch_root}/include/gloo/context.h)
  foreach(header algorithm common/error context rendezvous/store transport/device)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/gloo/gloo/${header}.h
      CONTENT "#include \"${PROJECT_SOURCE_DIR}/learn/c10d/gloo/declarations.h\"\n")
  endforeach()
  target_include_directories(starling_torch_gloo SYSTEM INTERFACE ${PROJECT_BINARY_DIR}/gloo)
endif()

# The header of NCCL needs NCCL's and CUDA's: those of the packages that torch was installed with, or else the system's.
get_filename_component(packages ${torch_root} DIRECTORY)
file(GLOB cuda_packages ${packages}/nvidia/cu[0-9]* ${packages}/nvidia/cuda_runtime)
find_path(STARLING_NCCL_INCLUDE nccl.h HINTS ${packages}/nvidia/nccl/include)
find_path(STARLING_NCCL_CUDA_INCLUDE cuda_runtime_api.h HINTS ${cuda_packages} /usr/local/cuda PATH_SUFFIXES include)
if(STARLING_NCCL_INCLUDE AND STARLING_NCCL_CUDA_INCLUDE AND EXISTS ${torch_root}/lib/libtorch_cuda.so)
  add_library(starling_torch_nccl INTERFACE)
  target_include_directories(starling_torch_nccl SYSTEM INTERFACE ${STARLING_NCCL_INCLUDE} ${STARLING_NCCL_CUDA_INCLUDE})
else()
  message(STATUS "NCCL: not found; training with several processes works on CPUs only")
endif()

# starling_precompile(target PRIVATE <header>...) or (target REUSE_FROM other): torch's headers take up to 20 s to compile:
# once per target, or less. ccache needs the option and the setting to keep what uses them.
function(starling_precompile target)
  target_precompile_headers(${target} ${ARGN})
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  if(CCACHE)
    set_target_properties(${target} PROPERTIES
      CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;${CCACHE}")
  endif()
endfunction()
