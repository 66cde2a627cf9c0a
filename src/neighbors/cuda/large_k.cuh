#pragma once

#include "neighbors/cuda/search.cuh"

namespace starling::neighbors::cuda {

inline constexpr int kLargeThreads = 256;

/// Byte number `digit` of a key, 0 the most significant.
template <typename T>
__device__ inline int key_byte(const Key<T>& key, int digit) {
  constexpr int kValueBytes = sizeof(T);
  if (digit < kValueBytes) return static_cast<int>(to_bits(key.distance2) >> 8 * (kValueBytes - 1 - digit) & 0xff);
  return static_cast<int>(key.tie >> 8 * (3 - (digit - kValueBytes)) & 0xff);
}

/// More than kMaxWarpNeighbors neighbours, one block per query. No list of them fits in shared memory: so the k-th key
/// is found byte by byte, from a count of the event's candidates for each value of the byte. Keys up to it are written
/// to the output row, which is then sorted in place.
template <typename T, int kDimensions>
__global__ void __launch_bounds__(kLargeThreads) large_kernel(const __grid_constant__ Search<T> search) {
  __shared__ int histogram[256];
  __shared__ int chosen, rank, kept;
  const int thread = threadIdx.x;
  const Query<T, kDimensions> query(search, blockIdx.x);
  std::int64_t k = search.k;
  std::int64_t begin = static_cast<std::int64_t>(query.row) * k;
  if (search.neighbor_row_splits != nullptr) {
    begin = search.neighbor_row_splits[query.row];
    k = search.neighbor_row_splits[query.row + 1] - begin;
    if (k <= kMaxWarpNeighbors) return;
  }
  std::int32_t* const index = search.index + begin;
  T* const row_distance2 = search.distance2 + begin;
  const int wanted = static_cast<int>(k);
  if (!query.active) return write_none(search, begin, 0, wanted, thread, kLargeThreads);

  const auto for_each_candidate = [&](const auto& use) {
    for (int place = query.first + thread; place < query.last; place += kLargeThreads) {
      const std::int32_t row = search.tree.order[place];
      const bool self = place == query.self;
      if (self ? !search.loop : row < 0) continue;
      Key<T> key{T(0), 0};
      if (!self) {
        key = {distance2(query.x, load_row<T, kDimensions>(search.tree.points, row, search.tree.dimensions)),
               static_cast<std::uint32_t>(row) + 1};
        if (!(key.distance2 <= search.radius2)) continue;
      }
      use(key);
    }
  };

  // The bytes of the k-th key found so far, as a key whose other bytes are zero.
  constexpr int kBytes = sizeof(T) + 4;
  Key<T> last = last_key<T>();
  int all = 0;
  if (thread == 0) kept = 0;
  __syncthreads();
  {
    int mine = 0;
    for_each_candidate([&](const Key<T>&) { ++mine; });
    atomicAdd(&kept, mine);
    __syncthreads();
    all = kept;
    __syncthreads();
  }
  if (all > wanted) {
    int prefix[kBytes];
    if (thread == 0) rank = wanted;  // the k-th of those that share the prefix
#pragma unroll
    for (int digit = 0; digit < kBytes; ++digit) {
      histogram[thread] = 0;
      __syncthreads();
      for_each_candidate([&](const Key<T>& key) {
        bool same = true;
#pragma unroll
        for (int d = 0; d < digit; ++d) same = same && key_byte(key, d) == prefix[d];
        if (same) atomicAdd(&histogram[key_byte(key, digit)], 1);
      });
      __syncthreads();
      if (thread == 0) {
        int byte = 0;
        while (histogram[byte] < rank) rank -= histogram[byte++];
        chosen = byte;
      }
      __syncthreads();
      prefix[digit] = chosen;
    }
    typename Bits<T>::Type value = 0;
    std::uint32_t tie = 0;
#pragma unroll
    for (int d = 0; d < static_cast<int>(sizeof(T)); ++d) value = value << 8 | static_cast<unsigned>(prefix[d]);
#pragma unroll
    for (int d = sizeof(T); d < kBytes; ++d) tie = tie << 8 | static_cast<unsigned>(prefix[d]);
    last = {from_bits(value), tie};
  }

  if (thread == 0) kept = 0;
  __syncthreads();
  for_each_candidate([&](const Key<T>& key) {
    if (last < key) return;
    const int place = atomicAdd(&kept, 1);  // any order: the sort below has one answer
    index[place] = static_cast<std::int32_t>(key.tie);
    row_distance2[place] = key.distance2;
  });
  const int size = min(all, wanted);
  write_none(search, begin, size, wanted, thread, kLargeThreads);
  __syncthreads();

  // Bitonic merges that always put the smaller key first: so a length that is no power of two needs no padding.
  int total = 1;
  while (total < size) total *= 2;
  const auto exchange = [&](int a, int b) {
    if (b >= size) return;
    const Key<T> first{row_distance2[a], static_cast<std::uint32_t>(index[a])};
    const Key<T> second{row_distance2[b], static_cast<std::uint32_t>(index[b])};
    if (!(second < first)) return;
    row_distance2[a] = second.distance2;
    index[a] = static_cast<std::int32_t>(second.tie);
    row_distance2[b] = first.distance2;
    index[b] = static_cast<std::int32_t>(first.tie);
  };
  for (int length = 2; length <= total; length *= 2) {
    for (int pair = thread; pair < total / 2; pair += kLargeThreads) {
      const int block = pair / (length / 2), inside = pair % (length / 2);
      exchange(block * length + inside, block * length + length - 1 - inside);
    }
    __syncthreads();
    for (int step = length / 4; step > 0; step /= 2) {
      for (int pair = thread; pair < total / 2; pair += kLargeThreads) {
        const int a = pair / step * step * 2 + pair % step;
        exchange(a, a + step);
      }
      __syncthreads();
    }
  }
  for (int i = thread; i < size; i += kLargeThreads) index[i] = index[i] == 0 ? query.row : index[i] - 1;
}

}  // namespace starling::neighbors::cuda
