#include <cuda_runtime.h>

#include "edge_conv/backends.h"
#include "edge_conv/cuda/product.h"
#include "edge_conv/cuda/rows.cuh"

namespace starling::edgeconv::cuda {

using namespace starling::cuda;

namespace {

constexpr int kAtOnce = 8;  // sources on their way before the first is used

template <typename T, bool kMax>
__global__ void __launch_bounds__(kGatherThreads, sizeof(T) == 4 ? 2 : 1)
    aggregate_kernel(const __grid_constant__ EdgeConv<T> conv, const __grid_constant__ EdgeConvResult<T> result,
                     const std::uint32_t* order, bool whole) {
  const int lane = threadIdx.x % 32;
  const std::int64_t place_of_row = std::int64_t{blockIdx.x} * kGatherWarps + threadIdx.x / 32;
  if (place_of_row >= conv.num_rows) return;
  const std::int64_t row = row_at(order, place_of_row);
  const std::int64_t first = first_entry(conv, row), end = first_entry(conv, row + 1);
  for (int turn = 0; turn < conv.hidden; turn += kPairs) {
    const int at = turn + 2 * lane;
    const Two<T> p = load_two(conv.target + row * conv.hidden, at, conv.hidden, whole);
    T best[2] = {}, sum[2][kSumParts] = {};
    std::int32_t kept[2] = {kMax ? -1 : 0, kMax ? -1 : 0};
    std::int32_t found = 0;
    for (std::int64_t batch = first; batch < end; batch += 32) {
      const std::int32_t mine = load_source(conv, batch + lane, end);
      found += __popc(__ballot_sync(kWarp, mine >= 0));
      const auto place = static_cast<std::int32_t>(batch - first);
#pragma unroll
      for (int n = 0; n < 32; n += kAtOnce) {
        if (batch + n >= end) break;
        std::int32_t source[kAtOnce];
        Two<T> q[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          source[i] = __shfl_sync(kWarp, mine, n + i);
          if (source[i] >= 0)
            q[i] = load_two(conv.source + std::int64_t{source[i]} * conv.hidden, at, conv.hidden, whole);
        }
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          if (source[i] < 0) continue;
          const T message[2] = {p.x + q[i].x, p.y + q[i].y};
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            if constexpr (kMax) {
              const bool wins = kept[c] < 0 || later_wins(best[c], message[c]);
              best[c] = wins ? message[c] : best[c];
              kept[c] = wins ? place + n + i : kept[c];
            } else {
              sum[c][i % kSumParts] += conv.relu ? relu_of(message[c]) : message[c];
              kept[c] += message[c] > T(0);
            }
          }
        }
      }
    }
    if constexpr (!kMax) {
      const T divisor = conv.aggregation == EdgeAggregation::mean && found > 0 ? T(found) : T(1);
#pragma unroll
      for (int c = 0; c < 2; ++c) best[c] = ((sum[c][0] + sum[c][2]) + (sum[c][1] + sum[c][3])) / divisor;
    }
    store_two(result.out + row * conv.hidden, at, conv.hidden, best[0], best[1]);
    if (result.kept != nullptr && (kMax || conv.relu))
      store_two(result.kept + row * conv.hidden, at, conv.hidden, kept[0], kept[1]);
    if (turn == 0 && lane == 0 && result.found != nullptr) result.found[row] = found;
  }
}

}  // namespace

template <typename T>
std::size_t workspace_bytes(const EdgeConv<T>& conv) {
  return wants_order(conv) ? lists::cuda::near_order_bytes(lists_of(conv)) : 0;
}

template <typename T>
void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::span<std::byte> workspace,
               const Execution& execution) {
  if (conv.num_rows == 0) return;
  const std::uint32_t* const order =
      wants_order(conv) ? lists::cuda::near_order(lists_of(conv), workspace, execution.stream) : nullptr;
  if (conv.weight != nullptr) return max_of_products(conv, result, order, execution);
  const bool whole = is_aligned(conv.target, conv.hidden, 2) && is_aligned(conv.source, conv.hidden, 2);
  const int blocks = blocks_of(conv.num_rows, kGatherWarps);
  if (conv.aggregation == EdgeAggregation::max)
    aggregate_kernel<T, true><<<blocks, kGatherThreads, 0, execution.stream>>>(conv, result, order, whole);
  else
    aggregate_kernel<T, false><<<blocks, kGatherThreads, 0, execution.stream>>>(conv, result, order, whole);
  call(cudaGetLastError());
}

#define STARLING_INSTANTIATE(T)                             \
  template std::size_t workspace_bytes(const EdgeConv<T>&); \
  template void edge_conv(const EdgeConv<T>&, const EdgeConvResult<T>&, std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::edgeconv::cuda
