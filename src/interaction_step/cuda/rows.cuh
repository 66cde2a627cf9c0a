#pragma once

#include <algorithm>

#include "cuda/launch.cuh"
#include "interaction_step/cuda/numbers.cuh"
#include "starling/dense.h"

// A warp takes strips of 16 rows through all layers: sums stay in its registers, weights lie in shared memory where
// they fit, else they are read through the cache. The blocks that the device holds at once go through all strips.
//
// The gradient computes the layers anew. It writes the normalised sums, which the gradient of the weights needs too,
// and reads them back in the same lane; so registers hold two arrays of sums at most.
namespace starling::interactionstep::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;

/// Strips that a warp takes at once: each fragment of weights is read once for all.
constexpr int strips_of(int tiles) { return tiles <= 6 ? 2 : 1; }

template <Product kProduct, int kTiles>
struct Warp {
  using O = Operands<kProduct>;
  using Fragment = typename O::Fragment;
  static constexpr int kStrips = strips_of(kTiles), kRows = 16 * kStrips, kSlices = kTiles / 2;
  static constexpr int kSliceFragments = O::kHalves * kTiles * 32;
  using Sums = float[kStrips][kTiles][4];
  using Slice = float[kStrips][8];

  /// Row h (0 or 1) of strip m is first + 16 m + 8 h + g.
  std::int64_t first, end;
  int lane = threadIdx.x % 32, quarter = lane % 4;

  __device__ std::int64_t row(int m, int h) const { return first + 16 * m + 8 * h + lane / 4; }

  __device__ void load(const Rows& rows, int column, Slice& slice) const {
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::int64_t r = row(m, i % 2);
        const Pair pair = r < end ? load_pair(rows, r, column + i / 2 * 8 + 2 * quarter) : Pair{};
        slice[m][2 * i] = pair.x;
        slice[m][2 * i + 1] = pair.y;
      }
    }
  }

  /// Adds the product of rows with weights.
  __device__ void multiply_rows(const Rows& rows, const Fragment* weights, Sums& sums) const {
    const bool is_exact = kProduct == Product::bfloat16 && !rows.is_bfloat16;
    Slice slice, next;
    load(rows, 0, next);
#pragma unroll 1
    for (int column = 0; column < rows.width; column += 16) {
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int i = 0; i < 8; ++i) slice[m][i] = next[m][i];
      }
      load(rows, column + 16, next);
      O::multiply(slice, weights + lane, sums);
      if (is_exact) {
#pragma unroll 1
        for (int part = 0; part < 2; ++part) {
#pragma unroll
          for (int m = 0; m < kStrips; ++m) {
#pragma unroll
            for (int i = 0; i < 8; ++i) slice[m][i] -= __bfloat162float(__float2bfloat16_rn(slice[m][i]));
          }
          O::multiply(slice, weights + lane, sums);
        }
      }
      weights += kSliceFragments;
    }
  }

  /// Adds the product of numbers as sums lie.
  __device__ void multiply_sums(const Sums& from, int width, const Fragment* weights, Sums& sums) const {
#pragma unroll
    for (int s = 0; s < kSlices; ++s) {
      if (16 * s >= width) break;
      Slice slice;
#pragma unroll
      for (int m = 0; m < kStrips; ++m) {
#pragma unroll
        for (int i = 0; i < 8; ++i) slice[m][i] = from[m][2 * s + i / 4][i % 4];
      }
      O::multiply(slice, weights + s * kSliceFragments + lane, sums);
    }
  }

  __device__ void set_bias(const Layer& layer, Sums& sums) const {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const int column = 8 * j + 2 * quarter + c;
        const float value = layer.bias != nullptr && column < layer.out ? __ldg(layer.bias + column) : 0.f;
#pragma unroll
        for (int m = 0; m < kStrips; ++m) sums[m][j][c] = sums[m][j][2 + c] = value;
      }
    }
  }

  __device__ void add_gathered(const Gathered& gathered, Sums& sums) const {
    if (gathered.num_rows == 0) return;
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const std::int32_t index = row(m, h) < end ? __ldg(gathered.index + row(m, h)) : -1;
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
          const Pair pair = gather_pair(gathered, index, 8 * j + 2 * quarter);
          sums[m][j][2 * h] += pair.x;
          sums[m][j][2 * h + 1] += pair.y;
        }
      }
    }
  }

  __device__ void add_rows(const Rows& rows, Sums& sums) const {
    if (rows.data == nullptr) return;
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (row(m, h) >= end) continue;
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
          const Pair pair = load_pair(rows, row(m, h), 8 * j + 2 * quarter);
          sums[m][j][2 * h] += pair.x;
          sums[m][j][2 * h + 1] += pair.y;
        }
      }
    }
  }

  __device__ void store(const MutableRows& rows, const Sums& sums) const {
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (row(m, h) >= end) continue;
#pragma unroll
        for (int j = 0; j < kTiles; ++j)
          store_pair(rows, row(m, h), 8 * j + 2 * quarter, sums[m][j][2 * h], sums[m][j][2 * h + 1]);
      }
    }
  }

  __device__ static void clear(Sums& sums) {
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[m][j][i] = 0;
      }
    }
  }
  __device__ static void copy(const Sums& from, Sums& to) {
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) to[m][j][i] = from[m][j][i];
      }
    }
  }

  /// NaN stays NaN.
  __device__ static void relu(Sums& sums) {
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[m][j][i] = sums[m][j][i] < 0 ? 0.f : sums[m][j][i];
      }
    }
  }

  /// The sum over the four lanes that hold a row.
  __device__ static float row_sum(float value) {
    value += __shfl_xor_sync(0xFFFFFFFFU, value, 1);
    return value + __shfl_xor_sync(0xFFFFFFFFU, value, 2);
  }

  /// Layer normalisation; `scale` gets 1 / √(variance + ε) of each row. Beyond `width` all is 0, before and after.
  __device__ void normalise(Sums& sums, int width, float (&scale)[kStrips][2]) const {
    const float share = 1.f / static_cast<float>(width);
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float total = 0, square = 0;
#pragma unroll
        for (int j = 0; j < kTiles; ++j) total += sums[m][j][2 * h] + sums[m][j][2 * h + 1];
        const float mean = row_sum(total) * share;
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            const float distance = 8 * j + 2 * quarter + c < width ? sums[m][j][2 * h + c] - mean : 0.f;
            sums[m][j][2 * h + c] = distance;
            square += distance * distance;
          }
        }
        scale[m][h] = rsqrtf(row_sum(square) * share + kLayerNormEpsilon);
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int c = 0; c < 2; ++c) sums[m][j][2 * h + c] *= scale[m][h];
        }
      }
    }
  }

  /// From the gradient of a layer's output to that of its sums, by way of ReLU and normalisation; `scale` as
  /// normalise() gave it, 1 without.
  __device__ void back_through(const Layer& layer, const Rows& normalised, const float (&scale)[kStrips][2],
                               Sums& gradient) const {
    const float share = 1.f / static_cast<float>(layer.out);
#pragma unroll
    for (int m = 0; m < kStrips; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float total = 0, along = 0, value[kTiles][2];
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
          const Pair pair = row(m, h) < end ? load_pair(normalised, row(m, h), 8 * j + 2 * quarter) : Pair{};
          value[j][0] = pair.x;
          value[j][1] = pair.y;
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            float& g = gradient[m][j][2 * h + c];
            g = value[j][c] > 0 ? g : 0.f;
            total += g;
            along += g * value[j][c];
          }
        }
        if (!layer.norm) continue;
        const float mean = row_sum(total) * share, slope = row_sum(along) * share;
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int c = 0; c < 2; ++c) {
            float& g = gradient[m][j][2 * h + c];
            g = 8 * j + 2 * quarter + c < layer.out ? (g - mean - value[j][c] * slope) * scale[m][h] : 0.f;
          }
        }
      }
    }
  }

  __device__ void first_layer(const MlpKernel& mlp, const Fragment* packed, Sums& sums) const {
    set_bias(mlp.layers[0], sums);
#pragma unroll
    for (int i = 0; i < 2; ++i) add_gathered(mlp.gathered[i], sums);
    std::int64_t place = mlp.layers[0].packed;
#pragma unroll 1
    for (int s = 0; s < mlp.num_sources; ++s) {
      multiply_rows(mlp.sources[s], packed + place, sums);
      place += std::int64_t{(mlp.sources[s].width + 15) / 16} * kSliceFragments;
    }
  }
};

/// Copies packed weights to shared memory where `memory` is not null, and returns where to read them.
template <typename Fragment>
__device__ const Fragment* bring_weights(const void* packed, std::int64_t size, Fragment* memory) {
  const auto* const from = static_cast<const Fragment*>(packed);
  if (memory == nullptr) return from;
  for (std::int64_t i = threadIdx.x; i < size; i += kThreads) memory[i] = from[i];
  __syncthreads();
  return memory;
}

template <Product kProduct, int kTiles>
__global__ void __launch_bounds__(kThreads)
    mlp_kernel(const __grid_constant__ MlpKernel mlp, const __grid_constant__ MutableRows out, bool is_shared) {
  using W = Warp<kProduct, kTiles>;
  extern __shared__ __align__(16) unsigned char memory[];
  using Fragment = typename W::Fragment;
  const Fragment* const packed =
      bring_weights(mlp.packed, mlp.packed_size, is_shared ? reinterpret_cast<Fragment*>(memory) : nullptr);
  const std::int64_t step = std::int64_t{gridDim.x} * kWarps * W::kRows;
  for (std::int64_t first = mlp.first_row + (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32) * W::kRows;
       first < mlp.end_row; first += step) {
    const W warp{first, mlp.end_row};
    typename W::Sums sums, next;
    float scale[W::kStrips][2];
    warp.first_layer(mlp, packed, sums);
#pragma unroll 1
    for (int l = 0;; ++l) {
      const Layer& layer = mlp.layers[l];
      if (layer.norm) warp.normalise(sums, layer.out, scale);
      if (layer.relu) W::relu(sums);
      if (l + 1 == mlp.num_layers) break;
      warp.set_bias(mlp.layers[l + 1], next);
      warp.multiply_sums(sums, layer.out, packed + mlp.layers[l + 1].packed, next);
      W::copy(next, sums);
    }
    warp.store(out, sums);
  }
}

template <Product kProduct, int kTiles>
__global__ void __launch_bounds__(kThreads)
    gradient_kernel(const __grid_constant__ MlpKernel mlp, const __grid_constant__ MlpGradient gradient, bool is_shared,
                    bool is_transposed_shared) {
  using W = Warp<kProduct, kTiles>;
  extern __shared__ __align__(16) unsigned char memory[];
  using Fragment = typename W::Fragment;
  auto* const shared = reinterpret_cast<Fragment*>(memory);
  const Fragment* const packed = bring_weights(mlp.packed, mlp.packed_size, is_shared ? shared : nullptr);
  const Fragment* const transposed =
      bring_weights(static_cast<const Fragment*>(mlp.packed) + mlp.packed_size, mlp.transposed_size,
                    is_transposed_shared ? shared + (is_shared ? mlp.packed_size : 0) : nullptr);
  const std::int64_t step = std::int64_t{gridDim.x} * kWarps * W::kRows;
  for (std::int64_t first = mlp.first_row + (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32) * W::kRows;
       first < mlp.end_row; first += step) {
    const W warp{first, mlp.end_row};
    typename W::Sums sums, next;
    float scale[kMaxLayers - 1][W::kStrips][2];
    warp.first_layer(mlp, packed, sums);
#pragma unroll
    for (int l = 0; l < kMaxLayers - 1; ++l) {
      if (l + 1 == mlp.num_layers) break;
      const Layer& layer = mlp.layers[l];
      if (layer.norm) warp.normalise(sums, layer.out, scale[l]);
      warp.store(gradient.normalised[l], sums);
      W::relu(sums);
      warp.set_bias(mlp.layers[l + 1], next);
      warp.multiply_sums(sums, layer.out, packed + mlp.layers[l + 1].packed, next);
      W::copy(next, sums);
    }

    const Layer& last = mlp.layers[mlp.num_layers - 1];
    W::clear(next);
    warp.add_rows(gradient.out_gradient, next);
#pragma unroll
    for (int i = 0; i < 2; ++i) warp.add_gathered(gradient.out_terms[i], next);
    if (last.relu) {
#pragma unroll
      for (int m = 0; m < W::kStrips; ++m) {
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int i = 0; i < 4; ++i) next[m][j][i] = sums[m][j][i] > 0 ? next[m][j][i] : 0.f;
        }
      }
    }
    warp.store(gradient.sums[mlp.num_layers - 1], next);
#pragma unroll
    for (int l = kMaxLayers - 2; l >= 0; --l) {
      if (l + 1 >= mlp.num_layers) continue;
      W::copy(next, sums);
      W::clear(next);
      warp.multiply_sums(sums, mlp.layers[l + 1].out, transposed + mlp.layers[l + 1].transposed, next);
      warp.back_through(mlp.layers[l], constant(gradient.normalised[l]), scale[l], next);
      warp.store(gradient.sums[l], next);
    }
    std::int64_t place = mlp.layers[0].transposed;
#pragma unroll 1
    for (int s = 0; s < mlp.num_sources; ++s) {
      if (gradient.sources[s].data != nullptr) {
        W::clear(sums);
        warp.multiply_sums(next, mlp.layers[0].out, transposed + place, sums);
        warp.store(gradient.sources[s], sums);
      }
      place += std::int64_t{(mlp.layers[0].out + 15) / 16} * W::kSliceFragments;
    }
  }
}

/// blockIdx.y: which of the outs.
template <Product kProduct, int kTiles>
__global__ void __launch_bounds__(kThreads) linear_kernel(const __grid_constant__ LinearKernel linear, bool is_shared) {
  using W = Warp<kProduct, kTiles>;
  extern __shared__ __align__(16) unsigned char memory[];
  using Fragment = typename W::Fragment;
  const Fragment* const packed =
      bring_weights(linear.packed, linear.packed_size, is_shared ? reinterpret_cast<Fragment*>(memory) : nullptr);
  const int o = static_cast<int>(blockIdx.y);
  const std::int64_t step = std::int64_t{gridDim.x} * kWarps * W::kRows;
  for (std::int64_t first = (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32) * W::kRows; first < linear.num_rows;
       first += step) {
    const W warp{first, linear.num_rows};
    typename W::Sums sums;
    W::clear(sums);
    warp.add_rows(linear.addends[o], sums);
#pragma unroll 1
    for (int s = 0; s < linear.num_sources; ++s)
      warp.multiply_rows(linear.sources[s], packed + linear.places[o][s], sums);
    warp.store(linear.outs[o], sums);
  }
}

/// One thread per fragment; blockIdx.y: which job.
template <Product kProduct>
__global__ void __launch_bounds__(kThreads) pack_kernel(const __grid_constant__ PackKernel pack, int tiles) {
  using O = Operands<kProduct>;
  const PackJob& job = pack.jobs[blockIdx.y];
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= fragments(kProduct, job.inputs, tiles)) return;
  const int lane = static_cast<int>(at % 32), tile = static_cast<int>(at / 32 % tiles);
  const auto half = static_cast<int>(at / (32 * tiles) % O::kHalves);
  const auto slice = static_cast<int>(at / (32 * tiles * O::kHalves));
  const int output = 8 * tile + lane / 4;
  float b[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int input = 16 * slice + i / 2 * 8 + lane % 4 * 2 + i % 2;
    b[i] = input < job.inputs && output < job.outputs ? job.weight[input * job.by_input + output * job.by_output] : 0.f;
  }
  static_cast<typename O::Fragment*>(pack.packed)[job.place + at] = O::pack(b, half);
}

/// As many blocks as the device holds at once, or fewer where there are fewer rows.
template <typename Kernel>
int blocks_for(Kernel kernel, std::int64_t bytes, std::int64_t rows, int rows_per_block) {
  return std::min(blocks_of(rows, rows_per_block), resident_blocks(kernel, kThreads, bytes));
}

template <Product kProduct, int kTiles>
void launch_mlp(const MlpKernel& mlp, const MutableRows& out, cudaStream_t stream) {
  using W = Warp<kProduct, kTiles>;
  const std::int64_t needed = mlp.packed_size * static_cast<std::int64_t>(sizeof(typename W::Fragment));
  const bool is_shared = needed <= most_shared_bytes();
  const std::int64_t bytes = is_shared ? needed : 0;
  const auto kernel = mlp_kernel<kProduct, kTiles>;
  const int blocks = blocks_for(kernel, bytes, mlp.end_row - mlp.first_row, kWarps * W::kRows);
  kernel<<<blocks, kThreads, bytes, stream>>>(mlp, out, is_shared);
  call(cudaGetLastError());
}

template <Product kProduct, int kTiles>
void launch_gradient(const MlpKernel& mlp, const MlpGradient& gradient, cudaStream_t stream) {
  using W = Warp<kProduct, kTiles>;
  constexpr std::int64_t kBytes = sizeof(typename W::Fragment);
  const int limit = most_shared_bytes();
  std::int64_t bytes = 0;
  const bool is_shared = mlp.packed_size * kBytes <= limit;
  if (is_shared) bytes += mlp.packed_size * kBytes;
  const bool is_transposed_shared = bytes + mlp.transposed_size * kBytes <= limit;
  if (is_transposed_shared) bytes += mlp.transposed_size * kBytes;
  const auto kernel = gradient_kernel<kProduct, kTiles>;
  const int blocks = blocks_for(kernel, bytes, mlp.end_row - mlp.first_row, kWarps * W::kRows);
  kernel<<<blocks, kThreads, bytes, stream>>>(mlp, gradient, is_shared, is_transposed_shared);
  call(cudaGetLastError());
}

template <Product kProduct, int kTiles>
void launch_linear(const LinearKernel& linear, cudaStream_t stream) {
  using W = Warp<kProduct, kTiles>;
  const std::int64_t needed = linear.packed_size * static_cast<std::int64_t>(sizeof(typename W::Fragment));
  const bool is_shared = needed <= most_shared_bytes();
  const std::int64_t bytes = is_shared ? needed : 0;
  const auto kernel = linear_kernel<kProduct, kTiles>;
  const int blocks = blocks_for(kernel, bytes, linear.num_rows, kWarps * W::kRows);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(linear.num_outs));
  kernel<<<grid, kThreads, bytes, stream>>>(linear, is_shared);
  call(cudaGetLastError());
}

/// action(the number of tiles as a constant)
template <typename Action>
void for_tiles(int tiles, const Action& action) {
  switch (tiles) {
    case 4:
      return action(std::integral_constant<int, 4>());
    case 6:
      return action(std::integral_constant<int, 6>());
    case 8:
      return action(std::integral_constant<int, 8>());
    case 12:
      return action(std::integral_constant<int, 12>());
    default:
      return action(std::integral_constant<int, 16>());
  }
}

}  // namespace

template <Product kProduct>
void RowKernels<kProduct>::pack(const PackKernel& pack, int tiles, cudaStream_t stream) {
  std::int64_t most = 0;
  for (int i = 0; i < pack.num_jobs; ++i) most = std::max(most, fragments(kProduct, pack.jobs[i].inputs, tiles));
  const dim3 grid(static_cast<unsigned>(blocks_of(most, kThreads)), static_cast<unsigned>(pack.num_jobs));
  pack_kernel<kProduct><<<grid, kThreads, 0, stream>>>(pack, tiles);
  call(cudaGetLastError());
}

template <Product kProduct>
void RowKernels<kProduct>::mlp(const MlpKernel& mlp, const MutableRows& out, int tiles, cudaStream_t stream) {
  if (mlp.first_row >= mlp.end_row) return;
  for_tiles(tiles, [&](auto count) { launch_mlp<kProduct, count.value>(mlp, out, stream); });
}

template <Product kProduct>
void RowKernels<kProduct>::gradient(const MlpKernel& mlp, const MlpGradient& gradient, int tiles, cudaStream_t stream) {
  if (mlp.first_row >= mlp.end_row) return;
  for_tiles(tiles, [&](auto count) { launch_gradient<kProduct, count.value>(mlp, gradient, stream); });
}

template <Product kProduct>
void RowKernels<kProduct>::linear(const LinearKernel& linear, int tiles, cudaStream_t stream) {
  if (linear.num_rows == 0) return;
  for_tiles(tiles, [&](auto count) { launch_linear<kProduct, count.value>(linear, stream); });
}

}  // namespace starling::interactionstep::cuda
