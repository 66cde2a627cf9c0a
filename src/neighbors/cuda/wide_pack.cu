#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "neighbors/cuda/wide.cuh"
#include "neighbors/formulas.h"

// Prepares points of many dimensions: their order and the operands of the tensor cores, see wide.cuh.
namespace starling::neighbors::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kCentreSample = 64;  // rows that stand for an event
constexpr int kAxesThreads = 512;
constexpr int kScaledExponent = 9;  // that of the largest coordinate of a sample: a half has 6 more
constexpr double kLargestHalf = 65504;

/// The i-th of a sample of the rows from `first` to `last`.
__device__ inline std::int64_t sampled_row(int i, int sample, int first, int last) {
  return first + static_cast<std::int64_t>(i) * (last - first) / sample;
}

/// The mean of a sample in a dimension; 0 where it is not finite. `reach` becomes at least the largest distance to it.
template <typename T>
__device__ double sample_mean(const Wide<T>& wide, int d, int sample, int first, int last, double& reach) {
  const double weight = 1.0 / sample;
  double mean = 0;
#pragma unroll 8  // loads that are under way at the same time
  for (int i = 0; i < sample; ++i)
    mean += weight * static_cast<double>(wide.points[sampled_row(i, sample, first, last) * wide.dimensions + d]);
  if (!isfinite(mean)) mean = 0;
#pragma unroll 8
  for (int i = 0; i < sample; ++i) {
    const double x = wide.points[sampled_row(i, sample, first, last) * wide.dimensions + d];
    reach = fmax(reach, fabs(x - mean));  // of a number and NaN, the number
  }
  return mean;
}

/// The largest value of a block's threads.
__device__ inline double block_max(double value) {
  __shared__ double largest[kAxesThreads / 32];
  for (int step = 16; step > 0; step /= 2) value = fmax(value, __shfl_xor_sync(kWarp, value, step));
  if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = value;
  __syncthreads();
  for (int warp = 0; warp < static_cast<int>(blockDim.x) / 32; ++warp) value = fmax(value, largest[warp]);
  return value;
}

/// One block per event: its centre and scale.
template <typename T>
__global__ void __launch_bounds__(kThreads) centre_kernel(const __grid_constant__ Wide<T> wide) {
  const int event = blockIdx.x;
  const int first = wide.row_splits == nullptr ? 0 : wide.row_splits[event];
  const int last = wide.row_splits == nullptr ? wide.num_points : wide.row_splits[event + 1];
  const int sample = min(last - first, kCentreSample);
  double reach = 0;
  for (int d = threadIdx.x; d < wide.dimensions; d += kThreads)
    wide.frame.centre[static_cast<std::int64_t>(event) * wide.dimensions + d] =
        static_cast<T>(sample_mean(wide, d, sample, first, last, reach));
  reach = block_max(reach);
  if (threadIdx.x != 0) return;
  const bool usable = reach > 0 && isfinite(reach);
  wide.frame.exponent[event] = usable ? min(max(kScaledExponent - ilogb(reach), -1000), 1000) : 0;
}

/// One block: the directions in which a sample of all points spreads most, by two steps of subspace iteration.
template <typename T>
__global__ void __launch_bounds__(kAxesThreads) axes_kernel(const __grid_constant__ Wide<T> wide) {
  __shared__ float along[kAxesSample][kAxes];
  const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, dimensions = wide.dimensions;
  const int count = min(wide.num_points, kAxesSample);
  float* const axes = wide.frame.axes;
  float* const sample = wide.frame.sample;
  double reach = 0;
  for (int d = thread; d < dimensions; d += kAxesThreads) {
    wide.frame.mean[d] = sample_mean(wide, d, count, 0, wide.num_points, reach);
    for (int a = 0; a < kAxes; ++a) {
      const std::uint32_t mixed = (d * kAxes + a + 1) * 2654435761u;
      axes[a * dimensions + d] = (mixed >> 17 & 1) != 0 ? 1.0f : -1.0f;
    }
  }
  reach = block_max(reach);
  const double scale = reach > 0 && isfinite(reach) ? 1 / reach : 0;
  if (thread == 0) *wide.frame.scale = scale;
  for (int j = thread; j < count * dimensions; j += kAxesThreads) {
    const int i = j / dimensions, d = j % dimensions;
    const double x = wide.points[sampled_row(i, count, 0, wide.num_points) * dimensions + d];
    const auto scaled = static_cast<float>((x - wide.frame.mean[d]) * scale);
    sample[j] = isfinite(scaled) ? scaled : 0.0f;
  }
  for (int round = 0; round < 2; ++round) {
    __syncthreads();
    for (int i = warp; i < count; i += kAxesThreads / 32) {
      float sum[kAxes] = {};
      for (int d = lane; d < dimensions; d += 32) {
        const float x = sample[i * dimensions + d];
#pragma unroll
        for (int a = 0; a < kAxes; ++a) sum[a] += x * axes[a * dimensions + d];
      }
#pragma unroll
      for (int a = 0; a < kAxes; ++a) {
        for (int step = 16; step > 0; step /= 2) sum[a] += __shfl_xor_sync(kWarp, sum[a], step);
        if (lane == a) along[i][a] = sum[a];
      }
    }
    __syncthreads();
    for (int j = thread; j < dimensions * kAxes; j += kAxesThreads) {
      const int d = j % dimensions, a = j / dimensions;
      float sum = 0;
#pragma unroll 8
      for (int i = 0; i < count; ++i) sum += sample[i * dimensions + d] * along[i][a];
      axes[j] = sum;
    }
    __syncthreads();
    if (warp != 0) continue;
    for (int a = 0; a < kAxes; ++a) {  // made orthonormal; 0 where there are fewer directions
      float* const axis = axes + a * dimensions;
      for (int before = 0; before <= a; ++before) {
        const float* const other = axes + before * dimensions;
        float sum = 0;
        for (int d = lane; d < dimensions; d += 32) sum += axis[d] * other[d];
        for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kWarp, sum, step);
        const float factor = before < a ? sum : sum > 0 && isfinite(rsqrtf(sum)) ? rsqrtf(sum) : 0.0f;
        for (int d = lane; d < dimensions; d += 32)
          axis[d] = before < a ? axis[d] - factor * other[d] : axis[d] * factor;
        __syncwarp();
      }
    }
  }
}

/// One warp per point: its coordinates along the axes, and whether it is finite.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    along_kernel(const __grid_constant__ Wide<T> wide, float* along, std::int32_t* bad_row) {
  const int row = blockIdx.x * (kThreads / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= wide.num_points) return;
  const int dimensions = wide.dimensions;
  const T* const point = wide.points + static_cast<std::int64_t>(row) * dimensions;
  const double scale = *wide.frame.scale;
  bool finite = true;
  float sum[kAxes] = {};
  for (int d = lane; d < dimensions; d += 32) {
    finite = finite && isfinite(point[d]);
    const auto x = static_cast<float>((static_cast<double>(point[d]) - wide.frame.mean[d]) * scale);
#pragma unroll
    for (int a = 0; a < kAxes; ++a) sum[a] += x * wide.frame.axes[a * dimensions + d];
  }
#pragma unroll
  for (int a = 0; a < kAxes; ++a) {
    for (int step = 16; step > 0; step /= 2) sum[a] += __shfl_xor_sync(kWarp, sum[a], step);
    if (lane == a) along[static_cast<std::int64_t>(row) * kAxes + a] = isfinite(sum[a]) ? sum[a] : 0;
  }
  if (!__all_sync(kWarp, finite) && lane == 0) atomicMin(bad_row, row);
}

/// A coordinate as a half, what it is worth, and a bound of its error.
struct Rounded {
  __half half;
  double value, error;

  __device__ explicit Rounded(double scaled) {
    if (!isfinite(scaled)) {
      half = __double2half(0);
      value = 0;
      error = static_cast<double>(infinity<float>());
      return;
    }
    half = __double2half(fmin(fmax(scaled, -kLargestHalf), kLargestHalf));
    value = __half2float(half);
    // `scaled` itself is rounded twice: less than 2^-52 of it, or than the smallest normal double.
    error = fabs(scaled - value) + fabs(scaled) * 0x1p-52 + 0x1p-1022;
  }
};

/// One block per tile, one warp per fragment.
template <typename T>
__global__ void __launch_bounds__(kTilePlaces * 2)
    pack_kernel(const __grid_constant__ Wide<T> wide, const __grid_constant__ Packed packed, bool of_queries) {
  __shared__ float errors[kTilePlaces], norms[kTilePlaces];
  const int tile = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int dimensions = wide.dimensions, places = of_queries ? wide.num_queries : wide.num_points;
  const T* const rows = of_queries ? wide.queries : wide.points;
  const std::int32_t* const splits = of_queries ? wide.query_row_splits : wide.row_splits;

  // The lane's two rows.
  const T* x[2];
  const T* centre[2];
  int place[2], exponent[2];
  std::int32_t row[2];
  bool real[2], candidate[2];
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    place[j] = tile * kTilePlaces + warp * kFragmentRows + lane / 4 + 8 * j;
    real[j] = place[j] < places;
    const int there = min(place[j], places - 1);
    const std::int32_t entry = of_queries ? there : wide.order[there];
    const int event = splits == nullptr ? 0 : find_event(splits, wide.num_events, there);
    candidate[j] = real[j] && entry >= 0;
    row[j] = entry < 0 ? ~entry : entry;
    x[j] = rows + static_cast<std::int64_t>(row[j]) * dimensions;
    centre[j] = wide.frame.centre + static_cast<std::int64_t>(event) * dimensions;
    exponent[j] = wide.frame.exponent[event];
  }
  double norm[2] = {}, error2[2] = {};
  for (int step = 0; step < wide.chunks * wide.steps; ++step) {
    std::uint32_t words[4];
#pragma unroll
    for (int word = 0; word < 4; ++word) {
      const int j = word / 2, first = step * kStepDimensions + word % 2 * 8 + lane % 4 * 2;
      __half pair[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int d = first + i;
        const double apart =
            real[j] && d < dimensions ? static_cast<double>(x[j][d]) - static_cast<double>(centre[j][d]) : 0;
        const Rounded rounded(real[j] && d < dimensions ? ldexp(apart, exponent[j]) : 0);
        pair[i] = rounded.half;
        norm[j] += rounded.value * rounded.value;
        error2[j] += rounded.error * rounded.error;
      }
      const __half2 both(pair[0], pair[1]);
      words[word] = *reinterpret_cast<const std::uint32_t*>(&both);
    }
    const int chunk = step / wide.steps;
    const std::int64_t at =
        ((static_cast<std::int64_t>(tile) * wide.chunks + chunk) * (kTilePlaces / kFragmentRows) + warp) * wide.steps +
        step % wide.steps;
    packed.halves[at * 32 + lane] = {words[0], words[1], words[2], words[3]};
  }
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    for (int step = 1; step < 4; step *= 2) {
      norm[j] += __shfl_xor_sync(kWarp, norm[j], step);
      error2[j] += __shfl_xor_sync(kWarp, error2[j], step);
    }
    if (lane % 4 != 0) continue;
    const int in_tile = place[j] - tile * kTilePlaces;
    const float row_norm = __double2float_rn(norm[j]);
    const float row_error = __double2float_ru(sqrt(error2[j]) * (1 + 0x1p-40));
    if (real[j]) {
      packed.norm[place[j]] = row_norm;
      packed.error[place[j]] = row_error;
    }
    packed.heads[tile].minus_half_norm[in_tile] = candidate[j] ? -0.5f * row_norm : not_a_number<float>();
    packed.heads[tile].row[in_tile] = row[j];
    errors[in_tile] = candidate[j] ? row_error : 0;
    norms[in_tile] = candidate[j] ? row_norm : 0;
  }
  __syncthreads();
  if (warp != 0) return;
  const std::uint32_t error = warp_max(to_bits(fmaxf(errors[lane], errors[lane + 32])));
  const std::uint32_t largest = warp_max(to_bits(fmaxf(norms[lane], norms[lane + 32])));
  if (lane != 0) return;
  packed.heads[tile].error = from_bits(error);
  packed.heads[tile].norm = from_bits(largest);
}

template <typename T>
void pack_rows(const Wide<T>& wide, const Packed& packed, int places, bool of_queries, cudaStream_t stream) {
  if (places == 0) return;
  pack_kernel<T><<<tiles_of(places), kTilePlaces * 2, 0, stream>>>(wide, packed, of_queries);
  call(cudaGetLastError());
}

}  // namespace

template <typename T>
void frame_points(const Wide<T>& wide, float* along, std::int32_t* bad_row, cudaStream_t stream) {
  if (wide.num_events > 0) centre_kernel<T><<<wide.num_events, kThreads, 0, stream>>>(wide);
  if (wide.num_points > 0) {
    axes_kernel<T><<<1, kAxesThreads, 0, stream>>>(wide);
    along_kernel<T><<<blocks_of(wide.num_points, kThreads / 32), kThreads, 0, stream>>>(wide, along, bad_row);
  }
  call(cudaGetLastError());
}

template <typename T>
void pack(const Wide<T>& wide, cudaStream_t stream) {
  pack_rows(wide, wide.packed_points, wide.num_points, false, stream);
  if (wide.queries != nullptr) pack_rows(wide, wide.packed_queries, wide.num_queries, true, stream);
}

#define STARLING_INSTANTIATE(T)                                                    \
  template void frame_points(const Wide<T>&, float*, std::int32_t*, cudaStream_t); \
  template void pack(const Wide<T>&, cudaStream_t)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::neighbors::cuda
