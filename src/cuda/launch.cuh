#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/call.h"

namespace starling::cuda {

/// Blocks for so many items, `each` per block.
inline int blocks_of(std::int64_t items, int each) { return static_cast<int>((items + each - 1) / each); }

/// Starts a kernel while the one ahead of it in the stream is still running, to hide the latency of the launch.
/// Before it touches memory it must call after_previous(). The one ahead must be a kernel.
template <typename... Parameters, typename... Arguments>
void launch_after(void (*kernel)(Parameters...), int blocks, int threads, int shared_bytes, cudaStream_t stream,
                  const Arguments&... arguments) {
  // Devices before compute capability 9.0 cannot.
  constexpr bool kOverlaps = std::min({__CUDA_ARCH_LIST__}) >= 900;
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = kOverlaps ? 1 : 0;
  call(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...));
}

/// Lets the next kernel start, and waits until the one ahead has ended and its writes can be read.
__device__ __forceinline__ void after_previous() {
#if __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
  cudaGridDependencySynchronize();
#endif
}

}  // namespace starling::cuda
