#pragma once

#include "neighbors/launch_after.cuh"
#include "neighbors/select.cuh"

namespace starling::neighbors_cuda {

inline constexpr int kSearchThreads = 64;
/// More neighbours than this are found by large_k.cuh.
inline constexpr int kMaxWarpNeighbors = 512;

template <typename T>
struct Search {
  Tree<T> tree;
  const std::int32_t* row_splits = nullptr;
  int num_events = 1;
  const T* queries = nullptr;  // nullptr: the points are the queries
  int num_queries = 0;
  const std::int32_t* query_row_splits = nullptr;
  const std::int8_t* direction = nullptr;
  bool loop = true;
  T radius2 = 0;
  int k = 0;  // knn; radius_count: the largest count
  // Consecutive queries of a warp. Where there are several, each searches at first within the d² of the k-th neighbour
  // of the one before times `reach`, which is quicker; where that holds fewer than k, it searches again.
  int queries_each = 1;
  float reach = 1;
  const std::int64_t* neighbor_row_splits = nullptr;  // radius_fill: replaces k
  std::int32_t* index = nullptr;
  T* distance2 = nullptr;
  std::int32_t* count = nullptr;
  std::int32_t* found = nullptr;
};

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
  int first = 0, last = 0;  // places of its event
  bool active = true;

  __device__ Query(const Search<T>& search, int number) {
    row = query_row(search, number);
    if (search.queries == nullptr) {
      self = number;
      x = load_row<T, kDimensions>(search.tree.points, row, search.tree.dimensions);
      if (search.direction != nullptr) active = uniform(search.direction[row] == 0 || search.direction[row] == 2);
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

  /// Whether the point at a place is of the query's event and not the query itself.
  __device__ bool may_have(int place) const { return (place >= first) & (place < last) & (place != self); }
};

/// Squared distance of the lane's point in a leaf; NaN, which no comparison meets, for a point that is no candidate.
template <typename T, int kDimensions>
__device__ inline T leaf_distance2(const Tree<T>& tree, const Row<T, kDimensions>& q, int place) {
  if constexpr (kCopied<T, kDimensions>) {
    return distance2(q, load_padded<T, kDimensions>(tree.sorted, place));
  } else {
    const std::int32_t row = tree.order[place];
    return row < 0 ? not_a_number<T>() : distance2(q, load_row<T, kDimensions>(tree.points, row, tree.dimensions));
  }
}

/// The children of up to kSlots nodes of a level, one of each a lane, by distance.
template <typename T, int kSlots>
class Frontier {
 public:
  using B = typename Bits<T>::Type;

  /// Of the nodes that next() yields, kSlots or as many as there are. Children outside first .. last are left out.
  template <int kDimensions, typename Next>
  __device__ __forceinline__ Frontier(const Tree<T>& tree, int child_level, const Row<T, kDimensions>& q, int first,
                                      int last, const Next& next) {
    const int lane = threadIdx.x % 32;
    nodes_ = 0;
    empty_ = true;
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      key_[slot] = kNone;
      const int node = next();
      if (node < 0) continue;
      empty_ = false;
      if (lane == slot) nodes_ = node;
      const int child = node * kChildren + lane;
      if (child >= first && child <= last)
        key_[slot] = (to_bits(box_distance2(q, load_padded<T, kDimensions>(tree.low[child_level], child),
                                            load_padded<T, kDimensions>(tree.high[child_level], child))) &
                      ~kWhich) |
                     (slot * 32 + lane);
    }
    if constexpr (kSlots == 2) order(0, 1);
    if constexpr (kSlots == 4) {
      order(0, 1);
      order(2, 3);
      order(0, 2);
      order(1, 3);
      order(1, 2);
    }
  }

  __device__ bool empty() const { return empty_; }

  /// The nearest child not taken yet, or −1 where none is within the bound. All lanes get the same.
  __device__ __forceinline__ int take(T bound) {
    const B nearest = warp_min(key_[0]);
    if ((nearest & ~kWhich) > to_bits(bound)) return -1;
    if (key_[0] == nearest) {
#pragma unroll
      for (int slot = 0; slot + 1 < kSlots; ++slot) key_[slot] = key_[slot + 1];
      key_[kSlots - 1] = kNone;
    }
    const int which = static_cast<int>(nearest & kWhich);
    return __shfl_sync(kWarp, nodes_, which / 32) * kChildren + which % 32;
  }

 private:
  static_assert(kSlots == 1 || kSlots == 2 || kSlots == 4);
  // The last bits of a distance give way to slot and lane: that rounds it down, so a child is never missed.
  static constexpr B kWhich = kSlots * 32 - 1;
  static constexpr B kNone = ~B(0);

  __device__ __forceinline__ void order(int a, int b) {
    const B smaller = min(key_[a], key_[b]);
    key_[b] = max(key_[a], key_[b]);
    key_[a] = smaller;
  }

  B key_[kSlots];  // ascending
  int nodes_;      // lane s holds the node of slot s
  bool empty_;
};

/// Calls visit(place, d², place, d²) with each lane's points of two leaves at a time, near ones first, until the bound
/// excludes the rest; a d² is NaN where there is no second leaf. Four regions, then two groups at a time share one
/// order: the bound is nearly final after a few leaves, so the order decides how many more are visited.
template <typename T, int kDimensions, typename Bound, typename Visit>
__device__ __forceinline__ void walk(const Tree<T>& tree, const Query<T, kDimensions>& query, const Bound& bound,
                                     const Visit& visit) {
  if (query.first >= query.last) return;
  const int lane = threadIdx.x % 32;
  const int last = query.last - 1;
  const int first_region = query.first / kRegionPoints, last_region = last / kRegionPoints;
  int start = first_region / kChildren;  // of 32 regions
  while (start <= last_region / kChildren) {
    Frontier<T, 1> regions(tree, 2, query.x, first_region, last_region,
                           [&] { return start <= last_region / kChildren ? start++ : -1; });
    while (true) {
      Frontier<T, 4> groups(tree, 1, query.x, query.first / kGroupPoints, last / kGroupPoints,
                            [&] { return regions.take(bound()); });
      if (groups.empty()) break;
      while (true) {
        Frontier<T, 2> leaves(tree, 0, query.x, query.first / kLeafPoints, last / kLeafPoints,
                              [&] { return groups.take(bound()); });
        if (leaves.empty()) break;
        // Two leaves at a time: their loads overlap.
        for (int leaf = leaves.take(bound()); leaf >= 0; leaf = leaves.take(bound())) {
          const int other = leaves.take(bound());
          const int place = leaf * kLeafPoints + lane;
          const int other_place = (other < 0 ? leaf : other) * kLeafPoints + lane;
          const T d2 = leaf_distance2(tree, query.x, place);
          const T other_d2 = leaf_distance2(tree, query.x, other_place);
          visit(place, d2, other_place, other < 0 ? not_a_number<T>() : other_d2);
        }
      }
    }
  }
}

/// The children of a node, one a lane, that are within a bound, taken as they come.
template <typename T>
class Children {
 public:
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
  /// One of them, and of none the first child. The highest first: that takes an instruction less than the lowest.
  __device__ int take() {
    const int bit = 31 - __clz(left_ | 1);
    left_ &= ~(1u << bit);
    return begin_ + bit;
  }
  __device__ void drop_beyond(T bound) { left_ &= __ballot_sync(kWarp, distance2_ <= bound); }

 private:
  int begin_;
  T distance2_;
  unsigned left_;
};

/// The same as walk(), in the order of the tree: for a bound that is good from the start, when sorting would not save
/// anything.
template <typename T, int kDimensions, typename Bound, typename Visit>
__device__ __forceinline__ void walk_in_order(const Tree<T>& tree, const Query<T, kDimensions>& query,
                                              const Bound& bound, const Visit& visit) {
  if (query.first >= query.last) return;
  const int lane = threadIdx.x % 32;
  const int last = query.last - 1;
  const int first_region = query.first / kRegionPoints, last_region = last / kRegionPoints;
  for (int start = first_region / kChildren; start <= last_region / kChildren; ++start) {
    Children<T> regions(tree, 2, start, query.x, first_region, last_region, bound());
    while (regions.any()) {
      Children<T> groups(tree, 1, regions.take(), query.x, query.first / kGroupPoints, last / kGroupPoints, bound());
      while (groups.any()) {
        Children<T> leaves(tree, 0, groups.take(), query.x, query.first / kLeafPoints, last / kLeafPoints, bound());
        // Four at a time, so that their loads overlap; where there are fewer, the group's first stands in unseen.
        while (leaves.any()) {
          int place[4];
          T d2[4];
          bool there[4];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            there[i] = leaves.any();
            place[i] = leaves.take() * kLeafPoints + lane;
          }
#pragma unroll
          for (int i = 0; i < 4; ++i) d2[i] = leaf_distance2(tree, query.x, place[i]);
#pragma unroll
          for (int i = 1; i < 4; ++i)
            if (!there[i]) d2[i] = not_a_number<T>();
          const T before = bound();
#pragma unroll 1  // or there would be twice the code
          for (bool more = true; more; there[2] = false) {
            visit(place[0], d2[0], place[1], d2[1]);
            place[0] = place[2];
            d2[0] = d2[2];
            place[1] = place[3];
            d2[1] = d2[3];
            more = there[2];
          }
          if (!(bound() < before)) continue;
          leaves.drop_beyond(bound());
          groups.drop_beyond(bound());
          regions.drop_beyond(bound());
        }
      }
    }
  }
}

template <typename T>
__device__ inline void write_none(const Search<T>& search, std::int64_t begin, int from, int to, int lane, int step) {
  for (int i = from + lane; i < to; i += step) {
    search.index[begin + i] = -1;
    search.distance2[begin + i] = infinity<T>();
  }
}

/// Writes the k nearest of one query. `known` is the d² of the k-th neighbour of a query near it, or infinity; returns
/// that of this one.
template <typename T, int kDimensions, int kMaxNeighbors>
__device__ __forceinline__ T nearest_of(const Search<T>& search, int number, int above, Key<T>* keys, T known) {
  const int lane = threadIdx.x % 32;
  const std::int32_t row = query_row(search, number);
  int k = search.k;
  std::int64_t begin = static_cast<std::int64_t>(row) * k;
  if (search.neighbor_row_splits != nullptr) {
    begin = search.neighbor_row_splits[row];
    const std::int64_t length = search.neighbor_row_splits[row + 1] - begin;
    if (length <= above || length > kMaxNeighbors) return known;
    k = uniform(static_cast<int>(length));
  }
  const Query<T, kDimensions> query(search, number);
  if (!query.active) {
    write_none(search, begin, 0, k, lane, 32);
    return known;
  }

  Nearest<T, kMaxNeighbors> nearest(keys, k, search.tree.order);
  const auto start = [&](T limit) {
    nearest.begin(limit);
    if (query.self >= 0 && search.loop) nearest.push_one({T(0), 0});
  };
  const auto bound = [&] { return nearest.bound(); };
  const auto visit = [&](int place_a, T d2_a, int place_b, T d2_b) {
    bool take_a = d2_a <= nearest.bound(), take_b = d2_b <= nearest.bound();
    if (!__any_sync(kWarp, take_a | take_b)) return;
    const Key<T> a{d2_a, static_cast<std::uint32_t>(place_a) + 1}, b{d2_b, static_cast<std::uint32_t>(place_b) + 1};
    // Bitwise: what a branch would save costs less than the branch.
    take_a = take_a & query.may_have(place_a);
    take_b = take_b & query.may_have(place_b);
    if (nearest.cuts_ties()) {
      take_a = take_a && nearest.admits(a);
      take_b = take_b && nearest.admits(b);
    }
    nearest.push(take_a, a, take_b, b);
    nearest.settle();
  };
  // A row of a radius search is as long as what lies within the radius.
  const bool bounded = search.neighbor_row_splits != nullptr;
  T limit = bounded ? search.radius2 : known * search.reach;
  bool found = false;
  for (int attempt = 0; attempt < 2 && !found && (bounded || limit < search.radius2); ++attempt) {
    start(limit);
    walk_in_order(search.tree, query, bound, visit);
    found = nearest.size() >= k;
    // Next, as far as twice as many as needed would be in an even cloud.
    const float more = 2.0f * static_cast<float>(k) / static_cast<float>(nearest.size() + 1);
    limit *= fminf(__powf(more, 2.0f / static_cast<float>(search.tree.dimensions)), 4.0f);
  }
  if (!found) {
    start(search.radius2);
    walk(search.tree, query, bound, visit);
  }
  nearest.finish();

#pragma unroll 1  // one or two rounds
  for (int i = lane; i < k; i += 32) {
    Key<T> key{infinity<T>(), 0};
    std::int32_t index = -1;
    if (i < nearest.size()) {
      key = nearest[i];
      index = key.tie == 0 ? query.row : static_cast<std::int32_t>(key.tie - 1);
    }
    search.index[begin + i] = index;
    search.distance2[begin + i] = key.distance2;
  }
  return nearest.size() < k ? infinity<T>() : nearest[k - 1].distance2;
}

/// The k nearest, search.queries_each queries a warp. Where search.neighbor_row_splits is set, of the queries with more
/// than `above` and at most kMaxNeighbors.
template <typename T, int kDimensions, int kMaxNeighbors>
__global__ void __launch_bounds__(kSearchThreads) nearest_kernel(const __grid_constant__ Search<T> search, int above) {
  constexpr int kWarps = kSearchThreads / 32;
  __shared__ Key<T> keys[kWarps][Nearest<T, kMaxNeighbors>::kCapacity];
  const int warp = uniform(threadIdx.x / 32);
  const int first = (blockIdx.x * kWarps + warp) * search.queries_each;
  const int last = min(first + search.queries_each, search.num_queries);
  after_previous();
  T known = infinity<T>();
  for (int number = first; number < last; ++number) {
    known = nearest_of<T, kDimensions, kMaxNeighbors>(search, number, above, keys[warp], known);
    __syncwarp();  // all lanes have read the keys
  }
}

/// Counts the neighbours within the radius of a query a warp.
template <typename T, int kDimensions>
__global__ void __launch_bounds__(kSearchThreads) count_kernel(const __grid_constant__ Search<T> search) {
  const int lane = threadIdx.x % 32;
  const int number = blockIdx.x * (kSearchThreads / 32) + uniform(threadIdx.x / 32);
  if (number >= search.num_queries) return;
  const Query<T, kDimensions> query(search, number);
  int mine = lane == 0 && query.active && query.self >= 0 && search.loop;
  if (query.active)
    walk_in_order(
        search.tree, query, [&] { return search.radius2; },
        [&](int place_a, T d2_a, int place_b, T d2_b) {
          mine += d2_a <= search.radius2 && query.may_have(place_a);
          mine += d2_b <= search.radius2 && query.may_have(place_b);
        });
  const int total = __reduce_add_sync(kWarp, mine);
  if (lane != 0) return;
  search.count[query.row] = min(total, search.k);
  if (search.found != nullptr) search.found[query.row] = total;
}

}  // namespace starling::neighbors_cuda
