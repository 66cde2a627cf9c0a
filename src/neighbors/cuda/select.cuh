#pragma once

#include "neighbors/cuda/tree.cuh"

namespace starling::neighbors::cuda {

/// A neighbour's rank in the order (d², self first, row).
template <typename T>
struct alignas(2 * sizeof(T)) Key {
  T distance2;
  std::uint32_t tie;  // 0 for the query itself, else row + 1
};

template <typename T>
__device__ inline bool operator<(const Key<T>& a, const Key<T>& b) {
  return a.distance2 < b.distance2 || (a.distance2 == b.distance2 && a.tie < b.tie);
}
// A float's key is one integer: half the instructions of two compares.
__device__ inline bool operator<(const Key<float>& a, const Key<float>& b) {
  const auto packed = [](const Key<float>& key) {
    return static_cast<std::uint64_t>(to_bits(key.distance2)) << 32 | key.tie;
  };
  return packed(a) < packed(b);
}

template <typename T>
__device__ inline Key<T> last_key() {
  return {infinity<T>(), kWarp};
}

template <typename T>
__device__ inline void exchange(Key<T>& a, Key<T>& b, bool ascending) {
  if ((b < a) == ascending) {
    const Key<T> other = a;
    a = b;
    b = other;
  }
}

/// Sorts keys in shared memory, with space for a power of two of them (bitonic). All lanes of a warp call it.
template <typename T>
__device__ inline void sort_shared(Key<T>* keys, int size) {
  const int lane = threadIdx.x % 32;
  int total = 32;
  while (total < size) total *= 2;
  for (int i = size + lane; i < total; i += 32) keys[i] = last_key<T>();
  __syncwarp();
  for (int length = 2; length <= total; length *= 2) {
    for (int step = length / 2; step > 0; step /= 2) {
      for (int pair = lane; pair < total / 2; pair += 32) {
        const int i = (pair & ~(step - 1)) * 2 | (pair & (step - 1));
        Key<T> a = keys[i], b = keys[i + step];
        exchange(a, b, (i & length) == 0);
        keys[i] = a;
        keys[i + step] = b;
      }
      __syncwarp();
    }
  }
}

/// The nearest candidates of one query so far, unordered, in shared memory of one warp.
///
/// Invariant: the k nearest of all candidates seen are in the buffer, and none of them is beyond the bound. A candidate
/// within the bound is appended. When the buffer is full, a bisection finds a smaller bound that at least k candidates
/// meet, and the others are removed. So a candidate costs one comparison, and only the k that remain in the end are
/// sorted. Until then a key's tie is the place in the tree, or kSelf: rows are looked up for the few that need them.
template <typename T, int kMaxNeighbors>
class Nearest {
 public:
  using B = typename Bits<T>::Type;
  static constexpr bool kInRegisters = kMaxNeighbors <= 256;  // is the list sorted
  static constexpr int kCapacity =
      kInRegisters ? 2 * kMaxNeighbors + (kMaxNeighbors <= 128 ? 64 : 128) : kMaxNeighbors + 256;
  static constexpr int kSlots = kCapacity / 32;
  static constexpr std::uint32_t kSelf = kWarp;

  /// No candidates beyond the limit will be taken.
  __device__ Nearest(Key<T>* keys, int k, T limit, const std::int32_t* order)
      : keys_(keys), order_(order), k_(k), bound_(limit), lane_(static_cast<int>(threadIdx.x % 32)) {}

  /// No candidate beyond it can be among the k nearest; those at it can, by their row.
  __device__ T bound() const { return bound_; }
  __device__ int size() const { return size_; }

  /// Whether rows decide about candidates at the bound.
  __device__ bool cuts_ties() const { return bound_tie_ != kWarp; }
  /// Then no candidate at the bound with this row or a later one can be among the k nearest.
  __device__ std::uint32_t bound_tie() const { return bound_tie_; }
  __device__ bool admits(const Key<T>& key) const {
    return key.distance2 < bound_ || (key.distance2 == bound_ && (!cuts_ties() || rank(key) <= bound_tie_));
  }

  /// Lowers the bound to what at least k of so many candidates meet, and appends those that do: each lane has one of
  /// every 32 places from `place` on; a d² is NaN where there is no candidate. Where so many are at the bound that
  /// there is no space for them, appends none and returns false.
  template <int kEach>
  __device__ __forceinline__ bool take(const T (&distance2)[kEach], int place, int count) {
    B value[kEach], sample[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) sample[e] = value[e] = to_bits(distance2[e]);
#pragma unroll
    for (int half = kEach / 2; half > 0; half /= 2)  // every e-th of a lane in kEach
#pragma unroll
      for (int e = 0; e < half; ++e) sample[e] = (lane_ & half) == 0 ? sample[e] : sample[e + half];
    if (count > k_ + slack()) bound_ = from_bits(lowest_bound(value, sample[0], 32 * kEach, slack(), count));
    if (size_ + count > full()) return false;
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      append(distance2[e] <= bound_, {distance2[e], static_cast<std::uint32_t>(place + 32 * e)});
    __syncwarp();
    return true;
  }

  /// Appends a key.
  __device__ void push_one(const Key<T>& key) {
    if (lane_ == 0) keys_[size_] = key;
    ++size_;
    __syncwarp();
  }

  /// Appends each lane's two keys where they are within the bound and wanted. All lanes call it, and settle() before
  /// the next time.
  __device__ __forceinline__ void push(bool want_a, Key<T> a, bool want_b, Key<T> b) {
    if (cuts_ties()) {
      if (!admits(a)) a.distance2 = not_a_number<T>();
      if (!admits(b)) b.distance2 = not_a_number<T>();
    }
    append(want_a & (a.distance2 <= bound_), a);
    append(want_b & (b.distance2 <= bound_), b);
    __syncwarp();
  }

  /// Removes candidates and lowers the bound where the buffer is full.
  __device__ __forceinline__ void settle() {
    if (size_ > full()) keep_nearest(slack());
  }

  /// Calls write(i, d², rank) for the k nearest in ascending order, one per lane at a time; rank is 0 for the query
  /// itself, else row + 1. With fewer than k candidates it is called for each of them.
  template <typename Write>
  __device__ __forceinline__ void finish(const Write& write) {
    if constexpr (sizeof(T) == 4 && kInRegisters) {
      if (size_ <= kMaxNeighbors ? sort_values<kMaxNeighbors / 32>() : sort_values<kMaxNeighbors / 16>()) {
        const std::uint32_t* const places = sorted_places();
#pragma unroll 1
        for (int i = lane_; i < min(size_, k_); i += 32) {
          const Key<T> key = keys_[places[i]];
          write(i, key.distance2, rank(key));
        }
        return;
      }
    }
    if (size_ > k_) keep_nearest(0);
#pragma unroll 1  // rare
    for (int i = lane_; i < size_; i += 32) keys_[i].tie = rank(keys_[i]);
    __syncwarp();
    if constexpr (kInRegisters)
      sort_registers<kMaxNeighbors / 32>();
    else
      sort_shared(keys_, size_);
#pragma unroll 1
    for (int i = lane_; i < size_; i += 32) write(i, keys_[i].distance2, keys_[i].tie);
  }

 private:
  // The tie of a finished key.
  __device__ std::uint32_t rank(const Key<T>& key) const { return key.tie == kSelf ? 0 : order_[key.tie] + 1; }

  // More candidates than this are too many. Where lists are sorted in registers, there is space for so many.
  __device__ int full() const { return kInRegisters ? 2 * kMaxNeighbors : min(kCapacity - 64, 2 * k_ + 32); }
  // A bound that need not be tight takes fewer steps to find.
  __device__ int slack() const { return k_ / 4 + 2; }

  __device__ __forceinline__ void append(bool take, const Key<T>& key) {
    const unsigned takers = __ballot_sync(kWarp, take);
    if (take) keys_[size_ + __popc(takers & lanes_before(lane_))] = key;
    size_ += __popc(takers);
  }

  // A value that at least k candidates do not exceed, and at most k + slack unless many are equal. `count` is the
  // number of candidates before the call, and after it of those that do not exceed the value. A NaN is no candidate.
  // The lanes' samples stand for `sampled` values: the right one of 32 sorted samples is a good first guess.
  template <int kEach>
  __device__ __forceinline__ B lowest_bound(const B (&value)[kEach], B sample, int sampled, int slack,
                                            int& count) const {
    sample = sort_lanes(sample);
    const int target = k_ + slack / 2;
    const float density = __fdividef(32.0f, static_cast<float>(sampled));
    int at = static_cast<int>(static_cast<float>(target) * density);
    B low = 0, high = to_bits(infinity<T>());
    int count_below = 0;  // candidates below low
    for (int step = 0; low < high && count > k_ + slack; ++step) {
      B middle = __shfl_sync(kWarp, sample, min(at, 31));
      if (step > 3 || middle < low || middle >= high) {
        middle = low + (high - low) / 2;
        if (step % 3 != 2) {
          // Between neighbouring samples the others are spread evenly enough that a guess in proportion beats halving.
          const float part =
              __fdividef(static_cast<float>(target - count_below), static_cast<float>(count - count_below));
          const T from = from_bits(low), to = from_bits(high);
          const T guess = from + (to - from) * static_cast<T>(fminf(fmaxf(part, 0.03f), 0.97f));
          middle = min(max(to_bits(guess), low), high - 1);
        }
      }
      int mine = 0;
#pragma unroll
      for (int e = 0; e < kEach; ++e) mine += value[e] <= middle;
      const int below = __reduce_add_sync(kWarp, mine);
      const int move = static_cast<int>(static_cast<float>(target - below) * density);
      if (below >= k_) {
        high = middle;
        count = below;
        at = max(at + min(move, -1), 0);
      } else {
        low = middle + 1;
        count_below = below;
        at += max(move, 1);
      }
    }
    return high;
  }

  // Leaves the k nearest, and up to `slack` of the next.
  __device__ __forceinline__ void keep_nearest(int slack) {
    B value[kSlots];
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      const int i = s * 32 + lane_;
      value[s] = to_bits(i < size_ ? keys_[i].distance2 : not_a_number<T>());
    }
    int count = size_;
    const B high = lowest_bound(value, to_bits(keys_[lane_ * size_ / 32].distance2), size_, slack, count);
    bound_ = from_bits(high);
    bound_tie_ = kWarp;
    if (count > k_ + slack) cut_ties(high, slack);

    int kept = 0;
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
      if (s * 32 >= size_) break;
      const int i = s * 32 + lane_;
      const Key<T> key = i < size_ ? keys_[i] : last_key<T>();
      const bool keep = i < size_ && key.distance2 <= bound_;
      const unsigned keepers = __ballot_sync(kWarp, keep);
      __syncwarp();  // all lanes have read before any writes
      if (keep) keys_[kept + __popc(keepers & lanes_before(lane_))] = key;
      kept += __popc(keepers);
    }
    size_ = kept;
    __syncwarp();
  }

  // Many candidates are at the bound: their rows decide. Those to be removed become NaN.
  __device__ __forceinline__ void cut_ties(B tied, int slack) {
    std::uint32_t low = 0, high = kWarp;
    int count = kCapacity + 1;
    while (low < high && count > k_ + slack) {
      const std::uint32_t middle = low + (high - low) / 2;
      int mine = 0;
#pragma unroll 1  // rare: not worth its code
      for (int i = lane_; i < size_; i += 32) {
        const Key<T> key = keys_[i];
        const B bits = to_bits(key.distance2);
        mine += bits < tied || (bits == tied && rank(key) <= middle);
      }
      const int below = __reduce_add_sync(kWarp, mine);
      if (below >= k_) {
        high = middle;
        count = below;
      } else {
        low = middle + 1;
      }
    }
    bound_tie_ = high;
#pragma unroll 1
    for (int i = lane_; i < size_; i += 32)
      if (!admits(keys_[i])) keys_[i].distance2 = not_a_number<T>();
    __syncwarp();
  }

  // Bitonic sort of 32 · kEach words, kEach consecutive ones per lane. All merges ascend, since the first step of
  // each pairs mirror images: so a lane always keeps the smaller words or the larger, and inside a lane no direction
  // has to be tested.
  template <int kEach>
  __device__ __forceinline__ void sort_words(std::uint32_t (&value)[kEach]) {
    const auto between_lanes = [&](int lanes, int half, bool mirrored) {
      std::uint32_t other[kEach];
#pragma unroll
      for (int e = 0; e < kEach; ++e) other[e] = __shfl_xor_sync(kWarp, value[mirrored ? kEach - 1 - e : e], lanes);
#pragma unroll
      for (int e = 0; e < kEach; ++e)
        value[e] = (lane_ & half) == 0 ? min(value[e], other[e]) : max(value[e], other[e]);
    };
    const auto inside_lane = [&](int a, int b) {
      const std::uint32_t low = min(value[a], value[b]);
      value[b] = max(value[a], value[b]);
      value[a] = low;
    };
#pragma unroll
    for (int length = 2; length <= 32 * kEach; length *= 2) {
      if (length > kEach) {
        between_lanes(length / kEach - 1, length / kEach / 2, true);
      } else {
#pragma unroll
        for (int e = 0; e < kEach; ++e)
          if ((e & (length / 2)) == 0) inside_lane(e, e ^ (length - 1));
      }
#pragma unroll
      for (int step = length / 4; step > 0; step /= 2) {
        if (step >= kEach) {
          between_lanes(step / kEach, step / kEach, false);
        } else {
#pragma unroll
          for (int e = 0; e < kEach; ++e)
            if ((e & step) == 0) inside_lane(e, e | step);
        }
      }
    }
  }

  // Writes the places of the k nearest of up to 32 · kEach keys in order and returns true; or returns false, which is
  // rare, where distances are too near to each other to be told apart in 23 bits. A distance and the key's place are
  // sorted as one word: a third of the instructions that whole keys take.
  template <int kEach>
  __device__ __forceinline__ bool sort_values() {
    constexpr unsigned kPlaces = 32 * kEach;
    T highest = bound_;
    if (!(highest < infinity<T>())) {
      highest = 0;
#pragma unroll 1  // rare
      for (int i = lane_; i < size_; i += 32) highest = max(highest, keys_[i].distance2);
      highest = from_bits(warp_max(to_bits(highest)));
    }
    // All distances go to [1, 2), where a float has 23 bits for them; rounding keeps their order.
    const float scale = __fdividef(0.99999f, highest);
    std::uint32_t value[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = e * 32 + lane_;
      value[e] = kWarp;
      if (i < size_) value[e] = (to_bits(fmaf(keys_[i].distance2, scale, 1.0f)) & 0x7fffff) * kPlaces + i;
    }
    sort_words(value);
    // A tie matters among the k and at their end.
    const int kept = min(size_, k_);
    const std::uint32_t next = __shfl_down_sync(kWarp, value[0], 1);
    bool tied = !(scale < infinity<T>());
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = lane_ * kEach + e;
      const std::uint32_t after = e + 1 < kEach ? value[e + 1] : next;
      tied = tied | ((i < kept) & (i + 1 < size_) & (value[e] / kPlaces == after / kPlaces));
    }
    if (__any_sync(kWarp, tied)) return false;
#pragma unroll
    for (int e = 0; e < kEach; ++e)
      if (lane_ * kEach + e < kMaxNeighbors) sorted_places()[lane_ * kEach + e] = value[e] % kPlaces;
    __syncwarp();
    return true;
  }

  // Space behind the keys for one word for each of the nearest.
  __device__ std::uint32_t* sorted_places() const {
    static_assert(kCapacity - 2 * kMaxNeighbors >= kMaxNeighbors / 2);
    return reinterpret_cast<std::uint32_t*>(keys_ + 2 * kMaxNeighbors);
  }

  // Bitonic sort, kEach consecutive keys per lane.
  template <int kEach>
  __device__ __forceinline__ void sort_registers() {
    Key<T> key[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      const int i = e * 32 + lane_;
      key[e] = i < size_ ? keys_[i] : last_key<T>();
    }
    __syncwarp();
#pragma unroll
    for (int length = 2; length <= 32 * kEach; length *= 2) {
#pragma unroll
      for (int step = length / 2; step > 0; step /= 2) {
        if (step >= kEach) {
          const bool first = (lane_ & (step / kEach)) == 0;
#pragma unroll
          for (int e = 0; e < kEach; ++e) {
            const bool ascending = ((lane_ * kEach + e) & length) == 0;
            Key<T> other;
            other.distance2 = __shfl_xor_sync(kWarp, key[e].distance2, step / kEach);
            other.tie = __shfl_xor_sync(kWarp, key[e].tie, step / kEach);
            // Keys differ except among the padding, where either may be taken.
            if ((other < key[e]) == (first == ascending)) key[e] = other;
          }
        } else {
#pragma unroll
          for (int e = 0; e < kEach; ++e)
            if ((e & step) == 0) exchange(key[e], key[e | step], ((lane_ * kEach + e) & length) == 0);
        }
      }
    }
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      keys_[lane_ * kEach + e] = key[e];
    }
    __syncwarp();
  }

  Key<T>* keys_;
  const std::int32_t* order_;
  int k_;
  T bound_;
  std::uint32_t bound_tie_ = kWarp;
  int size_ = 0;
  int lane_;
};

}  // namespace starling::neighbors::cuda
