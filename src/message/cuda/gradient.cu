#include <cuda_runtime.h>

#include "lists/lists.h"
#include "memory/layout.h"
#include "message/backends.h"
#include "message/cuda/rows.cuh"

// Two kernels. The first goes through the lists as they are: it writes the gradient of each entry's weight, the mean's
// gradient of each row by its divisor, and for which features an entry is the maximum, one bit per feature. The second
// goes through the entries that hold each source: it reads the mean's gradient of the row of each entry, and the
// maximum's only where a bit is set, which is seldom.
namespace starling::message::cuda {

using namespace starling::cuda;

namespace {

/// What the second kernel reads of an entry, in one load where it can: its weight, and a bit for each feature for which
/// it is its row's maximum. Bit `lane` of share c of the words is feature 4 lane + c.
template <typename T, int kLanes>
struct alignas(sizeof(T) == 8 || kLanes <= 8 ? 8 : 4) Record {
  static constexpr int kWords = kLanes <= 8 ? 1 : kLanes / 8;
  T weight = 0;
  std::uint32_t word[kWords] = {};

  __device__ bool get(int c, int lane) const {
    const int at = c * kLanes + lane;
    bool bit = false;
#pragma unroll
    for (int w = 0; w < kWords; ++w)
      if (at / 32 == w) bit = (word[w] >> (at % 32)) & 1U;
    return bit;
  }
};

template <typename T, typename Stored, int kLanes>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<T>)
    weight_gradient_kernel(const __grid_constant__ Messages<T, Stored> messages,
                           const __grid_constant__ AggregateGradients<Stored> gradients, T* scaled_means,
                           T* weight_gradient, Record<T, kLanes>* records, std::int64_t entries, bool whole) {
  using S = Shape<kLanes>;
  __shared__ std::uint32_t maxima[kThreads][Record<T, kLanes>::kWords];  // bits of the entries of a batch of each row
  const S shape;
  const std::int64_t row = shape.row;
  const bool has_row = row < messages.num_rows;
  const std::int64_t first = has_row ? first_entry(messages, row) : 0,
                     end = has_row ? first_entry(messages, row + 1) : 0;
  const T sign = messages.subtract ? T(-1) : T(1);

  const T divisor = row_divisor<kLanes>(messages, shape, first, end), scale = inverse_of(divisor);
  for (int block = 0; block < messages.width; block += 4 * kLanes) {
    const int at = block + 4 * shape.lane;
    Four<T> mean{}, scaled{}, max{};
    std::int32_t slot[4] = {kNoSlot, kNoSlot, kNoSlot, kNoSlot};
    if (messages.divisor == MeanDivisor::weights && weight_gradient != nullptr) {
      Sums<T, kLanes> sums;
      for (std::int64_t batch = first; __any_sync(kWarp, batch < end); batch += S::kPerRow) {
        const Entry<T> mine = load_entry(messages, batch + shape.in_row, end);
        for_each_entry<kLanes>(
            mine, shape,
            [&](std::int32_t source) {
              return load_four<T>(messages.features + std::int64_t{source} * messages.width, at, messages.width, whole);
            },
            [&](int turn, int, T weight, const Four<T>& h) {
#pragma unroll
              for (int c = 0; c < 4; ++c) sums.part[turn % S::kParts][c] += weight * h.x[c];
            });
      }
      mean = sums.total();
#pragma unroll
      for (int c = 0; c < 4; ++c) mean.x[c] = divisor == T(0) ? T(0) : mean.x[c] / divisor;
    }
    if (has_row) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        if (at + c >= messages.width) continue;
        if (gradients.mean != nullptr) {
          scaled.x[c] = computed(gradients.mean[row * gradients.stride + at + c]) * scale;
          if (shape.group == 0) scaled_means[row * messages.width + at + c] = scaled.x[c];
          scaled.x[c] *= sign;
        }
        if (gradients.max == nullptr) continue;
        max.x[c] = sign * computed(gradients.max[row * gradients.stride + at + c]);
        slot[c] = gradients.max_slot[row * messages.width + at + c];
      }
    }
    for (std::int64_t batch = first; __any_sync(kWarp, batch < end); batch += S::kPerRow) {
      const Entry<T> mine = load_entry(messages, batch + shape.in_row, end);
      const auto base = static_cast<std::int32_t>(batch - first);
      T sum_of_mine = 0;
      Record<T, kLanes> record;
      record.weight = sign * mine.weight;
      if (records != nullptr) {
        // Few features have their maximum among a batch's entries: each sets the bit of its entry.
        constexpr int kWords = Record<T, kLanes>::kWords;
        std::uint32_t(*const words)[kWords] = maxima + (threadIdx.x - shape.in_row);
#pragma unroll
        for (int w = 0; w < kWords; ++w) words[shape.in_row][w] = 0;
        __syncwarp();
#pragma unroll
        for (int c = 0; c < 4; ++c) {
          const int bit = c * kLanes + shape.lane;
          if (shape.group == 0 && slot[c] >= base && slot[c] - base < S::kPerRow)
            atomicOr(&words[slot[c] - base][bit / 32], 1U << (bit % 32));
        }
        __syncwarp();
#pragma unroll
        for (int w = 0; w < kWords; ++w) record.word[w] = words[shape.in_row][w];
      }
      constexpr int kAtOnce = S::kTurns < kLoads<T> ? S::kTurns : kLoads<T>;
#pragma unroll
      for (int turn = 0; turn < S::kTurns; turn += kAtOnce) {
        Four<T> h[kAtOnce];
        std::int32_t source[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) source[i] = S::of(mine.source, (turn + i) * S::kGroups + shape.group);
        if (weight_gradient != nullptr) {
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i)
            if (source[i] >= 0)
              h[i] =
                  load_four<T>(messages.features + std::int64_t{source[i]} * messages.width, at, messages.width, whole);
        }
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          const int n = (turn + i) * S::kGroups + shape.group;
          T term[4] = {};
          if (source[i] >= 0 && weight_gradient != nullptr) {
#pragma unroll
            for (int c = 0; c < 4; ++c)
              term[c] = scaled.x[c] * (h[i].x[c] - mean.x[c]) + (slot[c] == base + n ? max.x[c] * h[i].x[c] : T(0));
          }
          T sum = (term[0] + term[1]) + (term[2] + term[3]);
#pragma unroll
          for (int half = kLanes / 2; half > 0; half /= 2) sum += __shfl_xor_sync(kWarp, sum, half);
          // The entry's own thread keeps its sum.
          const bool is_mine = shape.in_row / S::kGroups == turn + i;
          const int from = shape.in_row % S::kGroups * kLanes;
          const T mine_now = S::of(sum, from);
          if (is_mine) sum_of_mine = mine_now;
        }
      }
      const std::int64_t entry = batch + shape.in_row;
      if (entry >= end) continue;
      if (records != nullptr) records[block / (4 * kLanes) * entries + entry] = record;
      if (weight_gradient == nullptr) continue;
      const bool is_last = block + 4 * kLanes >= messages.width;
      T gradient = (block == 0 ? T(0) : weight_gradient[entry]) + sum_of_mine;
      if (is_last && messages.distance2 != nullptr)
        gradient = distance_gradient_of(messages.factor, mine.weight, gradient);
      weight_gradient[entry] = mine.source >= 0 ? gradient : T(0);
    }
  }
}

template <typename T, typename Stored, int kLanes>
__global__ void __launch_bounds__(kThreads, kBlocksAtOnce<T>)
    features_gradient_kernel(const __grid_constant__ Messages<T, Stored> messages,
                             const __grid_constant__ AggregateGradients<Stored> gradients, const T* scaled_means,
                             const Record<T, kLanes>* records, const __grid_constant__ Holders holders,
                             std::int64_t entries, Stored* features_gradient, bool whole, bool whole_gradients) {
  using S = Shape<kLanes>;
  const S shape;
  const std::int64_t source = shape.row;
  const bool has_source = source < messages.num_sources;
  const std::uint32_t first = has_source ? holders.begin[source] : 0, end = has_source ? holders.begin[source + 1] : 0;
  for (int block = 0; block < messages.width; block += 4 * kLanes) {
    const int at = block + 4 * shape.lane;
    Sums<T, kLanes> sums;
    for (std::uint32_t batch = first; __any_sync(kWarp, batch < end); batch += S::kPerRow) {
      std::int32_t row_of_mine = -1;
      Record<T, kLanes> mine;
      if (batch + shape.in_row < end) {
        const std::uint32_t entry = holders.entry[batch + shape.in_row];
        row_of_mine = lists::row_of_entry(holders, entry, messages.k);
        mine = records[block / (4 * kLanes) * entries + entry];
      }
      constexpr int kAtOnce = S::kTurns < kLoads<T> ? S::kTurns : kLoads<T>;
#pragma unroll
      for (int turn = 0; turn < S::kTurns; turn += kAtOnce) {
        Four<T> mean[kAtOnce];
        std::int32_t row[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) row[i] = S::of(row_of_mine, (turn + i) * S::kGroups + shape.group);
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i)
          mean[i] = row[i] >= 0 && gradients.mean != nullptr
                        ? load_four<T>(scaled_means + std::int64_t{row[i]} * messages.width, at, messages.width, whole)
                        : Four<T>{};
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          const int n = (turn + i) * S::kGroups + shape.group;
          Record<T, kLanes> record;
          record.weight = S::of(mine.weight, n);
#pragma unroll
          for (int w = 0; w < Record<T, kLanes>::kWords; ++w) record.word[w] = S::of(mine.word[w], n);
          if (row[i] < 0) continue;
#pragma unroll
          for (int c = 0; c < 4; ++c) {
            const bool is_max = record.get(c, shape.lane);
            const T max = is_max ? computed(gradients.max[row[i] * gradients.stride + at + c]) : T(0);
            sums.part[(turn + i) % S::kParts][c] += record.weight * message_gradient(mean[i].x[c], is_max, max);
          }
        }
      }
    }
    Four<T> sum = sums.total();
    if (!has_source || shape.group != 0) continue;
    if (messages.subtract) {
      const std::int64_t own = source * gradients.stride;
      const Four<T> mean = gradients.mean != nullptr
                               ? load_four<T>(gradients.mean + own, at, messages.width, whole_gradients)
                               : Four<T>{};
      const Four<T> max =
          gradients.max != nullptr ? load_four<T>(gradients.max + own, at, messages.width, whole_gradients) : Four<T>{};
#pragma unroll
      for (int c = 0; c < 4; ++c) sum.x[c] += mean.x[c] + max.x[c];
    }
    store_four(features_gradient + source * messages.width, at, messages.width, sum);
  }
}

template <typename T, int kLanes>
struct Arrays {
  T* scaled_means;             // [num_rows, width]
  Record<T, kLanes>* records;  // [blocks of features, entries]
  std::span<std::byte> lists;
};

template <typename T, typename S, int kLanes>
std::size_t lay_out(const Messages<T, S>& messages, std::span<std::byte> memory, Arrays<T, kLanes>& arrays) {
  memory::Layout layout(memory);
  arrays.scaled_means = layout.take<T>(static_cast<std::size_t>(messages.num_rows) * messages.width);
  const std::size_t blocks = (messages.width + 4 * kLanes - 1) / (4 * kLanes);
  arrays.records = layout.take<Record<T, kLanes>>(blocks * static_cast<std::size_t>(num_entries(messages)));
  const std::size_t lists = messages.holders.begin != nullptr ? 0 : lists::cuda::turn_round_bytes(lists_of(messages));
  arrays.lists = {layout.take<std::byte>(lists), lists};
  return layout.bytes();
}

}  // namespace

template <typename T, typename S>
std::size_t gradient_workspace_bytes(const Messages<T, S>& messages) {
  std::size_t bytes = 0;
  with_lanes(messages.width, [&](auto lanes) {
    Arrays<T, decltype(lanes)::value> arrays;
    bytes = lay_out(messages, {}, arrays);
  });
  return bytes;
}

template <typename T, typename S>
void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, S* features_gradient,
                        T* weight_gradient, std::span<std::byte> workspace, const Execution& execution) {
  const cudaStream_t stream = execution.stream;
  const std::int64_t entries = num_entries(messages);
  const bool whole = is_aligned(messages.features, messages.width);
  const bool whole_gradients =
      is_aligned(gradients.mean, gradients.stride) && is_aligned(gradients.max, gradients.stride);
  with_lanes(messages.width, [&](auto lanes) {
    constexpr int kLanes = decltype(lanes)::value;
    Arrays<T, kLanes> arrays;
    lay_out(messages, workspace, arrays);
    if (messages.num_rows > 0) {
      weight_gradient_kernel<T, S, kLanes>
          <<<blocks_of(messages.num_rows, Shape<kLanes>::kRowsPerBlock), kThreads, 0, stream>>>(
              messages, gradients, arrays.scaled_means, weight_gradient,
              features_gradient != nullptr ? arrays.records : nullptr, entries, whole);
    }
    if (features_gradient == nullptr || messages.num_sources == 0) return;
    const Holders holders = messages.holders.begin != nullptr
                                ? messages.holders
                                : lists::cuda::turn_round(lists_of(messages), arrays.lists, stream);
    features_gradient_kernel<T, S, kLanes>
        <<<blocks_of(messages.num_sources, Shape<kLanes>::kRowsPerBlock), kThreads, 0, stream>>>(
            messages, gradients, arrays.scaled_means, arrays.records, holders, entries, features_gradient,
            messages.width % 4 == 0, whole_gradients);
  });
  call(cudaGetLastError());
}

#define STARLING_INSTANTIATE(T, S)                                                                                    \
  template std::size_t gradient_workspace_bytes(const Messages<T, S>&);                                               \
  template void aggregate_gradient(const Messages<T, S>&, const AggregateGradients<S>&, S*, T*, std::span<std::byte>, \
                                   const Execution&)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(double, double);
STARLING_INSTANTIATE(float, Float16);
STARLING_INSTANTIATE(float, BFloat16);
#undef STARLING_INSTANTIATE

}  // namespace starling::message::cuda
