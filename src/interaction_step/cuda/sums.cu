#include <algorithm>

#include "cuda/launch.cuh"
#include "interaction_step/backends.h"
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
  out.data = static_cast<float*>(out.data) + static_cast<std::int64_t>(blockIdx.y) * (sums.stride / 2);
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

/// One thread per number of an edge, or per four of them.
template <typename Numbers>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(std::int64_t count, std::int64_t width, const std::int32_t* first, const std::int32_t* second,
                  const Numbers* nodes, Numbers* edges) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= count) return;
  const std::int64_t edge = at / width, column = at % width;
  const Numbers x = nodes[2 * width * first[edge] + column], y = nodes[2 * width * second[edge] + width + column];
  if constexpr (std::is_same_v<Numbers, float4>)
    edges[at] = {x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w};
  else
    edges[at] = x + y;
}

/// The kernel for rows of at most kMaxWidth columns, and how it is launched.
struct Launch {
  Launch(const Rows& rows, const MutableRows& out, std::int32_t num_nodes)
      : nodes_per_block(kThreads / ((rows.width + 3) / 4)),
        grid(static_cast<unsigned>(blocks_of(num_nodes, nodes_per_block)), 2) {
    const bool is_full = rows.whole && out.whole;
    kernel = rows.is_bfloat16 ? (is_full ? sum_kernel<Storage<true, true>> : sum_kernel<Storage<true, false>>)
                              : (is_full ? sum_kernel<Storage<false, true>> : sum_kernel<Storage<false, false>>);
  }
  int nodes_per_block;
  dim3 grid;
  void (*kernel)(Rows, EndLists, EndLists, std::int32_t, MutableRows, int);
};

}  // namespace

void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges, const Execution& execution) {
  if (ends.num_edges == 0) return;
  const auto is_whole = [](const float* values) { return reinterpret_cast<std::uintptr_t>(values) % 16 == 0; };
  const auto launch = [&](auto* from, auto* to, int width) {
    const std::int64_t count = std::int64_t{ends.num_edges} * width;
    gather_kernel<<<blocks_of(count, kThreads), kThreads, 0, execution.stream>>>(count, std::int64_t{width}, ends.first,
                                                                                 ends.second, from, to);
  };
  if (ends.width % 4 == 0 && is_whole(nodes) && is_whole(edges))
    launch(reinterpret_cast<const float4*>(nodes), reinterpret_cast<float4*>(edges), ends.width / 4);
  else
    launch(nodes, edges, ends.width);
  call(cudaGetLastError());
}

void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes, const Execution& execution) {
  if (ends.num_nodes == 0) return;
  const EndLists first{ends.at_first.begin, ends.at_first.entry}, second{ends.at_second.begin, ends.at_second.entry};
  for (int column = 0; column < ends.width; column += kMaxWidth) {
    const int width = std::min(ends.width - column, kMaxWidth);
    const Rows rows = rows_of(static_cast<const void*>(edges + column), false, width, ends.width);
    const MutableRows out = rows_of(static_cast<void*>(nodes + column), false, width, std::int64_t{2} * ends.width);
    const Launch launch(rows, out, ends.num_nodes);
    launch.kernel<<<launch.grid, kThreads, 0, execution.stream>>>(rows, first, second, ends.num_nodes, out,
                                                                  launch.nodes_per_block);
    call(cudaGetLastError());
  }
}

void sum_rows(const Rows& rows, const EndLists& first, const EndLists& second, std::int32_t num_nodes, float* sums,
              cudaStream_t stream) {
  if (num_nodes == 0) return;
  const MutableRows out = rows_of(static_cast<void*>(sums), false, rows.width, 2 * rows.width);
  const Launch launch(rows, out, num_nodes);
  launch_after(launch.kernel, launch.grid, kThreads, 0, stream, rows, first, second, num_nodes, out,
               launch.nodes_per_block);
}

}  // namespace starling::interactionstep::cuda
