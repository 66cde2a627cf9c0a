#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cuda/launch.cuh"
#include "cuda/warp.cuh"
#include "edge_conv/formulas.h"

// A warp works on one row or source. Its lanes take two features each, 64 in all, which is also what a record holds;
// wider rows take several turns.
namespace starling::edgeconv::cuda {

using namespace starling::cuda;

namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
/// Threads of blocks that gather rows: as many as find each other's in the cache, where rows come in a near order.
constexpr int kGatherThreads = 512;
constexpr int kGatherWarps = kGatherThreads / 32;
constexpr int kPairs = 64;  // features of a turn

/// Whether to take rows in a near order (lists.h): where there are enough to pay for it.
template <typename T>
bool wants_order(const EdgeConv<T>& conv) {
  return num_entries(conv) >= std::int64_t{1} << 18;
}
/// Row number `place` of an order, or of the rows as they stand.
__device__ __forceinline__ std::int64_t row_at(const std::uint32_t* order, std::int64_t place) {
  return order != nullptr ? order[place] : place;
}

/// Two features of a row.
template <typename T>
struct alignas(2 * sizeof(T)) Two {
  T x, y;
};

/// Whether rows of `width` values can be read two at a time, or four.
template <typename T>
bool is_aligned(const T* rows, std::int64_t width, int values) {
  const std::size_t bytes = values * sizeof(T) < 16 ? values * sizeof(T) : 16;
  return width % values == 0 && reinterpret_cast<std::uintptr_t>(rows) % bytes == 0;
}

/// Features at and at + 1 of a row, 0 beyond `width`. `whole`: is_aligned().
template <typename T>
__device__ __forceinline__ Two<T> load_two(const T* row, int at, int width, bool whole) {
  Two<T> two{T(0), T(0)};
  if (at >= width) return two;
  if (whole) {
    using Vector = std::conditional_t<sizeof(T) == 4, float2, double2>;
    const Vector vector = __ldg(reinterpret_cast<const Vector*>(row + at));
    return {vector.x, vector.y};
  }
  two.x = __ldg(row + at);
  if (at + 1 < width) two.y = __ldg(row + at + 1);
  return two;
}

template <typename T>
__device__ __forceinline__ void store_two(T* row, int at, int width, T x, T y) {
  if (at < width) row[at] = x;
  if (at + 1 < width) row[at + 1] = y;
}

/// The source of an entry, −1 beyond the list and for what is no source.
template <typename T>
__device__ __forceinline__ std::int32_t load_source(const EdgeConv<T>& conv, std::int64_t entry, std::int64_t end) {
  const std::int32_t index = entry < end ? __ldg(conv.index + entry) : -1;
  return is_source(conv, index) ? index : -1;
}

__device__ __forceinline__ std::int32_t warp_sum(std::int32_t value) { return __reduce_add_sync(kWarp, value); }

}  // namespace
}  // namespace starling::edgeconv::cuda
