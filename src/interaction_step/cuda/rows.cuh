#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <tuple>

#include "cuda/launch.cuh"
#include "interaction_step/cuda/tile.cuh"

// A warp takes tiles of 16 rows through all layers: sums stay in its registers, weights lie in shared memory where they
// fit, else they are read through the cache. The blocks that the device holds at once go through all tiles.
//
// The gradient computes the layers anew, and then goes back through them. On the way it writes what the gradient of the
// weights needs too, normalised sums and the gradients of each layer's, of which the same lane reads back what it
// needs: so registers hold two arrays of sums at most, and where shared memory has no room for the weights of both
// directions it holds those of one at a time.
namespace starling::interactionstep::cuda {
namespace {

/// The biases of the layers, 8 · tiles per layer, 0 where there is none. Others see them after a barrier.
template <int kTiles>
__device__ void bring_biases(const MlpKernel& mlp, float* biases) {
  for (int i = static_cast<int>(threadIdx.x); i < kMaxLayers * 8 * kTiles; i += static_cast<int>(blockDim.x)) {
    const int layer = i / (8 * kTiles), column = i % (8 * kTiles);
    const bool there = layer < mlp.num_layers && mlp.layers[layer].bias != nullptr && column < mlp.layers[layer].out;
    biases[i] = there ? mlp.layers[layer].bias[column] : 0.f;
  }
}
template <int kTiles>
constexpr int kBiasBytes = static_cast<int>(sizeof(float)) * kMaxLayers * 8 * kTiles;

/// Where to read weights: in shared memory, whither they are copied, or where they are, if `memory` is null. All
/// threads of the block call it; first it waits for all of them.
template <typename Fragment>
__device__ const Fragment* bring_weights(const Fragment* from, std::int64_t size, Fragment* memory) {
  __syncthreads();
  if (memory == nullptr) return from;
  constexpr int kEach = 16 / static_cast<int>(sizeof(Fragment));
  for (std::int64_t i = kEach * std::int64_t{threadIdx.x}; i < size; i += kEach * std::int64_t{blockDim.x})
    copy_16(memory + i, from + i);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  return memory;
}

template <Product kProduct, int kTiles>
__global__ void __launch_bounds__(threads_of(kTiles))
    mlp_kernel(const __grid_constant__ MlpKernel mlp, const __grid_constant__ MutableRows out, bool is_shared) {
  using W = Warp<kProduct, kTiles>;
  extern __shared__ __align__(16) unsigned char memory[];
  using Fragment = typename W::Fragment;
  after_previous();
  auto* const biases = reinterpret_cast<float*>(memory);
  auto* const shared = reinterpret_cast<Fragment*>(memory + kBiasBytes<kTiles>);
  bring_biases<kTiles>(mlp, biases);
  const Fragment* const packed =
      bring_weights(static_cast<const Fragment*>(mlp.packed), mlp.packed_size, is_shared ? shared : nullptr);
  W::for_tiles_of(mlp.first_row, mlp.end_row, [&](const W& warp) {
    typename W::Sums sums, next;
    float scale[2];
    warp.first_layer(mlp, packed, biases, sums);
#pragma unroll 1
    for (int l = 0;; ++l) {
      const Layer& layer = mlp.layers[l];
      if (layer.norm) warp.normalise(sums, layer.out, scale);
      if (layer.relu) W::relu(sums);
      if (l + 1 == mlp.num_layers) break;
      warp.set_bias(biases + (l + 1) * 8 * kTiles, next);
      warp.multiply_sums(sums, layer.out, packed + mlp.layers[l + 1].packed, next);
      W::copy(next, sums);
    }
    warp.store(out, sums);
  });
}

/// `is_once`: shared memory has the weights of both directions, and a tile goes there and back at once. Else all tiles
/// go there first, then back.
template <Product kProduct, int kTiles>
__global__ void __launch_bounds__(threads_of(kTiles))
    gradient_kernel(const __grid_constant__ MlpKernel mlp, const __grid_constant__ MlpGradient gradient, bool is_once,
                    bool is_shared, bool is_transposed_shared) {
  using W = Warp<kProduct, kTiles>;
  extern __shared__ __align__(16) unsigned char memory[];
  using Fragment = typename W::Fragment;
  after_previous();
  auto* const biases = reinterpret_cast<float*>(memory);
  auto* const shared = reinterpret_cast<Fragment*>(memory + kBiasBytes<kTiles>);
  const int last = mlp.num_layers - 1;
  bring_biases<kTiles>(mlp, biases);

  const auto* const stored = static_cast<const Fragment*>(mlp.packed);
  const Fragment *packed = nullptr, *transposed = nullptr;
#pragma unroll 1
  for (int way = is_once ? 1 : 0; way < 2; ++way) {  // 0: there, 1: back
    const bool goes_there = way == 0 || is_once;
    if (is_once) {
      packed = bring_weights(stored, mlp.packed_size + mlp.transposed_size, shared);
      transposed = packed + mlp.packed_size;
    } else if (way == 0) {
      packed = bring_weights(stored, mlp.packed_size, is_shared ? shared : nullptr);
    } else {
      transposed =
          bring_weights(stored + mlp.packed_size, mlp.transposed_size, is_transposed_shared ? shared : nullptr);
    }
    W::for_tiles_of(mlp.first_row, mlp.end_row, [&](const W& warp) {
      typename W::Sums sums, next;
      if (goes_there) {
        warp.first_layer(mlp, packed, biases, sums);
#pragma unroll 1
        for (int l = 0; l < last; ++l) {
          const Layer& layer = mlp.layers[l];
          if (layer.norm) {
            float scale[2];
            warp.normalise(sums, layer.out, scale);
#pragma unroll
            for (int h = 0; h < 2; ++h) {
              if (warp.quarter == 0 && warp.row(h) < warp.end)
                gradient.scales[l][warp.row(h) - gradient.normalised[l].first] = scale[h];
            }
          }
          warp.store(gradient.normalised[l], sums);
          W::relu(sums);
          warp.set_bias(biases + (l + 1) * 8 * kTiles, next);
          warp.multiply_sums(sums, layer.out, packed + mlp.layers[l + 1].packed, next);
          W::copy(next, sums);
        }
        W::clear(next);
        warp.add_rows(gradient.out_gradient, next);
        warp.add_gathered(gradient.out_terms, next);
        if (mlp.layers[last].relu) {
#pragma unroll
          for (int j = 0; j < kTiles; ++j) {
#pragma unroll
            for (int i = 0; i < 4; ++i) next[j][i] = sums[j][i] > 0 ? next[j][i] : 0.f;
          }
        }
        warp.store(gradient.sums[last], next);
        __syncwarp();  // all lanes of a row read its scale
      } else {
        W::clear(next);
        warp.add_rows(constant(gradient.sums[last]), next);
      }
      if (way == 0) return;
#pragma unroll 1
      for (int l = last - 1; l >= 0; --l) {
        W::copy(next, sums);
        W::clear(next);
        warp.multiply_sums(sums, mlp.layers[l + 1].out, transposed + mlp.layers[l + 1].transposed, next);
        warp.back_through(mlp.layers[l], constant(gradient.normalised[l]), gradient.scales[l], next);
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
    });
  }
}

/// blockIdx.y: which of the outs.
template <Product kProduct, int kTiles>
__global__ void __launch_bounds__(threads_of(kTiles))
    linear_kernel(const __grid_constant__ LinearKernel linear, bool is_shared) {
  using W = Warp<kProduct, kTiles>;
  extern __shared__ __align__(16) unsigned char memory[];
  using Fragment = typename W::Fragment;
  after_previous();
  const int o = static_cast<int>(blockIdx.y);
  const Fragment* const packed =
      bring_weights(static_cast<const Fragment*>(linear.packed) + o * linear.out_size, linear.out_size,
                    is_shared ? reinterpret_cast<Fragment*>(memory) : nullptr);
  W::for_tiles_of(0, linear.num_rows, [&](const W& warp) {
    typename W::Sums sums;
    W::clear(sums);
    warp.add_rows(linear.addends[o], sums);
    std::int64_t place = 0;
#pragma unroll 1
    for (int s = 0; s < linear.num_sources; ++s) {
      warp.multiply_rows(linear.sources[s], packed + place, sums);
      place += std::int64_t{(linear.sources[s].width + 15) / 16} * W::kSliceFragments;
    }
    warp.store(linear.outs[o], sums);
  });
}

constexpr int kPackThreads = 256;

/// One thread per fragment; blockIdx.y: which job.
template <Product kProduct>
__global__ void __launch_bounds__(kPackThreads) pack_kernel(const __grid_constant__ PackKernel pack, int tiles) {
  using O = Operands<kProduct>;
  const PackJob& job = pack.jobs[blockIdx.y];
  const std::int64_t at = std::int64_t{blockIdx.x} * kPackThreads + threadIdx.x;
  if (at >= fragments(kProduct, job.inputs, tiles)) return;
  const int lane = static_cast<int>(at % 32), tile = static_cast<int>(at / 32 % tiles);
  const auto half = static_cast<int>(at / (32 * tiles) % O::kHalves);
  const auto slice = static_cast<int>(at / (32 * tiles * O::kHalves));
  const int output = column_of(tile, lane / 8, lane / 4 % 2);
  float b[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int input = 16 * slice + lane % 4 * 4 + i;
    b[i] = input < job.inputs && output < job.outputs ? job.weight[input * job.by_input + output * job.by_output] : 0.f;
  }
  static_cast<typename O::Fragment*>(pack.packed)[job.place + at] = O::pack(b, half);
}

/// As many blocks as the device holds at once, or fewer where there are fewer tiles. The device is asked once for each
/// kernel and size: its answer takes longer than a launch.
template <int kTiles, typename Kernel>
int blocks_for(Kernel kernel, std::int64_t bytes, std::int64_t rows) {
  static std::mutex mutex;
  static std::map<std::tuple<Kernel, int, std::int64_t>, int> known;
  int device = 0;
  call(cudaGetDevice(&device));
  const std::lock_guard lock(mutex);
  int& resident = known[{kernel, device, bytes}];
  if (resident == 0) resident = resident_blocks(kernel, threads_of(kTiles), bytes);
  return std::min(blocks_of(rows, kRows), resident);
}

/// Bytes of so many fragments, or 0 where a block has not so much shared memory beside the biases.
template <Product kProduct, int kTiles>
std::int64_t shared_bytes(std::int64_t fragments) {
  const std::int64_t bytes = fragments * static_cast<std::int64_t>(sizeof(typename Operands<kProduct>::Fragment));
  return bytes <= most_shared_bytes() - kBiasBytes<kTiles> ? bytes : 0;
}

template <Product kProduct, int kTiles>
void launch_mlp(const MlpKernel& mlp, const MutableRows& out, cudaStream_t stream) {
  const std::int64_t bytes = shared_bytes<kProduct, kTiles>(mlp.packed_size);
  const auto kernel = mlp_kernel<kProduct, kTiles>;
  const int blocks = blocks_for<kTiles>(kernel, kBiasBytes<kTiles> + bytes, mlp.end_row - mlp.first_row);
  launch_after(kernel, blocks, threads_of(kTiles), kBiasBytes<kTiles> + bytes, stream, mlp, out, bytes > 0);
}

template <Product kProduct, int kTiles>
void launch_gradient(const MlpKernel& mlp, const MlpGradient& gradient, cudaStream_t stream) {
  const std::int64_t both = shared_bytes<kProduct, kTiles>(mlp.packed_size + mlp.transposed_size),
                     there = shared_bytes<kProduct, kTiles>(mlp.packed_size),
                     back = shared_bytes<kProduct, kTiles>(mlp.transposed_size);
  const std::int64_t bytes = kBiasBytes<kTiles> + (both > 0 ? both : std::max(there, back));
  const auto kernel = gradient_kernel<kProduct, kTiles>;
  const int blocks = blocks_for<kTiles>(kernel, bytes, mlp.end_row - mlp.first_row);
  launch_after(kernel, blocks, threads_of(kTiles), bytes, stream, mlp, gradient, both > 0, there > 0, back > 0);
}

template <Product kProduct, int kTiles>
void launch_linear(const LinearKernel& linear, cudaStream_t stream) {
  const std::int64_t bytes = shared_bytes<kProduct, kTiles>(linear.out_size);
  const auto kernel = linear_kernel<kProduct, kTiles>;
  const int blocks = std::max(1, blocks_for<kTiles>(kernel, bytes, linear.num_rows) / linear.num_outs);
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(linear.num_outs));
  launch_after(kernel, grid, threads_of(kTiles), bytes, stream, linear, bytes > 0);
}

}  // namespace

template <Product kProduct, int kTiles>
void RowKernels<kProduct, kTiles>::pack(const PackKernel& pack, cudaStream_t stream) {
  std::int64_t most = 0;
  for (int i = 0; i < pack.num_jobs; ++i) most = std::max(most, fragments(kProduct, pack.jobs[i].inputs, kTiles));
  const dim3 grid(static_cast<unsigned>(blocks_of(most, kPackThreads)), static_cast<unsigned>(pack.num_jobs));
  pack_kernel<kProduct><<<grid, kPackThreads, 0, stream>>>(pack, kTiles);
  call(cudaGetLastError());
}

template <Product kProduct, int kTiles>
void RowKernels<kProduct, kTiles>::mlp(const MlpKernel& mlp, const MutableRows& out, cudaStream_t stream) {
  if (mlp.first_row < mlp.end_row) launch_mlp<kProduct, kTiles>(mlp, out, stream);
}

template <Product kProduct, int kTiles>
void RowKernels<kProduct, kTiles>::gradient(const MlpKernel& mlp, const MlpGradient& gradient, cudaStream_t stream) {
  if (mlp.first_row < mlp.end_row) launch_gradient<kProduct, kTiles>(mlp, gradient, stream);
}

template <Product kProduct, int kTiles>
void RowKernels<kProduct, kTiles>::linear(const LinearKernel& linear, cudaStream_t stream) {
  if (linear.num_rows > 0) launch_linear<kProduct, kTiles>(linear, stream);
}

}  // namespace starling::interactionstep::cuda
