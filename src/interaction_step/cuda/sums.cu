#include "cuda/launch.cuh"
#include "interaction_step/cuda/numbers.cuh"

namespace starling::interactionstep::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

/// One warp per node and end (blockIdx.y): lanes take two columns each, and add up the rows in the order of the list.
__global__ void __launch_bounds__(kThreads)
    sum_kernel(const __grid_constant__ Rows rows, EndLists first, EndLists second, std::int32_t num_nodes,
               const __grid_constant__ MutableRows sums) {
  constexpr int kAtOnce = 8;
  const int lane = threadIdx.x % 32;
  const std::int64_t node = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (node >= num_nodes) return;
  const EndLists lists = blockIdx.y == 0 ? first : second;
  const std::uint32_t begin = lists.begin[node], end = lists.begin[node + 1];
  const int width = rows.width;
  for (int turn = 0; turn < width; turn += 64) {
    const int column = turn + 2 * lane;
    Pair sum;
    for (std::uint32_t batch = begin; batch < end; batch += 32) {
      const std::uint32_t mine = batch + lane < end ? lists.entry[batch + lane] : 0;
      const int count = end - batch < 32 ? static_cast<int>(end - batch) : 32;
      for (int n = 0; n < count; n += kAtOnce) {
        Pair value[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          const std::uint32_t entry = __shfl_sync(0xFFFFFFFFU, mine, n + i);
          value[i] = n + i < count ? load_pair(rows, entry, column) : Pair{};
        }
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          if (n + i >= count) break;
          sum.x += value[i].x;
          sum.y += value[i].y;
        }
      }
    }
    if (column < width) {
      float* const to = static_cast<float*>(sums.data) + node * sums.stride + blockIdx.y * width + column;
      to[0] = sum.x;
      if (column + 1 < width) to[1] = sum.y;
    }
  }
}

}  // namespace

void sum_rows(const Rows& rows, const EndLists& first, const EndLists& second, std::int32_t num_nodes, float* sums,
              cudaStream_t stream) {
  if (num_nodes == 0) return;
  const dim3 grid(static_cast<unsigned>(blocks_of(num_nodes, kWarps)), 2);
  sum_kernel<<<grid, kThreads, 0, stream>>>(rows, first, second, num_nodes,
                                            rows_of(static_cast<void*>(sums), false, 2 * rows.width, 2 * rows.width));
  call(cudaGetLastError());
}

}  // namespace starling::interactionstep::cuda
