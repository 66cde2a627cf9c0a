#pragma once

#include <type_traits>

#include "cuda/launch.cuh"

namespace starling::interaction_network::cuda {

/// action(columns / 16 as a constant), 8 for all above 96: those are in panels of 128.
template <typename Action>
void with_sixteens(int columns, const Action& action) {
  switch (columns / 16) {
    case 2:
      return action(std::integral_constant<int, 2>());
    case 3:
      return action(std::integral_constant<int, 3>());
    case 4:
      return action(std::integral_constant<int, 4>());
    case 6:
      return action(std::integral_constant<int, 6>());
    default:
      return action(std::integral_constant<int, 8>());
  }
}

/// Launches blocks that each take tile after tile: as many as run at once, or as there are tiles. They start while the
/// kernel ahead still runs, see launch_after(): weights are on their way by then.
template <typename Pass>
void launch_persistent(void (*kernel)(Pass), const Pass& pass, std::int64_t tiles, int threads, int shared_bytes,
                       cudaStream_t stream) {
  const int blocks = starling::cuda::resident_blocks(kernel, threads, shared_bytes);
  starling::cuda::launch_after(kernel, static_cast<int>(std::min<std::int64_t>(tiles, blocks)), threads, shared_bytes,
                               stream, pass);
}

}  // namespace starling::interaction_network::cuda
