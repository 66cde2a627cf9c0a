#pragma once

#include "neighbors/cuda/best_row.cuh"
#include "neighbors/cuda/search.cuh"

namespace starling::neighbors::cuda {

inline constexpr int kLongThreads = 64;
inline constexpr int kLongBatch = 256;

/// As Nearest, for more neighbours than fit in shared memory: candidates are collected there, then merged into the row
/// of the output, the last of which is the next bound.
template <typename T>
class LongNearest {
 public:
  __device__ LongNearest(Key<T>* keys, const BestRow<T>& best, T limit, const std::int32_t* order)
      : keys_(keys), best_(best), order_(order), bound_{limit, kWarp} {}

  __device__ T bound() const { return bound_.distance2; }
  __device__ int size() const { return best_.size(); }
  __device__ bool cuts_ties() const { return best_.full(); }
  /// No candidate at the bound with this row or a later one is wanted then.
  __device__ std::uint32_t bound_tie() const { return bound_.tie; }

  /// Takes up the point at each lane's place where it is wanted and within the bound.
  __device__ void push(bool want, T distance2, int place) {
    Key<T> key{distance2, kWarp};
    bool take = want & (distance2 <= bound_.distance2);
    if (take) {
      key.tie = static_cast<std::uint32_t>(order_[place]);
      take = !cuts_ties() || key < bound_;
    }
    const unsigned takers = __ballot_sync(kWarp, take);
    if (take) keys_[number_ + __popc(takers & lanes_before(threadIdx.x % 32))] = key;
    number_ += __popc(takers);
    __syncwarp();
    if (number_ > kLongBatch - 32) settle();
  }

  __device__ void settle() {
    if (number_ == 0) return;
    sort_shared(keys_, number_);
    best_.merge(keys_, number_);
    number_ = 0;
    if (best_.full()) bound_ = best_.last();
  }

 private:
  Key<T>* keys_;  // [kLongBatch]
  BestRow<T> best_;
  const std::int32_t* order_;
  Key<T> bound_;
  int number_ = 0;
};

/// More than kMaxWarpNeighbors neighbours, one warp per query.
template <typename T, int kDimensions>
__global__ void __launch_bounds__(kLongThreads) long_kernel(const __grid_constant__ Search<T> search) {
  constexpr int kWarps = kLongThreads / 32;
  __shared__ Key<T> keys[kWarps][kLongBatch];
  __shared__ Lists lists[kWarps];
  const int warp = uniform(threadIdx.x / 32), lane = threadIdx.x % 32;
  const int number = blockIdx.x * kWarps + warp;
  if (number >= search.num_queries) return;
  const Query<T, kDimensions> query(search, number);
  std::int64_t k = search.k;
  std::int64_t begin = query.row * k;
  if (search.neighbor_row_splits != nullptr) {
    begin = search.neighbor_row_splits[query.row];
    k = search.neighbor_row_splits[query.row + 1] - begin;
    if (k <= kMaxWarpNeighbors) return;
  }
  if (!query.active) return write_none(search, begin, 0, static_cast<int>(k), lane, 32);
  if (query.self >= 0 && search.loop) {
    if (lane == 0) {
      search.index[begin] = query.row;
      search.distance2[begin] = 0;
    }
    ++begin;
    --k;
  }
  const auto capacity = static_cast<int>(k);
  LongNearest<T> nearest(keys[warp], {search.index + begin, search.distance2 + begin, capacity}, search.radius2,
                         search.tree.order);
  Window window;  // of no leaves: the group around is visited first
  if (query.first < query.last)
    window.group = (query.self >= 0 ? query.self : place_near(search.tree, query)) / kGroupPoints;
  walk(
      search.tree, query, window, lists[warp], [&] { return nearest.bound(); },
      [&](Children<T>& groups, int level) {
        if (level == kGroupLevel && nearest.cuts_ties())
          groups.drop_rows_from(search.tree, nearest.bound(), nearest.bound_tie());
      },
      [&](int place_a, T d2_a, int place_b, T d2_b) {
        nearest.push(query.may_have(place_a), d2_a, place_a);
        nearest.push(query.may_have(place_b), d2_b, place_b);
      });
  nearest.settle();
  write_none(search, begin, nearest.size(), capacity, lane, 32);
}

}  // namespace starling::neighbors::cuda
