#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_scan.h>

#include <algorithm>
#include <functional>

#include "memory/layout.h"
#include "neighbors/backends.h"
#include "neighbors/check.h"
#include "neighbors/dimensions.h"
#include "neighbors/formulas.h"

// A point's gradient gathers its own entries and those that hold it. The latter are found by a stable counting sort of
// the entries by point, so that their order, and with it every sum, does not depend on the threads.
namespace starling::neighbors::host {
namespace {

constexpr int kChunks = 16;  // the entries are counted and placed in so many tasks
constexpr std::int32_t kRowsPerTask = 256;

/// The entries that hold each point, in ascending order.
struct Incoming {
  std::uint32_t* begin;  // [points + 1] first of a point's entries
  std::uint32_t* entry;  // [entries]
  std::int32_t* row;     // [entries] the query of an entry of `entry`; of lists with row splits only
  std::uint32_t* place;  // [kChunks, points] scratch
};

template <typename T>
std::size_t lay_out(const NeighborLists<T>& lists, std::span<std::byte> memory, Incoming& incoming) {
  const auto entries = static_cast<std::size_t>(num_entries(lists));
  const auto points = static_cast<std::size_t>(lists.num_points);
  memory::Layout layout(memory);
  incoming.begin = layout.take<std::uint32_t>(points + 1);
  incoming.entry = layout.take<std::uint32_t>(entries);
  incoming.row = lists.neighbor_row_splits != nullptr ? layout.take<std::int32_t>(entries) : nullptr;
  incoming.place = layout.take<std::uint32_t>(kChunks * points);
  return layout.bytes();
}

template <typename T>
std::int64_t first_entry(const NeighborLists<T>& lists, std::int64_t row) {
  return lists.neighbor_row_splits != nullptr ? lists.neighbor_row_splits[row] : row * lists.k;
}

template <typename T>
void transpose(const NeighborLists<T>& lists, const Incoming& incoming) {
  const std::int64_t entries = num_entries(lists);
  const auto points = static_cast<std::size_t>(lists.num_points);
  const auto chunk_begin = [&](int chunk) { return entries * chunk / kChunks; };
  tbb::parallel_for(0, kChunks, [&](int chunk) {
    std::uint32_t* const count = incoming.place + static_cast<std::size_t>(chunk) * points;
    std::fill_n(count, points, 0U);
    for (std::int64_t e = chunk_begin(chunk); e < chunk_begin(chunk + 1); ++e) {
      if (lists.index[e] >= 0) ++count[lists.index[e]];
    }
  });
  // Counts become places: all of a point's, chunk by chunk, before those of the next.
  const std::uint32_t total = tbb::parallel_scan(
      tbb::blocked_range<std::size_t>(0, points, 1 << 12), 0U,
      [&](const tbb::blocked_range<std::size_t>& range, std::uint32_t sum, bool is_final) {
        for (std::size_t point = range.begin(); point < range.end(); ++point) {
          if (is_final) incoming.begin[point] = sum;
          for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
            std::uint32_t& place = incoming.place[chunk * points + point];
            const std::uint32_t count = place;
            if (is_final) place = sum;
            sum += count;
          }
        }
        return sum;
      },
      std::plus<>());
  incoming.begin[points] = total;
  tbb::parallel_for(0, kChunks, [&](int chunk) {
    std::uint32_t* const place = incoming.place + static_cast<std::size_t>(chunk) * points;
    const std::int64_t* const splits = lists.neighbor_row_splits;
    std::int32_t row = 0;
    if (splits != nullptr) {
      const std::int64_t* const end = splits + num_rows(lists) + 1;
      row = static_cast<std::int32_t>(std::upper_bound(splits, end, chunk_begin(chunk)) - splits) - 1;
    }
    for (std::int64_t e = chunk_begin(chunk); e < chunk_begin(chunk + 1); ++e) {
      if (lists.index[e] < 0) continue;
      const std::uint32_t at = place[lists.index[e]]++;
      incoming.entry[at] = static_cast<std::uint32_t>(e);
      if (splits == nullptr) continue;
      while (splits[row + 1] <= e) ++row;
      incoming.row[at] = row;
    }
  });
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

/// What the lists say, for rows of kDimensions.
template <typename T, int kDimensions>
struct Gather {
  const NeighborLists<T>& lists;
  const T* weight;
  Incoming incoming = {};

  const T* point(std::int64_t row) const { return lists.points + row * kDimensions; }
  const T* query(std::int64_t row) const {
    return (lists.queries != nullptr ? lists.queries : lists.points) + row * kDimensions;
  }

  void add_own(std::int64_t row, Sum<T, kDimensions>& sum) const {
    const std::int64_t first = first_entry(lists, row), end = first_entry(lists, row + 1);
    for (std::int64_t e = first; e < end; ++e) {
      if (lists.index[e] >= 0) sum.add(e - first, weight[e], query(row), point(lists.index[e]));
    }
  }

  void add_incoming(std::int64_t row, Sum<T, kDimensions>& sum) const {
    const std::uint32_t first = incoming.begin[row], end = incoming.begin[row + 1];
    for (std::uint32_t i = first; i < end; ++i) {
      const std::uint32_t e = incoming.entry[i];
      const std::int64_t from = incoming.row != nullptr
                                    ? incoming.row[i]
                                    : static_cast<std::int64_t>(e / static_cast<std::uint32_t>(lists.k));
      sum.add(i - first, weight[e], point(row), query(from));
    }
  }
};

// A pass for each number of dimensions, so that sums stay in registers.
using AllDimensions = Dimensions<1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16>;

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
  Incoming incoming;
  return lay_out(lists, {}, incoming);
}

template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace) {
  Incoming incoming;
  lay_out(lists, workspace, incoming);
  const bool self = lists.queries == nullptr;
  if (points_gradient != nullptr) transpose(lists, incoming);
  with_padded_dimensions(AllDimensions(), lists.dimensions, [&]<int kDimensions>() {
    const Gather<T, kDimensions> gather{lists, weight, incoming};
    if (points_gradient != nullptr) {
      for_each_row(lists.num_points, [&](std::int64_t row) {
        Sum<T, kDimensions> own, from_others;
        if (self) gather.add_own(row, own);
        gather.add_incoming(row, from_others);
        const T *const a = own.value(), *const b = from_others.value();
        for (int d = 0; d < kDimensions; ++d) points_gradient[row * kDimensions + d] = a[d] + b[d];
      });
    }
    if (!self && queries_gradient != nullptr) {
      for_each_row(lists.num_queries, [&](std::int64_t row) {
        Sum<T, kDimensions> own;
        gather.add_own(row, own);
        std::copy_n(own.value(), kDimensions, queries_gradient + row * kDimensions);
      });
    }
  });
}

template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out) {
  const bool self = lists.queries == nullptr;
  const T* const u = self ? points_tangent : queries_tangent;
  with_padded_dimensions(AllDimensions(), lists.dimensions, [&]<int kDimensions>() {
    constexpr T kZero[kDimensions] = {};
    const Gather<T, kDimensions> gather{lists, nullptr};
    for_each_row(num_rows(lists), [&](std::int64_t row) {
      const T* const q = gather.query(row);
      const T* const along_q = u != nullptr ? u + row * kDimensions : kZero;
      for (std::int64_t e = first_entry(lists, row); e < first_entry(lists, row + 1); ++e) {
        T sum = 0;
        if (lists.index[e] >= 0) {
          const T* const p = gather.point(lists.index[e]);
          const T* const along_p = points_tangent != nullptr
                                       ? points_tangent + static_cast<std::int64_t>(lists.index[e]) * kDimensions
                                       : kZero;
          for (int d = 0; d < kDimensions; ++d) sum += tangent_term(q[d], p[d], along_q[d], along_p[d]);
        }
        out[e] = T(2) * sum;
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
