#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#include <limits>

#include "condensation/backends.h"
#include "condensation/object.h"
#include "cuda/block.cuh"
#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "cuda/rows.cuh"
#include "cuda/warp.cuh"
#include "memory/layout.h"

// The hits are sorted by event and object, so an object is a segment of the sorted rows. How many objects there are
// only the device knows: kernels over objects have a fixed number of blocks that take one object after the other. What
// runs over pairs of hits and objects runs twice: with a thread per hit, which sums over objects, and with a block per
// object, which sums over hits. All sums are over threads in a fixed order.
namespace starling::condensation::cuda {

using namespace starling::cuda;

namespace {

constexpr int kThreads = 128;
constexpr int kObjectBlocks = 2048;
constexpr std::uint32_t kNoiseKey = 0xFFFFFFFFU;
constexpr std::int32_t kNoRow = std::numeric_limits<std::int32_t>::max();

/// The repulsion of a hit from all objects but its own, without its charge, and its gradient along x.
template <typename T>
struct Pushed {
  T value;
  T along[kMaxCondensationDimensions];
};

template <typename T>
struct Arrays {
  std::uint64_t* key[2];    // [hits] event, object; before and after sorting, in whichever the sort leaves it
  std::uint32_t* order[2];  // [hits] rows
  std::int32_t* number;     // [hits] objects up to each place of the order
  std::int32_t* object_of;  // [hits] −1 = noise
  std::int32_t* event_of;   // [hits]
  T* charge;                // [hits]
  Object<T>* objects;       // [hits] at most
  Event<T>* events;         // [events]
  Pushed<T>* pushed;        // [hits]
  std::byte* scratch;       // of sort and scan
  std::size_t sort_bytes, scan_bytes;
};

template <typename T>
int sort(const Arrays<T>& arrays, std::size_t& bytes, const CondensationHits<T>& hits, cudaStream_t stream) {
  cub::DoubleBuffer<std::uint64_t> key(arrays.key[0], arrays.key[1]);
  cub::DoubleBuffer<std::uint32_t> order(arrays.order[0], arrays.order[1]);
  const int bits = 32 + std::bit_width(static_cast<std::uint32_t>(std::max(hits.num_events - 1, 0)));
  call(cub::DeviceRadixSort::SortPairs(arrays.scratch, bytes, key, order, hits.num_hits, 0, bits, stream));
  return key.selector;
}

template <typename T>
void scan(const Arrays<T>& arrays, std::size_t& bytes, const CondensationHits<T>& hits, cudaStream_t stream) {
  call(cub::DeviceScan::InclusiveSum(arrays.scratch, bytes, arrays.number, arrays.number, hits.num_hits, stream));
}

template <typename T>
std::size_t lay_out(const CondensationHits<T>& hits, std::span<std::byte> memory, Arrays<T>& arrays) {
  memory::Layout layout(memory);
  const auto n = static_cast<std::size_t>(hits.num_hits);
  for (int side = 0; side < 2; ++side) {
    arrays.key[side] = layout.take<std::uint64_t>(n);
    arrays.order[side] = layout.take<std::uint32_t>(n);
  }
  arrays.number = layout.take<std::int32_t>(n);
  arrays.object_of = layout.take<std::int32_t>(n);
  arrays.event_of = layout.take<std::int32_t>(n);
  arrays.charge = layout.take<T>(n);
  arrays.objects = layout.take<Object<T>>(n);
  arrays.events = layout.take<Event<T>>(static_cast<std::size_t>(hits.num_events));
  arrays.pushed = layout.take<Pushed<T>>(n);
  arrays.sort_bytes = arrays.scan_bytes = 0;
  if (n > 0) {
    Arrays<T> none{};
    sort(none, arrays.sort_bytes, hits, nullptr);
    scan(none, arrays.scan_bytes, hits, nullptr);
  }
  arrays.scratch = layout.take<std::byte>(std::max(arrays.sort_bytes, arrays.scan_bytes));
  return layout.bytes();
}

/// What every kernel reads.
template <typename T>
struct Problem {
  CondensationHits<T> hits;
  CondensationOptions options;
  const std::uint64_t* key;    // sorted
  const std::uint32_t* order;  // sorted
  Arrays<T> arrays;
  std::int32_t* bad_row;

  __device__ std::int32_t num_objects() const { return hits.num_hits == 0 ? 0 : arrays.number[hits.num_hits - 1]; }
  __device__ T phi(std::int32_t row) const { return hits.scale != nullptr ? hits.scale[row] : T(1); }
  __device__ const T* x(std::int32_t row) const { return hits.x + std::int64_t{row} * hits.dimensions; }
  __device__ bool is_slide() const { return options.form == CondensationForm::slide; }
};

template <typename T>
__global__ void begin_kernel(Problem<T> problem) {
  if (problem.bad_row != nullptr) *problem.bad_row = kNoRow;
}
template <typename T>
__global__ void end_kernel(Problem<T> problem) {
  if (*problem.bad_row == kNoRow) *problem.bad_row = -1;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    key_kernel(const __grid_constant__ Problem<T> problem, std::uint64_t* key, std::uint32_t* order) {
  const std::int32_t row = blockIdx.x * kThreads + threadIdx.x;
  const CondensationHits<T>& hits = problem.hits;
  if (row >= hits.num_hits) return;
  const std::int32_t event = hits.row_splits != nullptr ? find_event(hits.row_splits, hits.num_events, row) : 0;
  const std::int32_t truth = hits.truth[row];
  key[row] = static_cast<std::uint64_t>(event) << 32 | (truth < 0 ? kNoiseKey : static_cast<std::uint32_t>(truth));
  order[row] = row;
  problem.arrays.event_of[row] = event;
  const T beta = hits.beta[row];
  problem.arrays.charge[row] = charge(beta, problem.options).value;
  bool good = beta >= T(0) && beta <= T(1) && problem.phi(row) > T(0) && isfinite(problem.phi(row));
  for (int d = 0; d < hits.dimensions; ++d) good = good && isfinite(problem.x(row)[d]);
  if (hits.weight != nullptr) good = good && isfinite(hits.weight[row]);
  for (int p = 0; p < hits.payload_channels; ++p)
    good = good && isfinite(hits.payload[std::int64_t{row} * hits.payload_channels + p]);
  if (!good && problem.bad_row != nullptr) atomicMin(problem.bad_row, row);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) head_kernel(const __grid_constant__ Problem<T> problem) {
  const std::int32_t place = blockIdx.x * kThreads + threadIdx.x;
  if (place >= problem.hits.num_hits) return;
  const std::uint64_t key = problem.key[place];
  const bool begins = place == 0 || problem.key[place - 1] != key;
  problem.arrays.number[place] = begins && static_cast<std::uint32_t>(key) != kNoiseKey;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) object_kernel(const __grid_constant__ Problem<T> problem) {
  const std::int32_t place = blockIdx.x * kThreads + threadIdx.x;
  if (place >= problem.hits.num_hits) return;
  const std::uint64_t key = problem.key[place];
  const std::int32_t row = problem.order[place];
  const bool noise = static_cast<std::uint32_t>(key) == kNoiseKey;
  const std::int32_t number = problem.arrays.number[place] - 1;
  problem.arrays.object_of[row] = noise ? -1 : number;
  if (noise) return;
  Object<T>& object = problem.arrays.objects[number];
  if (place == 0 || problem.key[place - 1] != key) {
    object.first = place;
    object.event = static_cast<std::int32_t>(key >> 32);
  }
  if (place + 1 == problem.hits.num_hits || problem.key[place + 1] != key) object.last = place + 1;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) event_kernel(const __grid_constant__ Problem<T> problem) {
  const std::int32_t e = blockIdx.x * kThreads + threadIdx.x;
  if (e >= problem.hits.num_events) return;
  const std::int32_t* const splits = problem.hits.row_splits;
  Event<T> event{};
  event.first_hit = splits != nullptr ? splits[e] : 0;
  event.last_hit = splits != nullptr ? splits[e + 1] : problem.hits.num_hits;
  event.first_object = event.first_hit > 0 ? problem.arrays.number[event.first_hit - 1] : 0;
  event.last_object = event.last_hit > 0 ? problem.arrays.number[event.last_hit - 1] : 0;
  std::int32_t low = event.first_hit, high = event.last_hit;  // the event's first noise
  while (low < high) {
    const std::int32_t middle = low + (high - low) / 2;
    if (static_cast<std::uint32_t>(problem.key[middle]) == kNoiseKey)
      high = middle;
    else
      low = middle + 1;
  }
  event.noise_hits = event.last_hit - low;
  problem.arrays.events[e] = event;
}

template <typename T>
struct Largest {
  T beta;
  std::int32_t row;
  __device__ void take(T other, std::int32_t other_row) {
    if (other_row >= 0 && (row < 0 || other > beta || (other == beta && other_row < row))) {
      beta = other;
      row = other_row;
    }
  }
};

template <typename T>
__device__ Largest<T> block_largest(Largest<T> value) {
  __shared__ Largest<T> largest[kThreads / 32];
  for (int half = 16; half > 0; half /= 2) {
    const T beta = __shfl_xor_sync(kWarp, value.beta, half);
    const std::int32_t row = __shfl_xor_sync(kWarp, value.row, half);
    value.take(beta, row);
  }
  __syncthreads();
  if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = value;
  __syncthreads();
  value = largest[0];
  for (int warp = 1; warp < kThreads / 32; ++warp) value.take(largest[warp].beta, largest[warp].row);
  return value;
}

template <typename T>
__device__ T distance2(const T* x, const T* centre, int dimensions) {
  T sum = 0;
  for (int d = 0; d < dimensions; ++d) {
    const T apart = x[d] - centre[d];
    sum += apart * apart;
  }
  return sum;
}

template <typename T>
__global__ void __launch_bounds__(kThreads) describe_kernel(const __grid_constant__ Problem<T> problem) {
  const CondensationHits<T>& hits = problem.hits;
  const CondensationOptions& options = problem.options;
  const int dimensions = hits.dimensions, channels = hits.payload_channels;
  const std::int32_t objects = problem.num_objects();
  for (std::int32_t o = blockIdx.x; o < objects; o += gridDim.x) {
    Object<T> object = problem.arrays.objects[o];
    Largest<T> largest{T(0), -1};
    T charge_sum = 0, scale = 0, weight_sum = 0, mean[kMaxCondensationDimensions] = {},
      payload[kMaxPayloadChannels] = {};
    for (std::int32_t place = object.first + threadIdx.x; place < object.last; place += kThreads) {
      const std::int32_t row = problem.order[place];
      const T q = problem.arrays.charge[row], beta = hits.beta[row];
      largest.take(beta, row);
      charge_sum += q;
      scale += q * problem.phi(row);
#pragma unroll
      for (int d = 0; d < kMaxCondensationDimensions; ++d)
        if (d < dimensions) mean[d] += q * problem.x(row)[d];
      if (channels == 0) continue;
      const T xi = payload_weight(beta, options).value;
      weight_sum += xi;
#pragma unroll
      for (int p = 0; p < kMaxPayloadChannels; ++p)
        if (p < channels) payload[p] += xi * hits.payload[std::int64_t{row} * channels + p];
    }
    largest = block_largest(largest);
    object.alpha = largest.row;
    object.charge_sum = block_sum(charge_sum);
    scale = block_sum(scale);
    object.payload_weight_sum = block_sum(weight_sum);
#pragma unroll
    for (int p = 0; p < kMaxPayloadChannels; ++p)
      if (p < channels) object.payload[p] = block_sum(payload[p]) / object.payload_weight_sum;
    object.alpha_charge = problem.arrays.charge[object.alpha];
    object.weight = problem.is_slide() && hits.weight != nullptr ? hits.weight[object.alpha] : T(1);
    object.scale = options.scale == CondensationScale::mean ? scale / object.charge_sum : problem.phi(object.alpha);
    object.inverse = inverse_scale(object.scale, options.form).value;
    const T share = static_cast<T>(options.centre);
#pragma unroll
    for (int d = 0; d < kMaxCondensationDimensions; ++d) {
      object.mean[d] = object.centre[d] = 0;
      if (d >= dimensions) continue;
      object.mean[d] = block_sum(mean[d]) / object.charge_sum;
      object.centre[d] = (T(1) - share) * problem.x(object.alpha)[d] + share * object.mean[d];
    }
    const Event<T>& event = problem.arrays.events[object.event];
    const Shares<T> parts = shares<T>(options.form, event.last_hit - event.first_hit,
                                      event.last_object - event.first_object, object.last - object.first);
    object.alpha_coefficient = parts.attraction * object.weight;
    object.repulsion_coefficient = parts.repulsion * object.weight;
    T attracted = 0, beta_sum = 0, exponential_sum = 0;
    for (std::int32_t place = object.first + threadIdx.x; place < object.last; place += kThreads) {
      const std::int32_t row = problem.order[place];
      const T u = distance2(problem.x(row), object.centre, dimensions) * object.inverse;
      attracted += problem.arrays.charge[row] * attraction(u, options.form).value;
      beta_sum += hits.beta[row];
      exponential_sum += std::exp((hits.beta[row] - largest.beta) / static_cast<T>(kTemperature));
    }
    object.attraction = block_sum(attracted);
    object.beta_sum = block_sum(beta_sum);
    object.exponential_sum = block_sum(exponential_sum);
    if (threadIdx.x == 0) problem.arrays.objects[o] = object;
    __syncthreads();
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) pool_kernel(const __grid_constant__ Problem<T> problem) {
  Event<T>& event = problem.arrays.events[blockIdx.x];
  T weight_sum = 0, payload[kMaxPayloadChannels] = {};
  for (std::int32_t o = event.first_object + threadIdx.x; o < event.last_object; o += kThreads) {
    const Object<T>& object = problem.arrays.objects[o];
    weight_sum += object.payload_weight_sum;
#pragma unroll
    for (int p = 0; p < kMaxPayloadChannels; ++p)
      if (p < problem.hits.payload_channels) payload[p] += object.payload[p] * object.payload_weight_sum;
  }
  weight_sum = block_sum(weight_sum);
#pragma unroll
  for (int p = 0; p < kMaxPayloadChannels; ++p) {
    if (p >= problem.hits.payload_channels) continue;
    const T sum = block_sum(payload[p]);
    if (threadIdx.x == 0) event.payload[p] = weight_sum == T(0) ? T(0) : sum / weight_sum;
  }
  if (threadIdx.x == 0) event.payload_weight_sum = weight_sum;
}

/// A thread per hit, objects in tiles.
template <typename T, int kDimensions>
__global__ void __launch_bounds__(kThreads) push_kernel(const __grid_constant__ Problem<T> problem) {
  struct Tile {
    T centre[kDimensions], inverse, coefficient;
  };
  __shared__ Tile tile[kThreads];
  const std::int32_t hits = problem.hits.num_hits, begin = blockIdx.x * kThreads;
  const std::int32_t row = min(begin + static_cast<std::int32_t>(threadIdx.x), hits - 1);
  const Event<T>& mine = problem.arrays.events[problem.arrays.event_of[row]];
  const std::int32_t own = problem.arrays.object_of[row], first = mine.first_object, last = mine.last_object;
  T x[kDimensions], along[kDimensions] = {}, value = 0;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) x[d] = d < problem.hits.dimensions ? problem.x(row)[d] : T(0);
  // The objects of the events of the block's hits.
  const std::int32_t from = problem.arrays.events[problem.arrays.event_of[begin]].first_object;
  const std::int32_t to = problem.arrays.events[problem.arrays.event_of[min(begin + kThreads, hits) - 1]].last_object;
  for (std::int32_t at = from; at < to; at += kThreads) {
    __syncthreads();
    if (const std::int32_t o = at + static_cast<std::int32_t>(threadIdx.x); o < to) {
      const Object<T>& object = problem.arrays.objects[o];
      Tile& one = tile[threadIdx.x];
#pragma unroll
      for (int d = 0; d < kDimensions; ++d) one.centre[d] = object.centre[d];
      one.inverse = object.inverse;
      one.coefficient = object.repulsion_coefficient * object.alpha_charge;
    }
    __syncthreads();
    const std::int32_t low = max(first, at), high = min(min(last, to), at + kThreads);
    for (std::int32_t o = low; o < high; ++o) {
      if (o == own) continue;
      const Tile& object = tile[o - at];
      T apart[kDimensions], d2 = 0;
#pragma unroll
      for (int d = 0; d < kDimensions; ++d) {
        apart[d] = x[d] - object.centre[d];
        d2 += apart[d] * apart[d];
      }
      const Value<T> r = repulsion(d2 * object.inverse, problem.options.form);
      value += object.coefficient * r.value;
      const T factor = T(2) * object.coefficient * r.derivative * object.inverse;
#pragma unroll
      for (int d = 0; d < kDimensions; ++d) along[d] += factor * apart[d];
    }
  }
  if (begin + static_cast<std::int32_t>(threadIdx.x) >= hits) return;
  Pushed<T>& pushed = problem.arrays.pushed[row];
  pushed.value = value;
#pragma unroll
  for (int d = 0; d < kDimensions; ++d) pushed.along[d] = along[d];
}

template <typename T>
__device__ T noise_share(const Problem<T>& problem, const Event<T>& event) {
  if (event.noise_hits == 0) return T(0);
  return T(1) / T(problem.options.form == CondensationForm::fgc ? event.last_hit - event.first_hit : event.noise_hits);
}

template <typename T>
__device__ T missing_beta(const Problem<T>& problem, const Object<T>& object) {
  const T largest = problem.hits.beta[object.alpha];
  if (problem.options.form != CondensationForm::fgc) return T(1) - largest;
  const T soft = largest + static_cast<T>(kTemperature) * std::log(object.exponential_sum);
  return (T(1) - soft) + (T(1) - min(object.beta_sum, T(1)));
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    sum_kernel(const __grid_constant__ Problem<T> problem, const __grid_constant__ CondensationTerms<T> out) {
  const Event<T>& event = problem.arrays.events[blockIdx.x];
  const int channels = problem.hits.payload_channels;
  T attracted = 0, repelled = 0, objects = 0, noise = 0, payload[kMaxPayloadChannels] = {};
  for (std::int32_t o = event.first_object + threadIdx.x; o < event.last_object; o += kThreads) {
    const Object<T>& object = problem.arrays.objects[o];
    attracted += object.alpha_coefficient * object.alpha_charge * object.attraction;
    objects += missing_beta(problem, object);
#pragma unroll
    for (int p = 0; p < kMaxPayloadChannels; ++p)
      if (p < channels) payload[p] += object.payload[p];
  }
  for (std::int32_t row = event.first_hit + threadIdx.x; row < event.last_hit; row += kThreads) {
    repelled += problem.arrays.charge[row] * problem.arrays.pushed[row].value;
    if (problem.arrays.object_of[row] < 0) noise += problem.hits.beta[row];
  }
  attracted = block_sum(attracted);
  repelled = block_sum(repelled);
  objects = block_sum(objects);
  noise = block_sum(noise);
  const std::int32_t count = event.last_object - event.first_object;
#pragma unroll
  for (int p = 0; p < kMaxPayloadChannels; ++p) {
    if (p >= channels) continue;
    const T sum = block_sum(payload[p]);
    if (threadIdx.x > 0) continue;
    const T mean = count == 0 ? T(0) : sum / T(count);
    out.payload[std::int64_t{blockIdx.x} * channels + p] = problem.options.payload_per_event ? event.payload[p] : mean;
  }
  if (threadIdx.x > 0) return;
  out.attraction[blockIdx.x] = attracted;
  out.repulsion[blockIdx.x] = repelled;
  out.objects[blockIdx.x] = count == 0 ? T(0) : objects / T(count);
  out.noise[blockIdx.x] = noise * noise_share(problem, event);
}

/// The gradients that an object passes on to its hits: a block per object.
template <typename T, int kDimensions>
__global__ void __launch_bounds__(kThreads) differentiate_kernel(const __grid_constant__ Problem<T> problem,
                                                                 const __grid_constant__ CondensationTerms<const T> g) {
  const std::int32_t objects = problem.num_objects();
  for (std::int32_t o = blockIdx.x; o < objects; o += gridDim.x) {
    Object<T>& object = problem.arrays.objects[o];
    const Event<T>& event = problem.arrays.events[object.event];
    const T pull = g.attraction[object.event] * object.alpha_coefficient;
    const T push = g.repulsion[object.event] * object.repulsion_coefficient;
    const T inverse = object.inverse, alpha_charge = object.alpha_charge;
    T centre[kDimensions], of_centre[kDimensions] = {}, of_inverse = 0, of_charge = 0;
#pragma unroll
    for (int d = 0; d < kDimensions; ++d) centre[d] = object.centre[d];
    for (std::int32_t row = event.first_hit + threadIdx.x; row < event.last_hit; row += kThreads) {
      const bool own = problem.arrays.object_of[row] == o;
      T apart[kDimensions], d2 = 0;
#pragma unroll
      for (int d = 0; d < kDimensions; ++d) {
        apart[d] = d < problem.hits.dimensions ? problem.x(row)[d] - centre[d] : T(0);
        d2 += apart[d] * apart[d];
      }
      const Value<T> potential =
          own ? attraction(d2 * inverse, problem.options.form) : repulsion(d2 * inverse, problem.options.form);
      const T q = problem.arrays.charge[row];
      of_charge += (own ? pull : push) * q * potential.value;
      const T of_u = (own ? pull : push) * alpha_charge * q * potential.derivative;
      of_inverse += of_u * d2;
#pragma unroll
      for (int d = 0; d < kDimensions; ++d) of_centre[d] -= T(2) * of_u * inverse * apart[d];
    }
    of_charge = block_sum(of_charge);
    of_inverse = block_sum(of_inverse);
#pragma unroll
    for (int d = 0; d < kDimensions; ++d) {
      of_centre[d] = block_sum(of_centre[d]);
      if (threadIdx.x == 0) object.of_centre[d] = of_centre[d];
    }
    if (threadIdx.x > 0) continue;
    object.of_alpha_charge = of_charge;
    object.of_scale = of_inverse * inverse_scale(object.scale, problem.options.form).derivative;
  }
}

// −∂/∂β of missing_beta.
template <typename T>
__device__ T of_missing_beta(const Problem<T>& problem, std::int32_t row, const Object<T>& object) {
  if (problem.options.form != CondensationForm::fgc) return row == object.alpha ? T(1) : T(0);
  const T largest = problem.hits.beta[object.alpha];
  const T share = std::exp((problem.hits.beta[row] - largest) / static_cast<T>(kTemperature)) / object.exponential_sum;
  return share + (object.beta_sum <= T(1) ? T(1) : T(0));
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    finish_kernel(const __grid_constant__ Problem<T> problem, const __grid_constant__ CondensationTerms<const T> g,
                  const __grid_constant__ CondensationGradients<T> out) {
  const std::int32_t row = blockIdx.x * kThreads + threadIdx.x;
  const CondensationHits<T>& hits = problem.hits;
  if (row >= hits.num_hits) return;
  const CondensationOptions& options = problem.options;
  const int dimensions = hits.dimensions, channels = hits.payload_channels;
  const std::int32_t e = problem.arrays.event_of[row], o = problem.arrays.object_of[row];
  const Event<T>& event = problem.arrays.events[e];
  const Pushed<T>& pushed = problem.arrays.pushed[row];
  const T q = problem.arrays.charge[row], beta = hits.beta[row];
  T of_charge = g.repulsion[e] * pushed.value, of_beta = 0, of_scale = 0;
  T* const of_payload = out.payload != nullptr ? out.payload + std::int64_t{row} * channels : nullptr;
  T* const of_x = out.x + std::int64_t{row} * dimensions;
  if (o < 0) {
    of_beta = g.noise[e] * noise_share(problem, event);
    for (int p = 0; of_payload != nullptr && p < channels; ++p) of_payload[p] = 0;
    for (int d = 0; d < dimensions; ++d) of_x[d] = g.repulsion[e] * q * pushed.along[d];
  } else {
    const Object<T>& object = problem.arrays.objects[o];
    const T count = T(event.last_object - event.first_object);
    const T coefficient = g.attraction[e] * object.alpha_coefficient * object.alpha_charge;
    const T d2 = distance2(problem.x(row), object.centre, dimensions);
    const Value<T> a = attraction(d2 * object.inverse, options.form);
    of_charge += coefficient * a.value;
    const T share = static_cast<T>(options.centre);
    for (int d = 0; d < dimensions; ++d) {
      const T x = problem.x(row)[d];
      T sum = g.repulsion[e] * q * pushed.along[d];
      sum += T(2) * coefficient * q * a.derivative * object.inverse * (x - object.centre[d]);
      sum += share * q / object.charge_sum * object.of_centre[d];
      of_charge += share * (x - object.mean[d]) / object.charge_sum * object.of_centre[d];
      if (row == object.alpha) sum += (T(1) - share) * object.of_centre[d];
      of_x[d] = sum;
    }
    if (options.scale == CondensationScale::mean) {
      of_scale = q / object.charge_sum * object.of_scale;
      of_charge += (problem.phi(row) - object.scale) / object.charge_sum * object.of_scale;
    } else if (row == object.alpha) {
      of_scale = object.of_scale;
    }
    if (row == object.alpha) of_charge += object.of_alpha_charge;
    of_beta = -g.objects[e] / count * of_missing_beta(problem, row, object);
    if (channels > 0) {
      const Value<T> xi = payload_weight(beta, options);
      for (int p = 0; p < channels; ++p) {
        const T loss = hits.payload[std::int64_t{row} * channels + p];
        const T upstream = g.payload[std::int64_t{e} * channels + p];
        const T sum = options.payload_per_event ? event.payload_weight_sum : object.payload_weight_sum * count;
        const T mean = options.payload_per_event ? event.payload[p] : object.payload[p];
        if (of_payload != nullptr) of_payload[p] = upstream * xi.value / sum;
        of_beta += upstream * (loss - mean) / sum * xi.derivative;
      }
    }
  }
  out.beta[row] = of_beta + of_charge * charge(beta, options).derivative;
  if (out.scale != nullptr) out.scale[row] = of_scale;
}

/// Calls action(std::integral_constant<int, padded dimensions>).
template <typename Action>
void with_padded(int dimensions, const Action& action) {
  if (dimensions <= 2)
    action(std::integral_constant<int, 2>());
  else if (dimensions <= 3)
    action(std::integral_constant<int, 3>());
  else if (dimensions <= 4)
    action(std::integral_constant<int, 4>());
  else
    action(std::integral_constant<int, kMaxCondensationDimensions>());
}

/// All that loss and gradient share: objects, what they are, and what repels each hit.
template <typename T>
Problem<T> prepare(const CondensationHits<T>& hits, const CondensationOptions& options, std::span<std::byte> workspace,
                   const Execution& execution) {
  const cudaStream_t stream = execution.stream;
  Problem<T> problem{.hits = hits, .options = options, .bad_row = execution.bad_row};
  lay_out(hits, workspace, problem.arrays);
  Arrays<T>& arrays = problem.arrays;
  if (problem.bad_row != nullptr) begin_kernel<<<1, 1, 0, stream>>>(problem);
  if (hits.num_hits > 0) {
    const int per_hit = blocks_of(hits.num_hits, kThreads);
    key_kernel<<<per_hit, kThreads, 0, stream>>>(problem, arrays.key[0], arrays.order[0]);
    const int side = sort(arrays, arrays.sort_bytes, hits, stream);
    problem.key = arrays.key[side];
    problem.order = arrays.order[side];
    head_kernel<<<per_hit, kThreads, 0, stream>>>(problem);
    scan(arrays, arrays.scan_bytes, hits, stream);
    object_kernel<<<per_hit, kThreads, 0, stream>>>(problem);
  }
  if (hits.num_events > 0) event_kernel<<<blocks_of(hits.num_events, kThreads), kThreads, 0, stream>>>(problem);
  if (hits.num_hits > 0) {
    describe_kernel<<<std::min(kObjectBlocks, hits.num_hits), kThreads, 0, stream>>>(problem);
    if (hits.payload_channels > 0) pool_kernel<<<hits.num_events, kThreads, 0, stream>>>(problem);
    with_padded(hits.dimensions, [&](auto padded) {
      push_kernel<T, decltype(padded)::value><<<blocks_of(hits.num_hits, kThreads), kThreads, 0, stream>>>(problem);
    });
  }
  if (problem.bad_row != nullptr) end_kernel<<<1, 1, 0, stream>>>(problem);
  call(cudaGetLastError());
  return problem;
}

}  // namespace

template <typename T>
std::size_t workspace_bytes(const CondensationHits<T>& hits) {
  Arrays<T> arrays{};
  return lay_out(hits, {}, arrays);
}

template <typename T>
void loss(const CondensationHits<T>& hits, const CondensationOptions& options, const CondensationTerms<T>& terms,
          std::span<std::byte> workspace, const Execution& execution) {
  const Problem<T> problem = prepare(hits, options, workspace, execution);
  if (hits.num_events > 0) sum_kernel<<<hits.num_events, kThreads, 0, execution.stream>>>(problem, terms);
  call(cudaGetLastError());
}

template <typename T>
void gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
              const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out,
              std::span<std::byte> workspace, const Execution& execution) {
  const Problem<T> problem = prepare(hits, options, workspace, execution);
  if (hits.num_hits == 0) return;
  with_padded(hits.dimensions, [&](auto padded) {
    differentiate_kernel<T, decltype(padded)::value>
        <<<std::min(kObjectBlocks, hits.num_hits), kThreads, 0, execution.stream>>>(problem, gradients);
  });
  finish_kernel<<<blocks_of(hits.num_hits, kThreads), kThreads, 0, execution.stream>>>(problem, gradients, out);
  call(cudaGetLastError());
}

#define STARLING_INSTANTIATE(T)                                                                                     \
  template std::size_t workspace_bytes(const CondensationHits<T>&);                                                 \
  template void loss(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<T>&,           \
                     std::span<std::byte>, const Execution&);                                                       \
  template void gradient(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<const T>&, \
                         const CondensationGradients<T>&, std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::condensation::cuda
