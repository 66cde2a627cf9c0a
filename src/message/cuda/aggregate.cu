#include <cuda_runtime.h>

#include "message/backends.h"
#include "message/cuda/rows.cuh"

namespace starling::message::cuda {

using namespace starling::cuda;

namespace {

template <typename T>
struct Best {
  T value[4];
  std::int32_t slot[4];
  /// One maximum out of those of the row's groups: the larger, of equal ones the first in the list, and the first NaN.
  template <int kLanes>
  __device__ void combine() {
    using S = Shape<kLanes>;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
#pragma unroll
      for (int half = S::kGroups / 2; half > 0; half /= 2) {
        const T other = __shfl_xor_sync(kWarp, value[c], half * kLanes);
        const std::int32_t other_slot = __shfl_xor_sync(kWarp, slot[c], half * kLanes);
        if (other_slot < 0) continue;
        const bool later = other_slot > slot[c];
        const bool takes = slot[c] < 0 || (later ? later_wins(value[c], other) : !later_wins(other, value[c]));
        value[c] = takes ? other : value[c];
        slot[c] = takes ? other_slot : slot[c];
      }
    }
  }
};

template <typename T, typename Stored, int kLanes>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<T>)
    aggregate_kernel(const __grid_constant__ Messages<T, Stored> messages,
                     const __grid_constant__ Aggregates<Stored> out, bool whole) {
  using S = Shape<kLanes>;
  const S shape;
  const std::int64_t row = shape.row;
  const bool has_row = row < messages.num_rows;
  const std::int64_t first = has_row ? first_entry(messages, row) : 0,
                     end = has_row ? first_entry(messages, row + 1) : 0;
  for (int block = 0; block < messages.width; block += 4 * kLanes) {
    const int at = block + 4 * shape.lane;
    Sums<T, kLanes> sums;
    T weights[S::kParts] = {};
    Best<T> best;
#pragma unroll
    for (int c = 0; c < 4; ++c) best.value[c] = 0, best.slot[c] = kNoSlot;
    std::int32_t found = 0;
    // Rows that share a warp take as many batches as the longest of them: shuffles need all threads.
    for (std::int64_t batch = first; __any_sync(kWarp, batch < end); batch += S::kPerRow) {
      const Entry<T> mine = load_entry(messages, batch + shape.in_row, end);
      for_each_entry<kLanes>(
          mine, shape,
          [&](std::int32_t source) {
            return load_four<T>(messages.features + std::int64_t{source} * messages.width, at, messages.width, whole);
          },
          [&](int turn, int n, T weight, const Four<T>& h) {
            const auto slot = static_cast<std::int32_t>(batch - first) + n;
            weights[turn % S::kParts] += weight;
#pragma unroll
            for (int c = 0; c < 4; ++c) {
              const T message = weight * h.x[c];
              sums.part[turn % S::kParts][c] += message;
              const bool wins = found == 0 || later_wins(best.value[c], message);
              best.value[c] = wins ? message : best.value[c];
              best.slot[c] = wins ? slot : best.slot[c];
            }
            ++found;
          });
    }
    const Four<T> sum = sums.total();
    best.template combine<kLanes>();
    T weight_sum = weights[0];
    if constexpr (S::kParts == 4) weight_sum = (weights[0] + weights[2]) + (weights[1] + weights[3]);
    if constexpr (S::kParts == 2) weight_sum = weights[0] + weights[1];
#pragma unroll
    for (int half = S::kGroups / 2; half > 0; half /= 2) {
      weight_sum += __shfl_xor_sync(kWarp, weight_sum, half * kLanes);
      found += __shfl_xor_sync(kWarp, found, half * kLanes);
    }
    if (!has_row || shape.group != 0) continue;
    const T divisor = divisor_of(messages, found, weight_sum);
    Four<T> mean, max;
    const Four<T> own = messages.subtract
                            ? load_four<T>(messages.features + row * messages.width, at, messages.width, whole)
                            : Four<T>{};
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      if (messages.absent_is_zero && found < messages.k && (found == 0 || later_wins(best.value[c], T(0)))) {
        best.value[c] = 0;
        best.slot[c] = kNoSlot;
      }
      mean.x[c] = divisor == T(0) ? T(0) : sum.x[c] / divisor;
      max.x[c] = best.value[c];
      if (messages.subtract) {
        mean.x[c] = own.x[c] - mean.x[c];
        max.x[c] = own.x[c] - max.x[c];
      }
    }
    if (out.mean != nullptr) store_four(out.mean + row * out.stride, at, messages.width, mean);
    if (out.max != nullptr) store_four(out.max + row * out.stride, at, messages.width, max);
    if (out.max_slot != nullptr) {
#pragma unroll
      for (int c = 0; c < 4; ++c)
        if (at + c < messages.width) out.max_slot[row * messages.width + at + c] = best.slot[c];
    }
  }
}

}  // namespace

template <typename T, typename S>
void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out, const Execution& execution) {
  if (messages.num_rows == 0) return;
  const bool whole = is_aligned(messages.features, messages.width);
  with_lanes(messages.width, [&](auto lanes) {
    constexpr int kLanes = decltype(lanes)::value;
    aggregate_kernel<T, S, kLanes>
        <<<blocks_of(messages.num_rows, Shape<kLanes>::kRowsPerBlock), kThreads, 0, execution.stream>>>(messages, out,
                                                                                                        whole);
  });
  call(cudaGetLastError());
}

template void aggregate(const Messages<float, float>&, const Aggregates<float>&, const Execution&);
template void aggregate(const Messages<double, double>&, const Aggregates<double>&, const Execution&);
template void aggregate(const Messages<float, Float16>&, const Aggregates<Float16>&, const Execution&);
template void aggregate(const Messages<float, BFloat16>&, const Aggregates<BFloat16>&, const Execution&);

}  // namespace starling::message::cuda
