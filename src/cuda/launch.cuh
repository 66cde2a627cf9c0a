#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/call.h"

namespace starling::cuda {

/// Blocks for so many items, `each` per block.
inline int blocks_of(std::int64_t items, int each) { return static_cast<int>((items + each - 1) / each); }

/// Bytes of shared memory that a block may have on the current device.
inline int most_shared_bytes() {
  int device = 0, bytes = 0;
  call(cudaGetDevice(&device));
  call(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return bytes;
}

/// Blocks of a kernel that the current device runs at once, each with so many bytes of dynamic shared memory, of which
/// the kernel has no other. From here on it may have all that a block may have: the limit belongs to the kernel, which
/// threads of the host share, so it is the same for every launch.
template <typename Kernel>
int resident_blocks(Kernel kernel, int threads, std::int64_t shared_bytes) {
  int device = 0, processors = 0, per_processor = 0;
  call(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared_bytes()));
  call(cudaGetDevice(&device));
  call(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  call(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_processor, kernel, threads,
                                                     static_cast<std::size_t>(shared_bytes)));
  return processors * std::max(1, per_processor);
}

/// Starts a kernel while the one ahead of it in the stream is still running, to hide the latency of the launch.
/// Before it touches memory it must call after_previous(). The one ahead must be a kernel.
template <typename... Parameters, typename... Arguments>
void launch_after(void (*kernel)(Parameters...), dim3 blocks, int threads, int shared_bytes, cudaStream_t stream,
                  const Arguments&... arguments) {
  // Devices before compute capability 9.0 cannot.
  constexpr bool kOverlaps = std::min({__CUDA_ARCH_LIST__}) >= 900;
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
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
