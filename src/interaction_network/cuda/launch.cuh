#pragma once

#include "cuda/launch.cuh"

namespace starling::interaction_network::cuda {

/// Shared memory that a block may have.
inline int most_shared_bytes() {
  int device = 0, bytes = 0;
  starling::cuda::call(cudaGetDevice(&device));
  starling::cuda::call(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return bytes;
}

/// Launches blocks that each take tile after tile: as many as run at once, or as there are tiles.
template <typename Pass>
void launch_persistent(void (*kernel)(Pass), const Pass& pass, std::int64_t tiles, int threads, int shared_bytes,
                       cudaStream_t stream) {
  using starling::cuda::call;
  int device = 0, processors = 0, blocks = 0;
  call(cudaGetDevice(&device));
  call(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  // A limit of the kernel, which threads of the host share: the same for every launch.
  call(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared_bytes()));
  call(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, static_cast<std::size_t>(shared_bytes)));
  const auto grid =
      static_cast<unsigned>(std::min<std::int64_t>(tiles, std::int64_t{processors} * std::max(1, blocks)));
  kernel<<<grid, threads, static_cast<std::size_t>(shared_bytes), stream>>>(pass);
  call(cudaGetLastError());
}

}  // namespace starling::interaction_network::cuda
