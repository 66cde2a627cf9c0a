#pragma once

#include "neighbors/cuda/select.cuh"

namespace starling::neighbors::cuda {

template <typename T>
__device__ __forceinline__ Key<T> exchanged(const Key<T>& key, int lanes) {
  return {__shfl_xor_sync(kWarp, key.distance2, lanes), __shfl_xor_sync(kWarp, key.tie, lanes)};
}

/// Sorts bitonic keys, one per lane.
template <typename T>
__device__ __forceinline__ Key<T> sort_bitonic(Key<T> key, int length = 32) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    if (step > length / 2) continue;
    const Key<T> other = exchanged(key, step);
    // Keys differ except among last_key(), where either may be taken.
    if ((other < key) == ((threadIdx.x & step) == 0)) key = other;
  }
  return key;
}

/// Sorts the keys of a warp, one per lane. Merges begin with mirror images, so that all ascend.
template <typename T>
__device__ __forceinline__ Key<T> sort_keys(Key<T> key) {
#pragma unroll
  for (int length = 2; length <= 32; length *= 2) {
    const Key<T> other = exchanged(key, length - 1);
    if ((other < key) == ((threadIdx.x & length / 2) == 0)) key = other;
    key = sort_bitonic(key, length / 2);
  }
  return key;
}

/// The nearest candidates of one query so far, in ascending order, in its row of the output: so their number is not
/// limited by another memory. All lanes of a warp call its functions. Ties are rows here.
template <typename T>
class BestRow {
 public:
  /// A row for `capacity` candidates, `size` of which are there; of a full one the last.
  __device__ BestRow(std::int32_t* index, T* distance2, int capacity, int size = 0, const Key<T>& last = {})
      : index_(index), distance2_(distance2), capacity_(capacity), size_(size), last_(last) {}

  __device__ int size() const { return size_; }
  __device__ bool full() const { return size_ == capacity_; }
  /// Of a full row.
  __device__ const Key<T>& last() const { return last_; }

  /// Takes up those that are among the nearest of the lanes' keys, one each; last_key() is none. `keys` is shared
  /// memory for 32.
  __device__ void add(Key<T> key, Key<T>* keys) {
    if (full() && (capacity_ == 0 || !(key < last_))) key = last_key<T>();
    const int number = __popc(__ballot_sync(kWarp, key.tie != kWarp));
    if (number == 0) return;
    key = sort_keys(key);
    if (capacity_ <= 64) {
      merge_short(key, number);
    } else {
      keys[threadIdx.x % 32] = key;
      __syncwarp();
      merge(keys, number);
    }
  }

  /// Merges so many sorted keys, in shared memory, into the row.
  __device__ void merge(const Key<T>* keys, int number) {
    const int lane = threadIdx.x % 32;
    // From the end, so that nothing is overwritten before it has been moved. The row's i-th candidate moves on by the
    // number of keys before it; the keys between the one before and it go there too. Behind the last all keys are left.
    for (int begin = size_ - 31;; begin -= 31) {
      const int i = begin + lane;  // the first lane's belongs to the next step
      Key<T> mine = last_key<T>();
      if (i >= 0 && i < size_) mine = at(i);
      int shift = 0;
      for (int end = i < 0 ? 0 : number; shift < end;) {
        const int middle = (shift + end) / 2;
        if (keys[middle] < mine)
          shift = middle + 1;
        else
          end = middle;
      }
      const int before = __shfl_up_sync(kWarp, shift, 1);
      __syncwarp();
      if (lane > 0 && i >= 0) {
        if (i < size_ && shift > 0) put(i + shift, mine);
        for (int key = before; key < shift; ++key) put(i + key, keys[key]);
      }
      __syncwarp();
      if (__shfl_sync(kWarp, shift, 0) == 0) break;
    }
    size_ = ::min(size_ + number, capacity_);
    __syncwarp();
    if (full()) last_ = at(size_ - 1);
  }

 private:
  __device__ Key<T> at(int i) const { return {distance2_[i], static_cast<std::uint32_t>(index_[i])}; }
  __device__ void put(int i, const Key<T>& key) {
    if (i >= capacity_) return;
    distance2_[i] = key.distance2;
    index_[i] = static_cast<std::int32_t>(key.tie);
  }

  /// The same for a row of at most 64, which the lanes hold.
  __device__ void merge_short(const Key<T>& key, int number) {
    const int lane = threadIdx.x % 32;
    Key<T> lower = last_key<T>(), upper = last_key<T>();
    if (lane < size_) lower = at(lane);
    if (lane + 32 < size_) upper = at(lane + 32);
    // Of mirror images the smaller ones are the smallest of both rows, in bitonic order.
    const Key<T> mirrored_key = exchanged(key, 31);
    upper = sort_bitonic(mirrored_key < upper ? mirrored_key : upper);
    const Key<T> mirrored_upper = exchanged(upper, 31);
    const bool swap = mirrored_upper < lower;
    upper = sort_bitonic(swap ? lower : mirrored_upper);
    lower = sort_bitonic(swap ? mirrored_upper : lower);
    __syncwarp();
    size_ = ::min(size_ + number, capacity_);
    if (lane < size_) put(lane, lower);
    if (lane + 32 < size_) put(lane + 32, upper);
    if (full()) {
      const Key<T>& end = size_ <= 32 ? lower : upper;
      last_ = {__shfl_sync(kWarp, end.distance2, (size_ - 1) % 32), __shfl_sync(kWarp, end.tie, (size_ - 1) % 32)};
    }
    __syncwarp();
  }

  std::int32_t* index_;
  T* distance2_;
  int capacity_;
  int size_;
  Key<T> last_;
};

}  // namespace starling::neighbors::cuda
