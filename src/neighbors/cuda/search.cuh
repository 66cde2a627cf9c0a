#pragma once

#include "cuda/launch.cuh"
#include "neighbors/cuda/search.h"
#include "neighbors/cuda/select.cuh"
#include "neighbors/formulas.h"

namespace starling::neighbors::cuda {

/// Threads of a block that finds so many neighbours per query; wide lists take more shared memory.
template <int kMaxNeighbors>
inline constexpr int kSearchThreads = kMaxNeighbors <= 64 ? 128 : 64;
inline constexpr int kCountThreads = 128;
/// More neighbours than this are found by long_lists.cuh.
inline constexpr int kMaxWarpNeighbors = 512;

/// The row of a query. Points that are queries come in tree order, so that warps that run together read the same
/// leaves.
template <typename T>
__device__ inline std::int32_t query_row(const Search<T>& search, int number) {
  if (search.queries != nullptr) return number;
  const std::int32_t entry = search.tree.order[number];
  return entry < 0 ? ~entry : entry;
}

/// One query of a warp, or of a block.
template <typename T, int kDimensions>
struct Query {
  std::int32_t row;
  int self = -1;  // its place in the tree, where it is one of the points
  Row<T, kDimensions> x;
  unsigned first = 0, last = 0;  // places of its event
  bool active = true;

  __device__ Query(const Search<T>& search, int number) {
    row = query_row(search, number);
    if (search.queries == nullptr) {
      self = number;
      x = load_row<T, kDimensions>(search.tree.points, row, search.tree.dimensions);
      if (search.direction != nullptr) active = uniform(has_neighbors(search.direction, row));
    } else {
      x = load_row<T, kDimensions>(search.queries, row, search.tree.dimensions);
    }
    const std::int32_t* const splits = search.queries == nullptr ? search.row_splits : search.query_row_splits;
    if (search.row_splits == nullptr) {
      last = search.tree.num_points;
    } else {
      const int event = splits == nullptr ? 0 : find_event(splits, search.num_events, number);
      first = uniform(search.row_splits[event]);
      last = uniform(search.row_splits[event + 1]);
    }
  }

  /// Whether the point at a place is of the query's event.
  __device__ bool shares_event(int place) const {
    return (static_cast<unsigned>(place) >= first) & (static_cast<unsigned>(place) < last);
  }
  /// The same, and is not the query itself.
  __device__ bool may_have(int place) const { return shares_event(place) & (place != self); }
};

/// Squared distance of the lane's point in a leaf; NaN, for which every comparison is false, for a point that is no
/// candidate.
template <typename T, int kDimensions>
__device__ inline T leaf_distance2(const Tree<T>& tree, const Row<T, kDimensions>& q, int place) {
  if constexpr (is_copied<T>(kDimensions)) {
    return distance2(q, load_padded<T, kDimensions>(tree.sorted, place));
  } else {
    const std::int32_t row = tree.order[place];
    return row < 0 ? not_a_number<T>() : distance2(q, load_row<T, kDimensions>(tree.points, row, tree.dimensions));
  }
}

/// Leaves, and quarters of leaves, that a warp has still to visit.
struct Lists {
  static constexpr int kFull = 32;  // leaves that are visited together
  int leaf[2 * kFull];
  int quarter[4 * kFull + 8];
};

/// The children of a node, one per lane, that are within a bound, taken as they come.
template <typename T>
class Children {
 public:
  Children() = default;
  /// Those outside first .. last are left out.
  template <int kDimensions>
  __device__ __forceinline__ Children(const Tree<T>& tree, int level, int node, const Row<T, kDimensions>& q, int first,
                                      int last, T bound)
      : begin_(node * kChildren) {
    const int child = begin_ + static_cast<int>(threadIdx.x % 32);
    const int there = min(child, last);  // any box that can be read
    distance2_ = box_distance2(q, load_padded<T, kDimensions>(tree.low[level], there),
                               load_padded<T, kDimensions>(tree.high[level], there));
    left_ = __ballot_sync(kWarp, (distance2_ <= bound) & (child >= first) & (child <= last));
  }
  __device__ bool any() const { return left_ != 0; }
  __device__ unsigned left() const { return left_; }
  /// Removes one of them and returns it. The highest first: that takes an instruction less than the lowest.
  __device__ int take() {
    const int bit = 31 - __clz(left_);
    left_ &= ~(1u << bit);
    return begin_ + bit;
  }
  /// The nearest of them and its d², where there is one.
  __device__ void nearest(int& child, T& distance2) const {
    const int lane = threadIdx.x % 32;
    const auto none = ~typename Bits<T>::Type(0);
    const auto mine = (left_ >> lane & 1) != 0 ? to_bits(distance2_) : none;
    const auto least = warp_min(mine);
    if (least == none) return;
    child = begin_ + __ffs(static_cast<int>(__ballot_sync(kWarp, mine == least))) - 1;
    distance2 = from_bits(least);
  }
  __device__ void leave_out(int child) {
    if (child >= begin_ && child < begin_ + kChildren) left_ &= ~(1u << (child - begin_));
  }
  /// Leaves out the groups at the bound or beyond it in which no row is below `end`.
  __device__ void drop_rows_from(const Tree<T>& tree, T bound, std::uint32_t end) {
    const int lane = threadIdx.x % 32;
    bool keep = (left_ >> lane & 1) != 0;
    if (keep) keep = distance2_ < bound || static_cast<std::uint32_t>(tree.min_row[begin_ + lane]) < end;
    left_ = __ballot_sync(kWarp, keep);
  }
  /// Takes the groups or regions that lie within the radius and in the query's event as a whole. Returns the number of
  /// possible neighbours in the lane's, the query included.
  template <int kDimensions>
  __device__ int take_whole(const Tree<T>& tree, int level, const Query<T, kDimensions>& query, T radius2) {
    const int lane = threadIdx.x % 32, child = begin_ + lane;
    const unsigned points = level == kGroupLevel ? kGroupPoints : kRegionPoints;
    const unsigned begin = static_cast<unsigned>(child) * points, end = begin + points;
    bool whole = (left_ >> lane & 1) != 0 && begin >= query.first && end <= query.last;
    if (whole)
      whole = far_distance2(query.x, load_padded<T, kDimensions>(tree.low[level], child),
                            load_padded<T, kDimensions>(tree.high[level], child)) <= radius2;
    left_ &= ~__ballot_sync(kWarp, whole);
    return whole ? tree.num_candidates[level][child] : 0;
  }
  __device__ void drop_beyond(T bound) { left_ &= __ballot_sync(kWarp, distance2_ <= bound); }

 private:
  int begin_ = 0;
  T distance2_ = 0;
  unsigned left_ = 0;
};

/// Calls visit(place, d², place, d²) with each lane's points of eight quarters at a time, of those quarters of the
/// listed leaves that the bound does not exclude; a d² is NaN where there is no point.
template <typename T, int kDimensions, typename Bound, typename Visit>
__device__ __forceinline__ void visit_leaves(const Tree<T>& tree, const Row<T, kDimensions>& q, Lists& lists,
                                             int leaves, const Bound& bound, const Visit& visit) {
  const int lane = threadIdx.x % 32;
  for (int tested = 0; tested < leaves;) {
    int quarters = 0;
#pragma unroll 1
    for (int i = 0; i < 4 && tested < leaves; ++i, tested += 8) {
      const int number = tested + lane / kQuarters;
      const int quarter = lists.leaf[min(number, leaves - 1)] * kQuarters + lane % kQuarters;
      const T d2 = box_distance2(q, load_padded<T, kDimensions>(tree.low[kQuarterLevel], quarter),
                                 load_padded<T, kDimensions>(tree.high[kQuarterLevel], quarter));
      const bool take = (number < leaves) & (d2 <= bound());
      const unsigned takers = __ballot_sync(kWarp, take);
      if (take) lists.quarter[quarters + __popc(takers & lanes_before(lane))] = quarter;
      quarters += __popc(takers);
    }
    if (lane < 8) lists.quarter[quarters + lane] = tree.nowhere();
    __syncwarp();
    const int* number = lists.quarter + lane / kQuarterPoints;
#pragma unroll 1
    for (int first = 0; first < quarters; first += 8, number += 8) {
      const int place_a = number[0] * kQuarterPoints + lane % kQuarterPoints;
      const int place_b = number[4] * kQuarterPoints + lane % kQuarterPoints;
      const T d2_a = leaf_distance2(tree, q, place_a), d2_b = leaf_distance2(tree, q, place_b);
      visit(place_a, d2_a, place_b, d2_b);
    }
    __syncwarp();
  }
}

/// Aligned leaves of one group around a place.
struct Window {
  int group = -1;       // none
  unsigned leaves = 0;  // one a bit
};

/// Visits all leaves that neither the bound nor filter(groups or regions, level) excludes, but for those of the window:
/// first the rest of the window's group, then everything in the order of the tree, since by then the bound is so good
/// that sorting would not save anything. Each piece of code is there once: instructions that do not fit in the cache
/// cost more than those that are executed.
template <typename T, int kDimensions, typename Bound, typename Filter, typename Visit>
__device__ __forceinline__ void walk(const Tree<T>& tree, const Query<T, kDimensions>& query, const Window& window,
                                     Lists& lists, const Bound& bound, const Filter& filter, const Visit& visit) {
  if (query.first >= query.last) return;
  const int lane = threadIdx.x % 32;
  const unsigned last = query.last - 1;
  const unsigned last_start = last / kRegionPoints / kChildren;  // of 32 regions
  unsigned start = query.first / kRegionPoints / kChildren;
  Children<T> regions, groups;
  const auto next_group = [&] {
    while (!groups.any()) {
      while (!regions.any()) {
        if (start > last_start) return -1;
        regions = Children<T>(tree, kRegionLevel, start++, query.x, query.first / kRegionPoints, last / kRegionPoints,
                              bound());
        filter(regions, kRegionLevel);
      }
      groups = Children<T>(tree, kGroupLevel, regions.take(), query.x, query.first / kGroupPoints, last / kGroupPoints,
                           bound());
      groups.leave_out(window.group);
      filter(groups, kGroupLevel);
    }
    return groups.take();
  };

  bool in_window = window.group >= 0;
  while (true) {
    int leaves = 0;
    groups.drop_beyond(bound());
    regions.drop_beyond(bound());
    do {
      const int group = in_window ? window.group : next_group();
      if (group < 0) break;
      const Children<T> found(tree, kLeafLevel, group, query.x, query.first / kLeafPoints, last / kLeafPoints, bound());
      const unsigned near = found.left() & ~(in_window ? window.leaves : 0);
      if ((near >> lane & 1) != 0) lists.leaf[leaves + __popc(near & lanes_before(lane))] = group * kChildren + lane;
      leaves += __popc(near);
    } while (!in_window && leaves <= Lists::kFull);
    if (leaves == 0 && !in_window) return;
    in_window = false;
    __syncwarp();
    visit_leaves(tree, query.x, lists, leaves, bound, visit);
  }
}

template <typename T>
__device__ inline void write_none(const Search<T>& search, std::int64_t begin, int from, int to, int lane, int step) {
  for (int i = from + lane; i < to; i += step) {
    search.index[begin + i] = -1;
    search.distance2[begin + i] = infinity<T>();
  }
}

/// A place near a query that is not one of the points: in the nearest leaf of the nearest group of the nearest region.
template <typename T, int kDimensions>
__device__ __forceinline__ int place_near(const Tree<T>& tree, const Query<T, kDimensions>& query) {
  const unsigned last = query.last - 1;
  int nearest = query.first / kRegionPoints;
  T distance2 = infinity<T>();
#pragma unroll 1
  for (unsigned start = nearest / kChildren; start <= last / kRegionPoints / kChildren; ++start)
    Children<T>(tree, kRegionLevel, start, query.x, query.first / kRegionPoints, last / kRegionPoints, distance2)
        .nearest(nearest, distance2);
#pragma unroll 1
  for (int level = kGroupLevel; level >= kLeafLevel; --level) {
    const unsigned points = level == kGroupLevel ? kGroupPoints : kLeafPoints;
    distance2 = infinity<T>();
    Children<T>(tree, level, nearest, query.x, query.first / points, last / points, distance2)
        .nearest(nearest, distance2);
  }
  return nearest * kLeafPoints;
}

/// Takes the points of aligned leaves around a place, about four times as many as neighbours are wanted: a first bound.
template <typename T, int kDimensions, int kMaxNeighbors>
__device__ __forceinline__ Window look_around(const Search<T>& search, const Query<T, kDimensions>& query, int place,
                                              Nearest<T, kMaxNeighbors>& nearest) {
  constexpr int kLeaves = kMaxNeighbors <= 128 ? kMaxNeighbors / 8 : 16;
  const unsigned first_leaf = static_cast<unsigned>(place) / (kLeafPoints * kLeaves) * kLeaves;
  const unsigned begin = first_leaf * kLeafPoints, end = begin + kLeaves * kLeafPoints;
  const int first = static_cast<int>(begin + threadIdx.x % 32);
  T d2[kLeaves];
#pragma unroll
  for (int i = 0; i < kLeaves; ++i) d2[i] = leaf_distance2(search.tree, query.x, first + i * kLeafPoints);
#pragma unroll
  for (int i = 0; i < kLeaves; ++i)
    if (first == query.self - i * kLeafPoints) d2[i] = not_a_number<T>();
  int count = kLeaves * kLeafPoints - (query.self >= 0);
  if (begin < query.first || end > query.last || search.direction != nullptr || search.radius2 < infinity<T>()) {
    count = 0;
#pragma unroll
    for (int i = 0; i < kLeaves; ++i) {
      if (!(d2[i] <= search.radius2) || !query.may_have(first + i * kLeafPoints)) d2[i] = not_a_number<T>();
      count += d2[i] <= search.radius2;
    }
    count = __reduce_add_sync(kWarp, count);
  }
  const bool taken = nearest.take(d2, first, count);
  return {static_cast<int>(first_leaf / kChildren), taken ? ((1u << kLeaves) - 1) << first_leaf % kChildren : 0};
}

/// Writes the k nearest of one query.
template <typename T, int kDimensions, int kMaxNeighbors>
__device__ __forceinline__ void nearest_of(const Search<T>& search, int number, int above, Key<T>* keys, Lists& lists) {
  const int lane = threadIdx.x % 32;
  const std::int32_t row = query_row(search, number);
  int k = search.k;
  std::int64_t begin = static_cast<std::int64_t>(row) * k;
  if (search.neighbor_row_splits != nullptr) {
    begin = search.neighbor_row_splits[row];
    const std::int64_t length = search.neighbor_row_splits[row + 1] - begin;
    if (length <= above || length > kMaxNeighbors) return;
    k = uniform(static_cast<int>(length));
  }
  const Query<T, kDimensions> query(search, number);
  if (!query.active) {
    write_none(search, begin, 0, k, lane, 32);
    return;
  }

  Nearest<T, kMaxNeighbors> nearest(keys, k, search.radius2, search.tree.order);
  if (query.self >= 0 && search.loop) nearest.push_one({T(0), Nearest<T, kMaxNeighbors>::kSelf});
  Window window;  // none for a row of a radius search, which is as long as what lies within the radius
  if (search.neighbor_row_splits == nullptr && query.first < query.last)
    window = look_around(search, query, query.self >= 0 ? query.self : place_near(search.tree, query), nearest);
  walk(
      search.tree, query, window, lists, [&] { return nearest.bound(); },
      [&](Children<T>& groups, int level) {  // without it, points that coincide would all be visited
        if (level == kGroupLevel && nearest.cuts_ties())
          groups.drop_rows_from(search.tree, nearest.bound(), nearest.bound_tie());
      },
      [&](int place_a, T d2_a, int place_b, T d2_b) {
        nearest.push(query.may_have(place_a), {d2_a, static_cast<std::uint32_t>(place_a)}, query.may_have(place_b),
                     {d2_b, static_cast<std::uint32_t>(place_b)});
        nearest.settle();
      });
  nearest.finish([&](int i, T distance2, std::uint32_t rank) {
    search.index[begin + i] = rank == 0 ? query.row : static_cast<std::int32_t>(rank - 1);
    search.distance2[begin + i] = distance2;
  });
  write_none(search, begin, nearest.size(), k, lane, 32);
}

/// A pointer into shared memory that stays in a register. Else the compiler computes its address at each use, in five
/// instructions and a branch around them.
template <typename U>
__device__ __forceinline__ U* in_register(U* shared) {
  const int address = uniform(static_cast<int>(__cvta_generic_to_shared(shared)));
  return static_cast<U*>(__cvta_shared_to_generic(static_cast<std::size_t>(address)));
}

/// Blocks that should fit on a multiprocessor: more warps, which hide each other's latency, gain more than registers.
template <typename T, int kDimensions, int kMaxNeighbors>
inline constexpr int kWantedBlocks = !is_copied<T>(kDimensions) || sizeof(T) > 4 ? 1
                                     : kDimensions > 8                           ? 12
                                     : kMaxNeighbors <= 128                      ? 16
                                                                                 : 12;

/// The k nearest, one query per warp. Where search.neighbor_row_splits is set, of the queries with more than `above`
/// and at most kMaxNeighbors.
template <typename T, int kDimensions, int kMaxNeighbors>
__global__ void __launch_bounds__(kSearchThreads<kMaxNeighbors>, (kWantedBlocks<T, kDimensions, kMaxNeighbors>))
    nearest_kernel(const __grid_constant__ Search<T> search, int above) {
  constexpr int kWarps = kSearchThreads<kMaxNeighbors> / 32;
  __shared__ Key<T> keys[kWarps][Nearest<T, kMaxNeighbors>::kCapacity];
  __shared__ Lists lists[kWarps];
  const int warp = uniform(threadIdx.x / 32);
  const int number = blockIdx.x * kWarps + warp;
  if (number >= search.num_queries) return;
  after_previous();
  nearest_of<T, kDimensions, kMaxNeighbors>(search, number, above, in_register(keys[warp]), *in_register(&lists[warp]));
}

/// Counts the neighbours within the radius, one query per warp. Groups and regions that are within it as a whole are
/// not opened, so that only what crosses the sphere costs time.
template <typename T, int kDimensions>
__global__ void __launch_bounds__(kCountThreads) count_kernel(const __grid_constant__ Search<T> search) {
  __shared__ Lists lists[kCountThreads / 32];
  const int lane = threadIdx.x % 32;
  const int warp = uniform(threadIdx.x / 32);
  const int number = blockIdx.x * (kCountThreads / 32) + warp;
  if (number >= search.num_queries) return;
  const Query<T, kDimensions> query(search, number);
  int mine = 0;
  if (query.active)
    walk(
        search.tree, query, Window{}, lists[warp], [&] { return search.radius2; },
        [&](Children<T>& nodes, int level) { mine += nodes.take_whole(search.tree, level, query, search.radius2); },
        [&](int place_a, T d2_a, int place_b, T d2_b) {
          mine += d2_a <= search.radius2 && query.shares_event(place_a);
          mine += d2_b <= search.radius2 && query.shares_event(place_b);
        });
  int total = __reduce_add_sync(kWarp, mine);
  if (lane != 0) return;
  // A query that may be a neighbour has counted itself, unless it is not finite.
  if (query.active && query.self >= 0) total = max(total - (search.tree.order[query.self] >= 0) + search.loop, 0);
  search.count[query.row] = min(total, search.k);
  if (search.found != nullptr) search.found[query.row] = total;
}

}  // namespace starling::neighbors::cuda
