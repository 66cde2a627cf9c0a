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
