#include "dense/cuda/chain.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/launch.cuh"
#include "cuda/mma.cuh"

// A block computes a tile of kRows rows of every step of a chain. The inputs of a step are in shared memory with the
// rows of each input side by side; weights pass through in slices of kSlice inputs, the next one on its way while one
// is used. A thread has a part of the tile in registers: 8 rows, and 8, 4 or 1 columns, as the layer is wide.
namespace starling::dense::cuda {

using starling::cuda::blocks_of, starling::cuda::call, starling::cuda::commit_copies, starling::cuda::copy_16,
    starling::cuda::wait_for_copies;

namespace {

constexpr int kThreads = 256, kRows = 128, kDepth = 128, kSlice = 32;
constexpr int kRowStride = kRows + 4;  // inputs that a warp writes at once fall into different banks
constexpr int kColumnTile = 128;
static_assert(kMostKept == kDepth && kMostKept == kColumnTile);

struct Shared {
  float inputs[kDepth * kRowStride];  ///< [input, row]
  float weights[2][kSlice * kColumnTile];
};

/// The part of a tile that a thread computes: rows 4 ty .. and 64 + 4 ty .., and columns 4 tx .. (and 64 + 4 tx ..), or
/// column tx. The threads of a warp are 4 rows of 8.
template <int kColumns>
struct Part {
  static constexpr int kWidth = kColumns * 16;  ///< columns of the tile
  float sum[8][kColumns];

  static __device__ int tx() { return threadIdx.x / 32 % 2 * 8 + threadIdx.x % 8; }
  static __device__ int ty() { return threadIdx.x / 64 * 4 + threadIdx.x % 32 / 8; }
  static __device__ int row(int r) { return r / 4 * 64 + 4 * ty() + r % 4; }
  static __device__ int column(int c) { return kColumns == 1 ? tx() : c / 4 * 64 + 4 * tx() + c % 4; }

  __device__ void clear() {
#pragma unroll
    for (int r = 0; r < 8; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) sum[r][c] = 0.f;
    }
  }

  __device__ __forceinline__ void add_input(const float* inputs, const float* weights) {
    float a[8], w[kColumns];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float4 four = *reinterpret_cast<const float4*>(inputs + half * 64 + 4 * ty());
      a[4 * half] = four.x, a[4 * half + 1] = four.y, a[4 * half + 2] = four.z, a[4 * half + 3] = four.w;
    }
    if constexpr (kColumns == 1) {
      w[0] = weights[tx()];
    } else {
#pragma unroll
      for (int c = 0; c < kColumns; c += 4) {
        const float4 four = *reinterpret_cast<const float4*>(weights + c * 16 + 4 * tx());
        w[c] = four.x, w[c + 1] = four.y, w[c + 2] = four.z, w[c + 3] = four.w;
      }
    }
#pragma unroll
    for (int r = 0; r < 8; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) sum[r][c] = fmaf(a[r], w[c], sum[r][c]);
    }
  }

  /// Adds the products of `depth` inputs, in ascending order. `weights` is the tile's first column of the first input.
  __device__ void add(Shared& shared, const float* weights, int stride, int depth) {
    const auto fetch = [&](int slice) {
      const int first = slice * kSlice, count = min(kSlice, depth - first);
      for (int i = threadIdx.x; i < count * (kWidth / 4); i += kThreads) {
        const int k = i / (kWidth / 4), c = i % (kWidth / 4) * 4;
        copy_16(shared.weights[slice % 2] + k * kWidth + c,
                weights + static_cast<std::int64_t>(first + k) * stride + c);
      }
      commit_copies();
    };
    const int slices = (depth + kSlice - 1) / kSlice;
    fetch(0);
    for (int slice = 0; slice < slices; ++slice) {
      if (slice + 1 < slices) {
        fetch(slice + 1);
        wait_for_copies<1>();
      } else {
        wait_for_copies<0>();
      }
      __syncthreads();
      const float* const inputs = shared.inputs + slice * kSlice * kRowStride;
      const float* const slice_weights = shared.weights[slice % 2];
      const int count = min(kSlice, depth - slice * kSlice);
      if (count == kSlice) {
#pragma unroll 8
        for (int k = 0; k < kSlice; ++k) add_input(inputs + k * kRowStride, slice_weights + k * kWidth);
      } else {
        for (int k = 0; k < count; ++k) add_input(inputs + k * kRowStride, slice_weights + k * kWidth);
      }
      __syncthreads();
    }
  }

  __device__ void finish(const Layer& layer, int first_column) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const float bias = layer.bias != nullptr ? layer.bias[first_column + column(c)] : 0.f;
#pragma unroll
      for (int r = 0; r < 8; ++r) {
        float value = sum[r][c];
        if (layer.bias != nullptr) value += bias;
        sum[r][c] = layer.relu && value < 0.f ? 0.f : value;  // NaN stays
      }
    }
  }

  /// What is kept becomes the inputs of the steps that follow.
  __device__ void keep(Shared& shared, int out) const {
    __syncthreads();
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      if (column(c) >= out) continue;
      float* const to = shared.inputs + column(c) * kRowStride;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int r = 4 * half;
        *reinterpret_cast<float4*>(to + half * 64 + 4 * ty()) =
            make_float4(sum[r][c], sum[r + 1][c], sum[r + 2][c], sum[r + 3][c]);
      }
    }
    __syncthreads();
  }

  __device__ void store(const Store& to, std::int64_t first_row, int rows, int first_column) const {
    constexpr int kTogether = kColumns == 1 ? 1 : 4;
    const bool whole = kTogether == 4 && to.stride % 4 == 0 && to.first % 4 == 0 && to.width % 4 == 0 &&
                       reinterpret_cast<std::uintptr_t>(to.data) % 16 == 0;
#pragma unroll
    for (int c = 0; c < kColumns; c += kTogether) {
      const int at = first_column + column(c) - to.first;  // in the place
#pragma unroll
      for (int r = 0; r < 8; ++r) {
        if (row(r) >= rows) continue;
        float* const place = to.data + (first_row + row(r)) * to.stride;
        if (whole) {
          if (at < 0 || at >= to.width) continue;
          if constexpr (kTogether == 4) {
            *reinterpret_cast<float4*>(place + at) =
                make_float4(sum[r][c], sum[r][c + 1], sum[r][c + 2], sum[r][c + 3]);
          }
        } else {
#pragma unroll
          for (int i = 0; i < kTogether; ++i) {
            if (at + i >= 0 && at + i < to.width) place[at + i] = sum[r][c + i];
          }
        }
      }
    }
  }
};

/// Columns first .. first + depth − 1 of a source become the inputs; rows that are not there are zeros.
__device__ void load(const Source& source, std::int64_t first_row, int rows, int first, int depth, Shared& shared) {
  const float* const from = source.data + first_row * source.stride + first;
  const bool whole = source.stride % 4 == 0 && depth % 4 == 0 && reinterpret_cast<std::uintptr_t>(from) % 16 == 0;
  __syncthreads();
  if (whole) {
    // A warp takes 8 rows at a time and 16 columns of each: whole sectors of memory, different banks.
    const int lane_row = threadIdx.x / 32 * 8 + threadIdx.x % 8, lane_column = threadIdx.x % 32 / 8 * 4;
    for (int row = lane_row; row < kRows; row += kThreads / 32 * 8) {
#pragma unroll 4
      for (int column = lane_column; column < depth; column += 16) {
        const float4 four = row < rows ? *reinterpret_cast<const float4*>(from + row * source.stride + column)
                                       : make_float4(0.f, 0.f, 0.f, 0.f);
        float* const to = shared.inputs + column * kRowStride + row;
        to[0] = four.x, to[kRowStride] = four.y, to[2 * kRowStride] = four.z, to[3 * kRowStride] = four.w;
      }
    }
  } else {
    for (int i = threadIdx.x; i < kRows * depth; i += kThreads) {
      const int row = i / depth, column = i % depth;
      shared.inputs[column * kRowStride + row] = row < rows ? from[row * source.stride + column] : 0.f;
    }
  }
  __syncthreads();
}

template <int kColumns>
__device__ void run_step(const Step& step, std::int64_t first_row, int rows, int row_floats, Shared& shared) {
  const Layer& layer = step.layer;
  Part<kColumns> part;
  for (int column = 0; column < layer.out; column += Part<kColumns>::kWidth) {
    part.clear();
    const float* weights = layer.weights + column;
    if (step.num_sources == 0) part.add(shared, weights, row_floats, layer.in);
    for (int s = 0; s < step.num_sources; ++s) {
      for (int first = 0; first < step.sources[s].width; first += kDepth) {
        const int depth = min(kDepth, step.sources[s].width - first);
        load(step.sources[s], first_row, rows, first, depth, shared);
        part.add(shared, weights, row_floats, depth);
        weights += static_cast<std::int64_t>(depth) * row_floats;
      }
    }
    part.finish(layer, column);
    if (step.keep) part.keep(shared, layer.out);
    for (int s = 0; s < step.num_stores; ++s) part.store(step.stores[s], first_row, rows, column);
  }
  // What was stored can be read as a source by every thread of the block.
  __syncthreads();
}

/// As row_floats() on the host.
__host__ __device__ inline int padded_columns(int out) {
  return out <= 16 ? 16 : (out <= 64 ? 64 : (out + kColumnTile - 1) / kColumnTile * kColumnTile);
}

__global__ void __launch_bounds__(kThreads, 2) chain_kernel(const __grid_constant__ Chain chain, std::int32_t rows) {
  extern __shared__ float4 memory[];
  Shared& shared = *reinterpret_cast<Shared*>(memory);
  const std::int64_t first_row = std::int64_t{blockIdx.x} * kRows;
  const int here = static_cast<int>(min(std::int64_t{kRows}, rows - first_row));
  for (int i = 0; i < chain.num_steps; ++i) {
    const Step& step = chain.steps[i];
    const int stride = padded_columns(step.layer.out);
    if (stride == 16)
      run_step<1>(step, first_row, here, stride, shared);
    else if (stride == 64)
      run_step<4>(step, first_row, here, stride, shared);
    else
      run_step<8>(step, first_row, here, stride, shared);
  }
}

void launch(const Chain& chain, std::int32_t rows, CUstream_st* stream) {
  call(cudaFuncSetAttribute(chain_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, sizeof(Shared)));
  chain_kernel<<<blocks_of(rows, kRows), kThreads, sizeof(Shared), stream>>>(chain, rows);
  call(cudaGetLastError());
}

int most_kept(const Chain& chain) {
  int most = 0;
  for (int i = 0; i < chain.num_steps; ++i) {
    if (chain.steps[i].keep) most = std::max(most, chain.steps[i].layer.out);
  }
  return most;
}

}  // namespace

int row_floats(int out) { return padded_columns(out); }

Place pack(const std::vector<DenseLayer>& layers, const Weights& weights, std::vector<float>& packed) {
  const DenseLayer& first = layers.front();
  Place place{packed.size(), 0, first.in, 0, first.relu, first.bias};
  for (const DenseLayer& layer : layers) place.out += layer.out;
  const auto stride = static_cast<std::size_t>(row_floats(place.out));
  place.bias = place.weights + static_cast<std::size_t>(place.in) * stride;
  packed.resize(place.bias + stride);
  std::size_t column = 0;
  for (const DenseLayer& layer : layers) {
    const std::vector<float>& matrix = weights.at(layer.name + ".weight");
    for (std::size_t out = 0; out < static_cast<std::size_t>(layer.out); ++out, ++column) {
      for (std::size_t in = 0; in < static_cast<std::size_t>(layer.in); ++in) {
        packed[place.weights + in * stride + column] = matrix[out * static_cast<std::size_t>(layer.in) + in];
      }
      if (first.bias) packed[place.bias + column] = weights.at(layer.name + ".bias")[out];
    }
  }
  return place;
}

Layer at(const Place& place, const float* packed) {
  return {packed + place.weights, place.has_bias ? packed + place.bias : nullptr, place.in, place.out, place.relu};
}

std::size_t scratch_floats(const Chain& chain, std::int32_t rows) {
  const int most = most_kept(chain);
  return most <= kMostKept ? 0 : 2 * static_cast<std::size_t>(rows) * static_cast<std::size_t>(most);
}

void run(const Chain& chain, std::int32_t rows, float* scratch, CUstream_st* stream) {
  if (rows == 0) return;
  const int most = most_kept(chain);
  if (most <= kMostKept) return launch(chain, rows, stream);
  Source kept;
  int turn = 0;
  for (int i = 0; i < chain.num_steps; ++i) {
    Chain one;
    one.num_steps = 1;
    Step& step = one.steps[0];
    step = chain.steps[i];
    if (step.num_sources == 0) step.sources[step.num_sources++] = kept;
    if (step.keep) {
      step.keep = false;
      kept = {scratch + static_cast<std::size_t>(turn++ % 2) * static_cast<std::size_t>(rows) * most, most,
              step.layer.out};
      step.stores[step.num_stores++] = {const_cast<float*>(kept.data), kept.stride, 0, kept.width};
    }
    launch(one, rows, stream);
  }
}

}  // namespace starling::dense::cuda
