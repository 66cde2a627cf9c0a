#include "cuda/launch.cuh"
#include "interaction_step/cuda/numbers.cuh"

namespace starling::interactionstep::cuda {
namespace {

constexpr int kThreads = 256;
/// Longer lists are divided into stretches, for all threads of a block: nodes may have all edges.
constexpr std::uint32_t kLongList = 128;
constexpr int kStretches = 8;
constexpr int kMaxWidth = 128;

/// The sum over places `from` to `to` − 1 of a list, in their order, of columns `column` to `column` + 3.
template <typename Stored>
__device__ float4 sum_of_list(const Rows& rows, const std::uint32_t* entry, std::uint32_t from, std::uint32_t to,
                              int column) {
  constexpr int kAtOnce = 4;
  float4 sum{};
  for (std::uint32_t place = from; place < to; place += kAtOnce) {
    float4 value[kAtOnce];
#pragma unroll
    for (std::uint32_t i = 0; i < kAtOnce; ++i)
      value[i] = Row<Stored>(rows, entry[min(place + i, to - 1)]).quad(column);
#pragma unroll
    for (std::uint32_t i = 0; i < kAtOnce; ++i) {
      if (place + i >= to) break;
      sum.x += value[i].x;
      sum.y += value[i].y;
      sum.z += value[i].z;
      sum.w += value[i].w;
    }
  }
  return sum;
}

/// One thread per node, end (blockIdx.y) and four columns. Then the block takes the long lists of its nodes together: a
/// stretch for each eighth of it, whose sums are added in order.
template <typename Stored>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(const __grid_constant__ Rows rows, EndLists first, EndLists second, std::int32_t num_nodes,
               const __grid_constant__ MutableRows sums, int nodes_per_block) {
  __shared__ float4 parts[kStretches][kMaxWidth / 4];
  using Sums = Storage<false, Stored::is_full>;
  after_previous();
  const int quads = (rows.width + 3) / 4, local = static_cast<int>(threadIdx.x) / quads,
            column = static_cast<int>(threadIdx.x) % quads * 4;
  const EndLists lists = blockIdx.y == 0 ? first : second;
  MutableRows out = sums;
  out.data = static_cast<float*>(out.data) + static_cast<std::int64_t>(blockIdx.y) * rows.width;
  const std::int64_t first_node = std::int64_t{blockIdx.x} * nodes_per_block;
  bool is_long = false;
  if (const std::int64_t node = first_node + local; local < nodes_per_block && node < num_nodes) {
    const std::uint32_t begin = lists.begin[node], end = lists.begin[node + 1];
    is_long = end - begin > kLongList;
    if (!is_long) store_quad<Sums>(out, node, column, sum_of_list<Stored>(rows, lists.entry, begin, end, column));
  }
  if (!__syncthreads_or(is_long)) return;
  for (std::int64_t node = first_node; node < min(first_node + nodes_per_block, std::int64_t{num_nodes}); ++node) {
    const std::uint32_t begin = lists.begin[node], end = lists.begin[node + 1];
    if (end - begin <= kLongList) continue;
    const std::uint32_t each = (end - begin + kStretches - 1) / kStretches;
    if (local < kStretches) {
      const std::uint32_t from = min(begin + local * each, end), to = min(from + each, end);
      parts[local][column / 4] = sum_of_list<Stored>(rows, lists.entry, from, to, column);
    }
    __syncthreads();
    if (local == 0) {
      float4 sum = parts[0][column / 4];
      for (int s = 1; s < kStretches; ++s) {
        const float4 part = parts[s][column / 4];
        sum.x += part.x;
        sum.y += part.y;
        sum.z += part.z;
        sum.w += part.w;
      }
      store_quad<Sums>(out, node, column, sum);
    }
    __syncthreads();
  }
}
// All stretches of the widest rows have threads.
static_assert(kStretches * kMaxWidth / 4 <= kThreads);

}  // namespace

void sum_rows(const Rows& rows, const EndLists& first, const EndLists& second, std::int32_t num_nodes, float* sums,
              cudaStream_t stream) {
  if (num_nodes == 0) return;
  const int nodes_per_block = kThreads / ((rows.width + 3) / 4);
  const dim3 grid(static_cast<unsigned>(blocks_of(num_nodes, nodes_per_block)), 2);
  const MutableRows out = rows_of(static_cast<void*>(sums), false, rows.width, 2 * rows.width);
  const bool is_full = rows.whole && out.whole;
  const auto kernel = rows.is_bfloat16
                          ? (is_full ? sum_kernel<Storage<true, true>> : sum_kernel<Storage<true, false>>)
                          : (is_full ? sum_kernel<Storage<false, true>> : sum_kernel<Storage<false, false>>);
  launch_after(kernel, grid, kThreads, 0, stream, rows, first, second, num_nodes, out, nodes_per_block);
}

}  // namespace starling::interactionstep::cuda
