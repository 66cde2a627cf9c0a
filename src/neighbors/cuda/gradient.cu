#include <cuda_runtime.h>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "cuda/rows.cuh"
#include "cuda/warp.cuh"
#include "lists/lists.h"
#include "neighbors/backends.h"
#include "neighbors/check.h"
#include "neighbors/dimensions.h"
#include "neighbors/formulas.h"

// A point's gradient gathers its own entries and those that hold it: no atomics, and every sum has one order.
namespace starling::neighbors::cuda {

using namespace starling::cuda;

namespace {

constexpr int kThreads = 256;
constexpr int kGroup = kGradientParts;  // lanes that share a row: one a part of its sum
constexpr int kGroups = kThreads / kGroup;

template <typename T>
__device__ std::uint32_t first_entry(const NeighborLists<T>& lists, std::int64_t row) {
  return static_cast<std::uint32_t>(lists.neighbor_row_splits != nullptr ? lists.neighbor_row_splits[row]
                                                                         : row * lists.k);
}

template <typename T>
__device__ bool is_point(const NeighborLists<T>& lists, std::int32_t index) {
  return static_cast<std::uint32_t>(index) < static_cast<std::uint32_t>(lists.num_points);
}

/// Part of a row's dimensions: those of one pass.
struct Pass {
  int dimensions;  // of a row
  int first;
  __host__ __device__ int number(int most) const { return dimensions - first < most ? dimensions - first : most; }
};

/// Rows of coordinates or tangents, and of each the dimensions of a pass. Where kDimensions of them are aligned to 16
/// bytes, they are read in loads of 16.
template <typename T, int kDimensions>
struct Rows {
  const T* rows;
  Pass pass;
  bool whole;

  Rows(const T* from, const Pass& part)
      : rows(from),
        pass(part),
        whole(part.number(kDimensions) == kDimensions && sizeof(T) * part.dimensions % sizeof(float4) == 0 &&
              reinterpret_cast<std::uintptr_t>(from) % sizeof(float4) == 0) {}
  __device__ Row<T, kDimensions> operator[](std::int32_t row) const {
    const T* const from = rows + static_cast<std::int64_t>(row) * pass.dimensions + pass.first;
    return whole ? load_padded<T, kDimensions>(from, 0) : load_row<T, kDimensions>(from, 0, pass.number(kDimensions));
  }
};

/// What a point's or query's gradient is a sum of.
template <typename T>
struct Terms {
  NeighborLists<T> lists;
  const T* weight;
  bool own;                // entries of the row's own list
  lists::Holders holders;  // of the points; without `begin` they take no part
};

/// Adds a lane's part of the terms at places `first` to `end` of a list. find(place, entry) yields the other row, or
/// −1, and the entry.
template <typename T, int kDimensions, typename Find>
__device__ __forceinline__ void add_terms(std::uint32_t first, std::uint32_t end, const T* weight,
                                          const Row<T, kDimensions>& mine, const Rows<T, kDimensions>& others,
                                          const Find& find, Row<T, kDimensions>& part) {
  constexpr int kAtOnce = 16 / kDimensions;  // loads on their way
  for (std::uint32_t place = first + threadIdx.x % kGroup; place < end; place += kAtOnce * kGroup) {
    std::int32_t other[kAtOnce];
    T factor[kAtOnce];
    Row<T, kDimensions> x[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      other[i] = -1;
      std::uint32_t entry = 0;
      if (place + i * kGroup < end) other[i] = find(place + i * kGroup, entry);
      if (other[i] >= 0) factor[i] = weight[entry];
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (other[i] >= 0) x[i] = others[other[i]];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if (other[i] >= 0) {
#pragma unroll
        for (int d = 0; d < kDimensions; ++d) part.x[d] += gradient_term(factor[i], mine.x[d], x[i].x[d]);
      }
  }
}

template <typename T, int kDimensions>
__device__ __forceinline__ void combine(Row<T, kDimensions>& part) {
#pragma unroll
  for (int half = kGroup / 2; half > 0; half /= 2)
#pragma unroll
    for (int d = 0; d < kDimensions; ++d) part.x[d] += __shfl_xor_sync(kWarp, part.x[d], half);
}

template <typename T, int kDimensions>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(const __grid_constant__ Terms<T> terms, const __grid_constant__ Rows<T, kDimensions> points,
                  const __grid_constant__ Rows<T, kDimensions> queries, int rows, T* gradient) {
  const int row = blockIdx.x * kGroups + threadIdx.x / kGroup;
  const NeighborLists<T>& lists = terms.lists;
  Row<T, kDimensions> sum{}, part{};
  if (row < rows && terms.own) {
    add_terms(
        first_entry(lists, row), first_entry(lists, row + 1), terms.weight, queries[row], points,
        [&](std::uint32_t place, std::uint32_t& entry) {
          entry = place;
          const std::int32_t index = lists.index[place];
          return is_point(lists, index) ? index : -1;
        },
        sum);
  }
  combine(sum);
  if (terms.holders.begin != nullptr) {
    if (row < rows) {
      add_terms(
          terms.holders.begin[row], terms.holders.begin[row + 1], terms.weight, points[row], queries,
          [&](std::uint32_t place, std::uint32_t& entry) {
            entry = terms.holders.entry[place];
            return lists::row_of_entry(terms.holders, entry, lists.k);
          },
          part);
    }
    combine(part);
  }
  if (row >= rows) return;
  T* const to = gradient + static_cast<std::int64_t>(row) * lists.dimensions + points.pass.first;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) {
    if (threadIdx.x % kGroup == d % kGroup && d < points.pass.number(kDimensions)) to[d] = sum.x[d] + part.x[d];
  }
}

template <typename T, int kDimensions>
__global__ void __launch_bounds__(kThreads)
    tangent_kernel(const __grid_constant__ NeighborLists<T> lists, const __grid_constant__ Rows<T, kDimensions> points,
                   const __grid_constant__ Rows<T, kDimensions> queries,
                   const __grid_constant__ Rows<T, kDimensions> points_tangent,
                   const __grid_constant__ Rows<T, kDimensions> queries_tangent, int rows, T* out) {
  const int row = blockIdx.x * kGroups + threadIdx.x / kGroup;
  if (row >= rows) return;
  const Row<T, kDimensions> q = queries[row];
  const Row<T, kDimensions> along_q = queries_tangent.rows != nullptr ? queries_tangent[row] : Row<T, kDimensions>{};
  const std::uint32_t end = first_entry(lists, row + 1);
  for (std::uint32_t e = first_entry(lists, row) + threadIdx.x % kGroup; e < end; e += kGroup) {
    const std::int32_t index = lists.index[e];
    T sum = points.pass.first == 0 ? T(0) : out[e];
    if (is_point(lists, index)) {
      const Row<T, kDimensions> p = points[index];
      const Row<T, kDimensions> along_p =
          points_tangent.rows != nullptr ? points_tangent[index] : Row<T, kDimensions>{};
#pragma unroll
      for (int d = 0; d < kDimensions; ++d) sum += tangent_term(q.x[d], p.x[d], along_q.x[d], along_p.x[d]);
    }
    out[e] = points.pass.first + kDimensions >= lists.dimensions ? T(2) * sum : sum;
  }
}

/// Numbers of dimensions that rows are padded to in registers. Wider rows take several passes, which is the same sum:
/// gradients of different dimensions do not meet, and a tangent goes on where the pass before ended.
using PaddedRows = Dimensions<4, 8, 16>;
constexpr int kPassDimensions = 16;

/// Calls action.operator()<padded>(pass) for each pass.
template <typename Action>
void for_passes(int dimensions, const Action& action) {
  for (Pass pass{dimensions, 0}; pass.first < dimensions; pass.first += kPassDimensions) {
    with_padded_dimensions(PaddedRows(), pass.number(kPassDimensions),
                           [&]<int kDimensions>() { action.template operator()<kDimensions>(pass); });
  }
}

template <typename T>
void gather(const Terms<T>& terms, int rows, T* gradient, cudaStream_t stream) {
  if (rows == 0) return;
  const NeighborLists<T>& lists = terms.lists;
  for_passes(lists.dimensions, [&]<int kDimensions>(const Pass& pass) {
    using AllRows = Rows<T, kDimensions>;
    const AllRows points(lists.points, pass);
    const AllRows queries(lists.queries != nullptr ? lists.queries : lists.points, pass);
    gather_kernel<T, kDimensions>
        <<<blocks_of(rows, kGroups), kThreads, 0, stream>>>(terms, points, queries, rows, gradient);
  });
  call(cudaGetLastError());
}

}  // namespace

template <typename T>
std::size_t gradient_workspace_bytes(const NeighborLists<T>& lists) {
  return lists.holders.begin != nullptr ? 0 : lists::cuda::turn_round_bytes(lists_of(lists));
}

template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace, const Execution& execution) {
  const bool self = lists.queries == nullptr;
  if (points_gradient != nullptr) {
    const Holders holders = lists.holders.begin != nullptr
                                ? lists.holders
                                : lists::cuda::turn_round(lists_of(lists), workspace, execution.stream);
    const Terms<T> terms{.lists = lists, .weight = weight, .own = self, .holders = holders};
    gather(terms, lists.num_points, points_gradient, execution.stream);
  }
  if (!self && queries_gradient != nullptr)
    gather({.lists = lists, .weight = weight, .own = true, .holders = {}}, lists.num_queries, queries_gradient,
           execution.stream);
}

template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out,
                      const Execution& execution) {
  const bool self = lists.queries == nullptr;
  const int rows = num_rows(lists);
  if (rows == 0) return;
  for_passes(lists.dimensions, [&]<int kDimensions>(const Pass& pass) {
    using AllRows = Rows<T, kDimensions>;
    const auto all = [&](const T* rows_of) { return AllRows(rows_of, pass); };
    tangent_kernel<T, kDimensions><<<blocks_of(rows, kGroups), kThreads, 0, execution.stream>>>(
        lists, all(lists.points), all(self ? lists.points : lists.queries), all(points_tangent),
        all(self ? points_tangent : queries_tangent), rows, out);
  });
  call(cudaGetLastError());
}

#define STARLING_INSTANTIATE(T)                                                                                       \
  template std::size_t gradient_workspace_bytes(const NeighborLists<T>&);                                             \
  template void distance_gradient(const NeighborLists<T>&, const T*, T*, T*, std::span<std::byte>, const Execution&); \
  template void distance_tangent(const NeighborLists<T>&, const T*, const T*, T*, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors::cuda
