#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <functional>

#include "lists/lists.h"
#include "neighbors/backends.h"
#include "neighbors/check.h"
#include "neighbors/dimensions.h"
#include "neighbors/formulas.h"

// A point's gradient gathers its own entries and those that hold it.
namespace starling::neighbors::host {
namespace {

constexpr std::int32_t kRowsPerTask = 256;

template <typename T>
std::int64_t first_entry(const NeighborLists<T>& lists, std::int64_t row) {
  return lists.neighbor_row_splits != nullptr ? lists.neighbor_row_splits[row] : row * lists.k;
}

/// A sum of gradient terms in the order that the header gives.
template <typename T, int kDimensions>
class Sum {
 public:
  void add(std::int64_t place, T weight, const T* a, const T* b) {
    T* const part = parts_[place % kGradientParts];
    for (int d = 0; d < kDimensions; ++d) part[d] += gradient_term(weight, a[d], b[d]);
  }
  /// Ends the sum: its value is [kDimensions].
  const T* value() {
    for (int half = kGradientParts / 2; half > 0; half /= 2) {
      for (int part = 0; part < half; ++part) {
        for (int d = 0; d < kDimensions; ++d) parts_[part][d] += parts_[part + half][d];
      }
    }
    return parts_[0];
  }

 private:
  T parts_[kGradientParts][kDimensions] = {};
};

/// What the lists say, for kDimensions of each row, from dimension `first` on.
template <typename T, int kDimensions>
struct Gather {
  const NeighborLists<T>& lists;
  int first;
  const T* weight;
  lists::Holders holders = {};

  /// Those dimensions of a row of points, queries, tangents or gradients.
  template <typename U>
  U* part(U* rows, std::int64_t row) const {
    return rows + row * lists.dimensions + first;
  }
  const T* point(std::int64_t row) const { return part(lists.points, row); }
  const T* query(std::int64_t row) const { return part(lists.queries != nullptr ? lists.queries : lists.points, row); }

  void add_own(std::int64_t row, Sum<T, kDimensions>& sum) const {
    const std::int64_t begin = first_entry(lists, row), end = first_entry(lists, row + 1);
    for (std::int64_t e = begin; e < end; ++e) {
      if (lists.index[e] >= 0) sum.add(e - begin, weight[e], query(row), point(lists.index[e]));
    }
  }

  void add_holders(std::int64_t row, Sum<T, kDimensions>& sum) const {
    const std::uint32_t begin = holders.begin[row], end = holders.begin[row + 1];
    for (std::uint32_t i = begin; i < end; ++i) {
      const std::uint32_t e = holders.entry[i];
      const std::int64_t from = lists::row_of_entry(holders, e, lists.k);
      sum.add(i - begin, weight[e], point(row), query(from));
    }
  }
};

// A pass for each number of dimensions, so that sums stay in registers. Wider rows take several, which is the same sum:
// gradients of different dimensions do not meet, and a tangent goes on where the pass before ended.
using AllDimensions = Dimensions<1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16>;
constexpr int kPassDimensions = 16;

/// Calls action.operator()<number>(first) for the dimensions of each pass.
template <typename Action>
void for_passes(int dimensions, const Action& action) {
  for (int first = 0; first < dimensions; first += kPassDimensions) {
    with_padded_dimensions(AllDimensions(), std::min(dimensions - first, kPassDimensions),
                           [&]<int kDimensions>() { action.template operator()<kDimensions>(first); });
  }
}

// oneTBB's templates once, not for every number of dimensions: they take most of this file's time to compile.
void for_ranges(std::int32_t rows, const std::function<void(std::int32_t, std::int32_t)>& action) {
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, rows, kRowsPerTask),
                    [&](const auto& range) { action(range.begin(), range.end()); });
}

template <typename Action>
void for_each_row(std::int32_t rows, const Action& action) {
  for_ranges(rows, [&](std::int32_t begin, std::int32_t end) {
    for (std::int32_t row = begin; row < end; ++row) action(row);
  });
}

}  // namespace

template <typename T>
std::size_t gradient_workspace_bytes(const NeighborLists<T>& lists) {
  return lists.holders.begin != nullptr ? 0 : lists::host::turn_round_bytes(lists_of(lists));
}

template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace) {
  const bool self = lists.queries == nullptr;
  Holders holders = lists.holders;
  if (points_gradient != nullptr && holders.begin == nullptr)
    holders = lists::host::turn_round(lists_of(lists), workspace);
  for_passes(lists.dimensions, [&]<int kDimensions>(int first) {
    const Gather<T, kDimensions> gather{lists, first, weight, holders};
    if (points_gradient != nullptr) {
      for_each_row(lists.num_points, [&](std::int64_t row) {
        Sum<T, kDimensions> own, from_others;
        if (self) gather.add_own(row, own);
        gather.add_holders(row, from_others);
        const T *const a = own.value(), *const b = from_others.value();
        T* const to = gather.part(points_gradient, row);
        for (int d = 0; d < kDimensions; ++d) to[d] = a[d] + b[d];
      });
    }
    if (!self && queries_gradient != nullptr) {
      for_each_row(lists.num_queries, [&](std::int64_t row) {
        Sum<T, kDimensions> own;
        gather.add_own(row, own);
        std::copy_n(own.value(), kDimensions, gather.part(queries_gradient, row));
      });
    }
  });
}

template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out) {
  const bool self = lists.queries == nullptr;
  const T* const u = self ? points_tangent : queries_tangent;
  for_passes(lists.dimensions, [&]<int kDimensions>(int first) {
    constexpr T kZero[kDimensions] = {};
    const Gather<T, kDimensions> gather{lists, first, nullptr};
    const bool last_pass = first + kDimensions == lists.dimensions;
    for_each_row(num_rows(lists), [&](std::int64_t row) {
      const T* const q = gather.query(row);
      const T* const along_q = u != nullptr ? gather.part(u, row) : kZero;
      for (std::int64_t e = first_entry(lists, row); e < first_entry(lists, row + 1); ++e) {
        T sum = first == 0 ? T(0) : out[e];
        if (lists.index[e] >= 0) {
          const T* const p = gather.point(lists.index[e]);
          const T* const along_p = points_tangent != nullptr ? gather.part(points_tangent, lists.index[e]) : kZero;
          for (int d = 0; d < kDimensions; ++d) sum += tangent_term(q[d], p[d], along_q[d], along_p[d]);
        }
        out[e] = last_pass ? T(2) * sum : sum;
      }
    });
  });
}

#define STARLING_INSTANTIATE(T)                                                                     \
  template std::size_t gradient_workspace_bytes(const NeighborLists<T>&);                           \
  template void distance_gradient(const NeighborLists<T>&, const T*, T*, T*, std::span<std::byte>); \
  template void distance_tangent(const NeighborLists<T>&, const T*, const T*, T*)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors::host
