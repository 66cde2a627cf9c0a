#include <cuda_runtime.h>

#include "edge_conv/backends.h"
#include "edge_conv/cuda/rows.cuh"
#include "lists/lists.h"
#include "memory/layout.h"

// First the rows: the gradient of p, with weight also the shares of the weights' gradient, one block of
// threads per block of rows, whose registers hold the share. For max, a record of each entry says for which features it
// is its row's maximum. Then the sources, each from the entries that hold it, in ascending order.
namespace starling::edgeconv::cuda {

using namespace starling::cuda;

namespace {

/// Writes scale_of() of each row, and where it is wanted the gradient of p: without weight.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    target_gradient_kernel(const __grid_constant__ EdgeConv<T> conv, const T* out_gradient, const std::int32_t* kept,
                           T* scale, T* target_gradient) {
  const int lane = threadIdx.x % 32;
  const std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (row >= conv.num_rows) return;
  const std::int64_t end = first_entry(conv, row + 1);
  std::int32_t found = 0;
  for (std::int64_t e = first_entry(conv, row) + lane; e < end; e += 32) found += load_source(conv, e, end) >= 0;
  found = warp_sum(found);
  if (lane == 0) scale[row] = scale_of(conv, found);
  if (target_gradient == nullptr) return;
  const bool is_max = conv.aggregation == EdgeAggregation::max;
  for (int f = lane; f < conv.hidden; f += 32) {
    const std::int64_t at = row * conv.hidden + f;
    const T gradient = out_gradient[at];
    if (is_max)
      target_gradient[at] = found > 0 ? gradient : T(0);
    else
      target_gradient[at] = target_gradient_of(conv, gradient, found, conv.relu ? kept[at] : 0);
  }
}

constexpr int kRecordsAtOnce = 64;  // of a row's entries, per warp

/// One warp per row.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    record_kernel(const __grid_constant__ EdgeConv<T> conv, const std::int32_t* kept, Record* records) {
  __shared__ unsigned words[kWarps][2 * kRecordsAtOnce];
  unsigned* const mine = words[threadIdx.x / 32];
  const int lane = threadIdx.x % 32, width = width_of(conv);
  const std::int64_t row = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  if (row >= conv.num_rows) return;
  const std::int64_t first = first_entry(conv, row), end = first_entry(conv, row + 1), entries = num_entries(conv);
  for (int block = 0; block < record_blocks(width); ++block) {
    std::int32_t place[2];
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int f = block * kBitsPerRecord + 32 * c + lane;
      place[c] = f < width ? kept[row * width + f] : -1;
    }
    for (std::int64_t chunk = first; chunk < end; chunk += kRecordsAtOnce) {
      const auto from = static_cast<std::int32_t>(chunk - first);
#pragma unroll
      for (int i = 0; i < 2 * kRecordsAtOnce; i += 32) mine[i + lane] = 0;
      __syncwarp();
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const std::int32_t here = place[c] - from;
        if (here >= 0 && here < kRecordsAtOnce) atomicOr(mine + 2 * here + c, 1U << lane);
      }
      __syncwarp();
#pragma unroll
      for (int i = 0; i < kRecordsAtOnce; i += 32) {
        const std::int64_t entry = chunk + i + lane;
        if (entry < end)
          records[block * entries + entry] = Record{mine[2 * (i + lane) + 1]} << 32 | mine[2 * (i + lane)];
      }
      __syncwarp();
    }
  }
}

/// What a warp's lanes hold of 32 entries of one source.
struct Held {
  std::int32_t row = -1;
  Record record = 0;
};

/// Without weight, one warp per source.
template <typename T, bool kMax>
__global__ void __launch_bounds__(kGatherThreads)
    source_gradient_kernel(const __grid_constant__ EdgeConv<T> conv, const T* out_gradient, const Record* records,
                           const T* scale, const __grid_constant__ lists::Holders holders, const std::uint32_t* order,
                           T* source_gradient, bool whole) {
  constexpr int kAtOnce = 4;
  const int lane = threadIdx.x % 32, hidden = conv.hidden;
  const std::int64_t place = std::int64_t{blockIdx.x} * kGatherWarps + threadIdx.x / 32, entries = num_entries(conv);
  if (place >= conv.num_sources) return;
  const std::int64_t source = row_at(order, place);
  const std::uint32_t first = holders.begin[source], end = holders.begin[source + 1];
  for (int turn = 0; turn < hidden; turn += kPairs) {
    const int at = turn + 2 * lane;
    const Two<T> q = !kMax && conv.relu ? load_two(conv.source + source * hidden, at, hidden, whole) : Two<T>{};
    T sum[2] = {};
    for (std::uint32_t batch = first; batch < end; batch += 32) {
      Held mine;
      T my_scale = 0;
      if (batch + lane < end) {
        const std::uint32_t entry = holders.entry[batch + lane];
        mine.row = lists::row_of_entry(holders, entry, conv.k);
        if constexpr (kMax)
          mine.record = records[turn / kPairs * entries + entry];
        else
          my_scale = scale[mine.row];
      }
      if constexpr (kMax) {
        const auto low = static_cast<unsigned>(mine.record), high = static_cast<unsigned>(mine.record >> 32);
        for (unsigned left = __ballot_sync(kWarp, mine.record != 0); left != 0;) {
          T value[kAtOnce][2];
          unsigned bits[kAtOnce];
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            const int n = left != 0 ? __ffs(left) - 1 : 0;
            const unsigned low_n = __shfl_sync(kWarp, low, n), high_n = __shfl_sync(kWarp, high, n);
            const std::int64_t row = __shfl_sync(kWarp, mine.row, n);
            bits[i] = left != 0 ? (lane < 16 ? low_n : high_n) >> 2 * (lane % 16) & 3U : 0;
            left &= left - 1;
#pragma unroll
            for (int c = 0; c < 2; ++c)
              value[i][c] = bits[i] >> c & 1U ? __ldg(out_gradient + row * hidden + at + c) : T(0);
          }
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
            for (int c = 0; c < 2; ++c) sum[c] = bits[i] >> c & 1U ? sum[c] + value[i][c] : sum[c];
          }
        }
      } else {
        const int count = end - batch < 32 ? static_cast<int>(end - batch) : 32;
        for (int n = 0; n < count; n += kAtOnce) {
          Two<T> gradient[kAtOnce], p[kAtOnce];
          T factor[kAtOnce];
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            const std::int64_t row = __shfl_sync(kWarp, mine.row, n + i);
            factor[i] = __shfl_sync(kWarp, my_scale, n + i);
            gradient[i] = row >= 0 ? load_two(out_gradient + row * hidden, at, hidden, whole) : Two<T>{};
            p[i] = row >= 0 && conv.relu ? load_two(conv.target + row * hidden, at, hidden, whole) : Two<T>{};
          }
#pragma unroll
          for (int i = 0; i < kAtOnce; ++i) {
            if (n + i >= count) break;
            const T more[2] = {sum[0] + gradient[i].x * factor[i], sum[1] + gradient[i].y * factor[i]};
            sum[0] = !conv.relu || p[i].x + q.x > T(0) ? more[0] : sum[0];
            sum[1] = !conv.relu || p[i].y + q.y > T(0) ? more[1] : sum[1];
          }
        }
      }
    }
    store_two(source_gradient + source * hidden, at, hidden, sum[0], sum[1]);
  }
}

constexpr int kShare = kWarps * kOutputBlock;  // outputs of a block of threads: kOutputBlock per warp
constexpr int kRowsAtOnce = 8;                 // whose terms of the gradient of p wait in shared memory

/// With weight: one block of threads per block of rows and 64 hidden features, outputs `begin` to begin + kShare − 1.
/// The lanes' registers hold the share of the weights' gradient. Adds to the gradient of p that the outputs before have
/// brought. For each entry that is a maximum, `gates` gets the features whose ReLU lets the gradient through: of the 64
/// features of block y, bit i is feature 2i and bit 32 + i is 2i + 1 of gates[y · entries + entry]. Several outputs
/// write the same there. Each of weight_parts, bias_parts, target_gradient and gates may be null.
template <typename T>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 4 ? 6 : 3)
    weight_gradient_kernel(const __grid_constant__ EdgeConv<T> conv, const T* out_gradient, const std::int32_t* kept,
                           T* weight_parts, T* bias_parts, T* target_gradient, Record* gates, int begin,
                           RowBlocks blocks, bool whole) {
  __shared__ Two<T> weights[kShare][32];
  __shared__ Two<T> terms[kRowsAtOnce][kWarps][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, hidden = conv.hidden;
  const int at = blockIdx.y * kPairs + 2 * lane, own = begin + warp * kOutputBlock;
  const int outputs = min(kOutputBlock, conv.outputs - own);
  for (int o = 0; o < kOutputBlock; ++o) {
    weights[warp * kOutputBlock + o][lane] =
        o < outputs ? load_two(conv.weight + std::int64_t{own + o} * hidden, at, hidden, false) : Two<T>{T(0), T(0)};
  }
  const std::int64_t part = blockIdx.x;
  const std::int64_t from = part * blocks.rows, to = min(from + blocks.rows, std::int64_t{conv.num_rows});
  T share[kOutputBlock][2] = {}, bias = 0;

  // Lane o has the gradient of output o and the row of the source that is its maximum, of the row to come.
  T next_gradient = 0;
  std::int32_t next_source = -1, next_slot = -1;
  const auto load_row = [&](std::int64_t row) {
    const bool is_there = row < to && lane < outputs;
    const std::int64_t place = row * conv.outputs + own + lane;
    next_gradient = is_there ? out_gradient[place] : T(0);
    next_slot = is_there ? kept[place] : -1;
    next_source = next_slot >= 0 ? conv.index[first_entry(conv, row) + next_slot] : -1;
  };
  load_row(from);
  for (std::int64_t batch = from; batch < to; batch += kRowsAtOnce) {
    const int rows = to - batch < kRowsAtOnce ? static_cast<int>(to - batch) : kRowsAtOnce;
    for (int i = 0; i < rows; ++i) {
      const T gradient = next_gradient;
      const std::int32_t source = next_source, slot = next_slot;
      load_row(batch + i + 1);
      Two<T> sum{T(0), T(0)};
      // All outputs of a row have a maximum, or none has.
      if (__any_sync(kWarp, source >= 0)) {
        const Two<T> p = load_two(conv.target + (batch + i) * hidden, at, hidden, whole);
        const std::int64_t first = blockIdx.y * num_entries(conv) + first_entry(conv, batch + i);
        bias += gradient;
#pragma unroll
        for (int o = 0; o < kOutputBlock; ++o) {
          const T g = __shfl_sync(kWarp, gradient, o);
          // Beyond the outputs: any row, by a gradient of 0.
          const std::int64_t j = max(__shfl_sync(kWarp, source, o), 0);
          const Two<T> q = load_two(conv.source + j * hidden, at, hidden, whole);
          const T before[2] = {p.x + q.x, p.y + q.y};
          const Two<T> w = weights[warp * kOutputBlock + o][lane];
          if (gates != nullptr) {
            const unsigned low = __ballot_sync(kWarp, before[0] > T(0)), high = __ballot_sync(kWarp, before[1] > T(0));
            const std::int32_t entry = __shfl_sync(kWarp, slot, o);
            if (lane == 0 && o < outputs) gates[first + entry] = Record{high} << 32 | low;
          }
          share[o][0] += g * relu_of(before[0]);
          share[o][1] += g * relu_of(before[1]);
          const T more[2] = {sum.x + g * w.x, sum.y + g * w.y};
          sum.x = before[0] > T(0) && o < outputs ? more[0] : sum.x;
          sum.y = before[1] > T(0) && o < outputs ? more[1] : sum.y;
        }
      }
      terms[i][warp][lane] = sum;
    }
    if (target_gradient == nullptr) continue;
    __syncthreads();
    for (int i = warp; i < rows; i += kWarps) {
      T* const out = target_gradient + (batch + i) * hidden;
      Two<T> sum{T(0), T(0)};
      if (begin > 0 && at < hidden) sum.x = out[at];
      if (begin > 0 && at + 1 < hidden) sum.y = out[at + 1];
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        if (begin + w * kOutputBlock >= conv.outputs) break;
        sum.x += terms[i][w][lane].x;
        sum.y += terms[i][w][lane].y;
      }
      store_two(out, at, hidden, sum.x, sum.y);
    }
    __syncthreads();
  }
  if (weight_parts != nullptr) {
    T* const out = weight_parts + (part * conv.outputs + own) * hidden;
#pragma unroll
    for (int o = 0; o < kOutputBlock; ++o)
      if (o < outputs) store_two(out + std::int64_t{o} * hidden, at, hidden, share[o][0], share[o][1]);
  }
  if (bias_parts != nullptr && blockIdx.y == 0 && lane < outputs) bias_parts[part * conv.outputs + own + lane] = bias;
}

/// out [size] = the sum over the parts in ascending order.
template <typename T>
__global__ void __launch_bounds__(kThreads) add_parts_kernel(const T* parts, std::int32_t count, int size, T* out) {
  constexpr int kAtOnce = 16;
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= size) return;
  T sum = 0;
  for (std::int32_t part = 0; part < count; part += kAtOnce) {
    T value[kAtOnce];
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) value[n] = part + n < count ? parts[std::int64_t{part + n} * size + i] : T(0);
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) sum = part + n < count ? sum + value[n] : sum;
  }
  out[i] = sum;
}

constexpr int kGiven = 2;  // gradients of an entry that its lane loads

__device__ __forceinline__ int first_bit(Record bits) { return __ffsll(static_cast<long long>(bits)) - 1; }

/// With weight, one warp per source and 64 hidden features; the weights of these features lie in shared memory.
template <typename T>
__global__ void __launch_bounds__(kGatherThreads)
    source_gradient_through_weight_kernel(const __grid_constant__ EdgeConv<T> conv, const T* out_gradient,
                                          const Record* records, const Record* gates,
                                          const __grid_constant__ lists::Holders holders, const std::uint32_t* order,
                                          T* source_gradient) {
  extern __shared__ __align__(16) unsigned char memory[];
  auto* const weights = reinterpret_cast<Two<T>*>(memory);  // [outputs, 32]
  const int lane = threadIdx.x % 32, hidden = conv.hidden, at = blockIdx.y * kPairs + 2 * lane;
  for (int o = threadIdx.x / 32; o < conv.outputs; o += kGatherWarps)
    weights[32 * o + lane] = load_two(conv.weight + std::int64_t{o} * hidden, at, hidden, false);
  __syncthreads();
  const std::int64_t entries = num_entries(conv);
  const int blocks = record_blocks(conv.outputs);
  for (std::int64_t place = std::int64_t{blockIdx.x} * kGatherWarps + threadIdx.x / 32; place < conv.num_sources;
       place += std::int64_t{gridDim.x} * kGatherWarps) {
    const std::int64_t source = row_at(order, place);
    const std::uint32_t first = holders.begin[source], end = holders.begin[source + 1];
    Two<T> sum{T(0), T(0)};
    for (std::uint32_t batch = first; batch < end; batch += 32) {
      // Each lane has an entry: its record, its gate, and the gradients of its first outputs. More are seldom.
      std::uint32_t entry = 0;
      std::int32_t row = 0;
      Record record = 0, gate = 0;
      bool any = false;
      if (batch + lane < end) {
        entry = holders.entry[batch + lane];
        row = lists::row_of_entry(holders, entry, conv.k);
        record = records[entry];
        any = record != 0;
        for (int block = 1; block < blocks; ++block) any = any || records[block * entries + entry] != 0;
        if (any) gate = gates[blockIdx.y * entries + entry];
      }
      T gradients[kGiven] = {};
      Record rest = record;
#pragma unroll
      for (int c = 0; c < kGiven; ++c) {
        if (rest != 0) gradients[c] = __ldg(out_gradient + std::int64_t{row} * conv.outputs + first_bit(rest));
        rest &= rest - 1;
      }
      for (unsigned left = __ballot_sync(kWarp, any); left != 0; left &= left - 1) {
        const int n = __ffs(left) - 1;
        Record bits = __shfl_sync(kWarp, record, n);
        const Record gate_n = __shfl_sync(kWarp, gate, n);
        Two<T> term{T(0), T(0)};
        const auto add = [&](int o, T gradient) {
          const Two<T> w = weights[32 * o + lane];
          term.x += gradient * w.x;
          term.y += gradient * w.y;
        };
#pragma unroll
        for (int c = 0; c < kGiven; ++c) {
          const T gradient = __shfl_sync(kWarp, gradients[c], n);
          if (bits != 0) add(first_bit(bits), gradient);
          bits &= bits - 1;
        }
        if (bits != 0 || blocks > 1) {
          const std::int64_t row_n = __shfl_sync(kWarp, row, n);
          const std::uint32_t entry_n = __shfl_sync(kWarp, entry, n);
          for (int block = 0; block < blocks; ++block) {
            if (block > 0) bits = records[block * entries + entry_n];
            for (; bits != 0; bits &= bits - 1) {
              const int o = block * kBitsPerRecord + first_bit(bits);
              add(o, __ldg(out_gradient + row_n * conv.outputs + o));
            }
          }
        }
        sum.x = gate_n >> lane & 1U ? sum.x + term.x : sum.x;
        sum.y = gate_n >> (32 + lane) & 1U ? sum.y + term.y : sum.y;
      }
    }
    store_two(source_gradient + source * hidden, at, hidden, sum.x, sum.y);
  }
}

template <typename T>
struct Arrays {
  T* scale;         // [num_rows]
  Record* records;  // [record blocks, entries], of max
  Record* gates;    // [blocks of 64 hidden features, entries], with weight
  T *weight_parts, *bias_parts;
  std::span<std::byte> lists, order;
};

template <typename T>
std::size_t lay_out(const EdgeConv<T>& conv, std::span<std::byte> memory, Arrays<T>& arrays) {
  memory::Layout layout(memory);
  const bool is_max = conv.aggregation == EdgeAggregation::max;
  arrays.scale = layout.take<T>(static_cast<std::size_t>(conv.num_rows));
  arrays.records =
      layout.take<Record>(is_max ? static_cast<std::size_t>(record_blocks(width_of(conv)) * num_entries(conv)) : 0);
  arrays.gates = layout.take<Record>(
      conv.weight != nullptr ? static_cast<std::size_t>(record_blocks(conv.hidden) * num_entries(conv)) : 0);
  const std::size_t parts = conv.weight != nullptr ? static_cast<std::size_t>(row_blocks(conv).count) : 0;
  const auto outputs = static_cast<std::size_t>(conv.outputs);
  arrays.weight_parts = layout.take<T>(parts * outputs * static_cast<std::size_t>(conv.hidden));
  arrays.bias_parts = layout.take<T>(parts * outputs);
  const std::size_t lists = lists::cuda::turn_round_bytes(lists_of(conv));
  arrays.lists = {layout.take<std::byte>(lists), lists};
  const std::size_t order = wants_order(conv) ? lists::cuda::near_order_bytes(lists_of(conv)) : 0;
  arrays.order = {layout.take<std::byte>(order), order};
  return layout.bytes();
}

template <typename T>
void gradient_of_rows(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                      const EdgeConvGradients<T>& gradients, const Arrays<T>& arrays, bool whole, cudaStream_t stream) {
  if (conv.weight == nullptr) {
    if (conv.num_rows == 0) return;
    target_gradient_kernel<T><<<blocks_of(conv.num_rows, kWarps), kThreads, 0, stream>>>(
        conv, out_gradient, kept, arrays.scale, gradients.target);
    return;
  }
  const bool of_weight = gradients.weight != nullptr, of_bias = gradients.bias != nullptr,
             of_source = gradients.source != nullptr;
  const RowBlocks blocks = row_blocks(conv);
  if (blocks.count > 0) {
    const dim3 grid(static_cast<unsigned>(blocks.count), static_cast<unsigned>(blocks_of(conv.hidden, kPairs)));
    for (int begin = 0; begin < conv.outputs; begin += kShare) {
      weight_gradient_kernel<T><<<grid, kThreads, 0, stream>>>(
          conv, out_gradient, kept, of_weight ? arrays.weight_parts : nullptr, of_bias ? arrays.bias_parts : nullptr,
          gradients.target, of_source ? arrays.gates : nullptr, begin, blocks, whole);
    }
  }
  const int size = conv.outputs * conv.hidden;
  if (of_weight) {
    add_parts_kernel<T>
        <<<blocks_of(size, kThreads), kThreads, 0, stream>>>(arrays.weight_parts, blocks.count, size, gradients.weight);
  }
  if (of_bias) {
    add_parts_kernel<T><<<blocks_of(conv.outputs, kThreads), kThreads, 0, stream>>>(arrays.bias_parts, blocks.count,
                                                                                    conv.outputs, gradients.bias);
  }
}

template <typename T>
void gradient_of_sources(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept, T* source_gradient,
                         const Arrays<T>& arrays, bool whole, cudaStream_t stream) {
  const bool is_max = conv.aggregation == EdgeAggregation::max;
  if (is_max && conv.num_rows > 0)
    record_kernel<T><<<blocks_of(conv.num_rows, kWarps), kThreads, 0, stream>>>(conv, kept, arrays.records);
  const lists::Holders holders = lists::cuda::turn_round(lists_of(conv), arrays.lists, stream);
  // Rows and sources that are the same points have one near order.
  const std::uint32_t* const order = wants_order(conv) && conv.num_rows == conv.num_sources
                                         ? lists::cuda::near_order(lists_of(conv), arrays.order, stream)
                                         : nullptr;
  if (conv.weight != nullptr) {
    const std::size_t bytes = static_cast<std::size_t>(conv.outputs) * 32 * sizeof(Two<T>);
    const auto kernel = source_gradient_through_weight_kernel<T>;
    const int resident = resident_blocks(kernel, kGatherThreads, static_cast<std::int64_t>(bytes));
    const dim3 grid(static_cast<unsigned>(std::min(blocks_of(conv.num_sources, kGatherWarps), resident)),
                    static_cast<unsigned>(blocks_of(conv.hidden, kPairs)));
    kernel<<<grid, kGatherThreads, bytes, stream>>>(conv, out_gradient, arrays.records, arrays.gates, holders, order,
                                                    source_gradient);
    return;
  }
  const int blocks = blocks_of(conv.num_sources, kGatherWarps);
  if (is_max) {
    source_gradient_kernel<T, true><<<blocks, kGatherThreads, 0, stream>>>(
        conv, out_gradient, arrays.records, arrays.scale, holders, order, source_gradient, whole);
  } else {
    source_gradient_kernel<T, false><<<blocks, kGatherThreads, 0, stream>>>(
        conv, out_gradient, arrays.records, arrays.scale, holders, order, source_gradient, whole);
  }
}

}  // namespace

template <typename T>
std::size_t gradient_workspace_bytes(const EdgeConv<T>& conv) {
  Arrays<T> arrays;
  return lay_out(conv, {}, arrays);
}

template <typename T>
void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                        const EdgeConvGradients<T>& gradients, std::span<std::byte> workspace,
                        const Execution& execution) {
  Arrays<T> arrays;
  lay_out(conv, workspace, arrays);
  const bool whole = is_aligned(conv.target, conv.hidden, 2) && is_aligned(conv.source, conv.hidden, 2) &&
                     is_aligned(out_gradient, width_of(conv), 2);
  gradient_of_rows(conv, out_gradient, kept, gradients, arrays, whole, execution.stream);
  if (gradients.source != nullptr && conv.num_sources > 0)
    gradient_of_sources(conv, out_gradient, kept, gradients.source, arrays, whole, execution.stream);
  call(cudaGetLastError());
}

#define STARLING_INSTANTIATE(T)                                                                                    \
  template std::size_t gradient_workspace_bytes(const EdgeConv<T>&);                                               \
  template void edge_conv_gradient(const EdgeConv<T>&, const T*, const std::int32_t*, const EdgeConvGradients<T>&, \
                                   std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::edgeconv::cuda
