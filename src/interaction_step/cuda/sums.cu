#include "cuda/launch.cuh"
#include "interaction_step/cuda/numbers.cuh"

namespace starling::interactionstep::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
/// Longer lists are divided among the warps of a block: nodes may have all edges.
constexpr std::uint32_t kLongList = 128;

/// The sum over places `from` to `to` − 1 of a list, in their order: of a lane's two columns, which must be there.
template <typename Stored>
__device__ Pair sum_of_list(const Rows& rows, const std::uint32_t* entry, std::uint32_t from, std::uint32_t to,
                            int column) {
  constexpr int kAtOnce = 4;
  const unsigned lane = threadIdx.x % 32;
  Pair sum;
  for (std::uint32_t batch = from; batch < to; batch += 32) {
    const std::uint32_t mine = entry[min(batch + lane, to - 1)];
    const int count = to - batch < 32 ? static_cast<int>(to - batch) : 32;
    for (int n = 0; n < count; n += kAtOnce) {
      Pair value[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const std::uint32_t row = __shfl_sync(0xFFFFFFFFU, mine, n + i);
        value[i] = Row<Stored>(rows, row).pair(column);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        sum.x += n + i < count ? value[i].x : 0.f;
        sum.y += n + i < count ? value[i].y : 0.f;
      }
    }
  }
  return sum;
}

/// One warp per node and end (blockIdx.y): lanes take two columns each. Then the block takes the long lists of its
/// nodes together: a stretch per warp, whose sums are added in order.
template <typename Stored>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(const __grid_constant__ Rows rows, EndLists first, EndLists second, std::int32_t num_nodes,
               const __grid_constant__ MutableRows sums) {
  __shared__ float2 parts[kWarps][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, width = rows.width;
  const int begin_column = static_cast<int>(blockIdx.y) * width;
  const EndLists lists = blockIdx.y == 0 ? first : second;
  const std::int64_t first_node = std::int64_t{blockIdx.x} * kWarps;
  const auto read = [&](int column) { return min(column, (width - 1) & ~1); };
  const auto store = [&](std::int64_t node, int column, const Pair& sum) {
    if (column >= width) return;
    float* const to = static_cast<float*>(sums.data) + node * sums.stride + begin_column + column;
    to[0] = sum.x;
    if (column + 1 < width) to[1] = sum.y;
  };
  if (const std::int64_t node = first_node + warp; node < num_nodes) {
    const std::uint32_t begin = lists.begin[node], end = lists.begin[node + 1];
    for (int column = 2 * lane; end - begin <= kLongList && column - 2 * lane < width; column += 64)
      store(node, column, sum_of_list<Stored>(rows, lists.entry, begin, end, read(column)));
  }
  for (std::int64_t node = first_node; node < min(first_node + kWarps, std::int64_t{num_nodes}); ++node) {
    const std::uint32_t begin = lists.begin[node], end = lists.begin[node + 1];
    if (end - begin <= kLongList) continue;
    const std::uint32_t each = (end - begin + kWarps - 1) / kWarps;
    const std::uint32_t from = min(begin + warp * each, end), to = min(from + each, end);
    for (int column = 2 * lane; column - 2 * lane < width; column += 64) {
      const Pair part = sum_of_list<Stored>(rows, lists.entry, from, to, read(column));
      parts[warp][lane] = {part.x, part.y};
      __syncthreads();
      if (warp == 0) {
        Pair sum;
        for (int w = 0; w < kWarps; ++w) {
          sum.x += parts[w][lane].x;
          sum.y += parts[w][lane].y;
        }
        store(node, column, sum);
      }
      __syncthreads();
    }
  }
}

}  // namespace

void sum_rows(const Rows& rows, const EndLists& first, const EndLists& second, std::int32_t num_nodes, float* sums,
              cudaStream_t stream) {
  if (num_nodes == 0) return;
  const dim3 grid(static_cast<unsigned>(blocks_of(num_nodes, kWarps)), 2);
  const MutableRows out = rows_of(static_cast<void*>(sums), false, 2 * rows.width, 2 * rows.width);
  const auto kernel = rows.is_bfloat16
                          ? (rows.whole ? sum_kernel<Storage<true, true>> : sum_kernel<Storage<true, false>>)
                          : (rows.whole ? sum_kernel<Storage<false, true>> : sum_kernel<Storage<false, false>>);
  kernel<<<grid, kThreads, 0, stream>>>(rows, first, second, num_nodes, out);
  call(cudaGetLastError());
}

}  // namespace starling::interactionstep::cuda
