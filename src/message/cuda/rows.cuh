#pragma once

#include <cuda_runtime.h>

#include <cstring>
#include <type_traits>

#include "cuda/launch.cuh"
#include "cuda/warp.cuh"
#include "half/storage.h"
#include "message/arithmetic.h"

// A row is worked on by threads that lie in groups. A group reads the features of one source: each of its kLanes
// threads four of them. The groups of a row take the entries of its list in turn, so that entry n is added to part n
// mod kMessageParts of the sum in ascending order, as on the host. The weights of a batch of entries are computed
// first, one per thread, and handed around by shuffles.
namespace starling::message::cuda {

using storage::computed, storage::store;

using namespace starling::cuda;

namespace {

constexpr int kThreads = 128;
template <typename T>
constexpr int kLoads = sizeof(T) == 4 ? 4 : 2;  // of features, on their way at once
/// Blocks that a multiprocessor holds: the kernels wait for memory, so threads count more than registers.
template <typename T>
constexpr int kBlocksAtOnce = sizeof(T) == 4 ? 6 : 3;

/// How the threads of a warp share rows whose features take kLanes threads of four.
template <int kLanes>
struct Shape {
  static constexpr int kPerRow = kLanes * kMessageParts < 32 ? kLanes * kMessageParts : 32;  // threads
  static constexpr int kGroups = kPerRow / kLanes;
  static constexpr int kParts = kMessageParts / kGroups;  // of the sum, that a group adds up
  static constexpr int kRowsPerBlock = kThreads / kPerRow;
  static constexpr int kTurns = kPerRow / kGroups;  // batches have kPerRow entries
  static constexpr int kWords = (4 * kLanes + 31) / 32;

  int lane, group, in_row;
  std::int64_t row;
  __device__ Shape() {
    in_row = threadIdx.x % kPerRow;
    lane = in_row % kLanes;
    group = in_row / kLanes;
    row = std::int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kPerRow;
  }
  template <typename U>
  __device__ static U of(U value, int thread) {
    return __shfl_sync(kWarp, value, thread, kPerRow);
  }
};

/// Four features of a row, zeros beyond `width`. `whole`: loads of four are aligned (is_aligned()).
template <typename T>
struct Four {
  T x[4];
};

/// What one load of four stored values takes, twice where it takes more than 16 bytes.
template <typename S>
using Vector = std::conditional_t<sizeof(S) == 2, uint2, std::conditional_t<sizeof(S) == 4, float4, double2>>;

template <typename T, typename S>
__device__ __forceinline__ Four<T> load_four(const S* row, int at, int width, bool whole) {
  S stored[4];
  if (at + 4 <= width && whole) {
    constexpr int kVectors = sizeof(stored) / sizeof(Vector<S>);
    Vector<S> vectors[kVectors];
#pragma unroll
    for (int i = 0; i < kVectors; ++i) vectors[i] = __ldg(reinterpret_cast<const Vector<S>*>(row + at) + i);
    memcpy(stored, vectors, sizeof(stored));
  } else {
#pragma unroll
    for (int c = 0; c < 4; ++c) stored[c] = at + c < width ? row[at + c] : S{};
  }
  Four<T> four;
#pragma unroll
  for (int c = 0; c < 4; ++c) four.x[c] = computed(stored[c]);
  return four;
}

template <typename T, typename S>
__device__ __forceinline__ void store_four(S* row, int at, int width, const Four<T>& four) {
#pragma unroll
  for (int c = 0; c < 4; ++c)
    if (at + c < width) store(row[at + c], four.x[c]);
}

/// Sums of four features in the parts of a group.
template <typename T, int kLanes>
struct Sums {
  using S = Shape<kLanes>;
  T part[S::kParts][4] = {};

  /// The sum over all groups of the row, in the order that the header gives; in every thread.
  __device__ Four<T> total() const {
    Four<T> sum;
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      T x = part[0][c];
      if constexpr (S::kParts == 4) x = (part[0][c] + part[2][c]) + (part[1][c] + part[3][c]);
      if constexpr (S::kParts == 2) x = part[0][c] + part[1][c];
#pragma unroll
      for (int half = S::kGroups / 2; half > 0; half /= 2) x += __shfl_xor_sync(kWarp, x, half * kLanes);
      sum.x[c] = x;
    }
    return sum;
  }
};

/// A batch of entries of a row's list: each thread has one.
template <typename T>
struct Entry {
  std::int32_t source = -1;
  T weight = 0;
};

template <typename T, typename S>
__device__ __forceinline__ Entry<T> load_entry(const Messages<T, S>& messages, std::int64_t entry, std::int64_t end) {
  Entry<T> one;
  if (entry >= end) return one;
  const std::int32_t index = messages.index[entry];
  if (!is_source(messages, index)) return one;
  one.source = index;
  one.weight = weight_of(messages, entry);
  return one;
}

/// Calls use(turn, n, weight, load(source)) for the entries n of a batch that are the group's, in ascending order. The
/// loads of several entries are on their way before the first is used.
template <int kLanes, typename T, typename Load, typename Use>
__device__ __forceinline__ void for_each_entry(const Entry<T>& mine, const Shape<kLanes>& shape, const Load& load,
                                               const Use& use) {
  using S = Shape<kLanes>;
  constexpr int kAtOnce = S::kTurns < kLoads<T> ? S::kTurns : kLoads<T>;
#pragma unroll
  for (int turn = 0; turn < S::kTurns; turn += kAtOnce) {
    std::int32_t source[kAtOnce];
    T weight[kAtOnce];
    Four<T> loaded[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int n = (turn + i) * S::kGroups + shape.group;
      source[i] = S::of(mine.source, n);
      weight[i] = S::of(mine.weight, n);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (source[i] >= 0) loaded[i] = load(source[i]);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (source[i] >= 0) use(turn + i, (turn + i) * S::kGroups + shape.group, weight[i], loaded[i]);
  }
}

/// What the sum of the row's messages is divided by; in every thread of the row.
template <int kLanes, typename T, typename Stored>
__device__ __forceinline__ T row_divisor(const Messages<T, Stored>& messages, const Shape<kLanes>& shape,
                                         std::int64_t first, std::int64_t end) {
  using S = Shape<kLanes>;
  if (messages.divisor == MeanDivisor::all) return T(messages.k);
  if (messages.divisor == MeanDivisor::found) {
    std::int32_t found = 0;
    for (std::int64_t e = first + shape.in_row; e < end; e += S::kPerRow)
      found += is_source(messages, messages.index[e]);
#pragma unroll
    for (int half = S::kPerRow / 2; half > 0; half /= 2) found += __shfl_xor_sync(kWarp, found, half);
    return T(found);
  }
  Sums<T, kLanes> sums;
  for (std::int64_t batch = first; __any_sync(kWarp, batch < end); batch += S::kPerRow) {
    const Entry<T> mine = load_entry(messages, batch + shape.in_row, end);
#pragma unroll
    for (int turn = 0; turn < S::kTurns; ++turn) {
      const int n = turn * S::kGroups + shape.group;
      const T weight = S::of(mine.weight, n);  // 0 where there is no source
      sums.part[turn % S::kParts][0] += weight;
    }
  }
  return sums.total().x[0];
}

/// Whether rows of `width` values can be read four at a time.
template <typename S>
bool is_aligned(const S* rows, std::int64_t width) {
  return width % 4 == 0 && reinterpret_cast<std::uintptr_t>(rows) % sizeof(Vector<S>) == 0;
}

/// Calls action(std::integral_constant<int, threads of four features>); wider rows are taken in blocks of 128 features.
template <typename Action>
void with_lanes(int width, const Action& action) {
  if (width <= 16)
    action(std::integral_constant<int, 4>());
  else if (width <= 32)
    action(std::integral_constant<int, 8>());
  else if (width <= 64)
    action(std::integral_constant<int, 16>());
  else
    action(std::integral_constant<int, 32>());
}

}  // namespace
}  // namespace starling::message::cuda
