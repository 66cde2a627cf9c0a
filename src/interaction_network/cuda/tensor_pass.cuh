#pragma once

#include <cuda_runtime.h>

#include "dense/cuda/tensor_tile.cuh"
#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/launch.cuh"
#include "interaction_network/cuda/tensor_pass.h"

namespace starling::interaction_network::cuda {

/// The first layer of an encoder, in float.
template <typename Tile, typename Pass>
__device__ void multiply_features(const Pass& pass, std::int64_t first, int count, Tile& tile) {
  const float* row[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int r = Tile::row() + 8 * half;
    row[half] = r < count ? pass.features + std::int64_t{pass.places[first + r]} * pass.inputs : nullptr;
  }
#pragma unroll 1
  for (int k = 0; k < pass.inputs; ++k) {
    const float low = row[0] != nullptr ? row[0][k] : 0.f, high = row[1] != nullptr ? row[1][k] : 0.f;
    const float* const weights = pass.feature_weights + std::int64_t{k} * Tile::kColumns + Tile::first_column();
#pragma unroll
    for (int j = 0; j < Tile::kColumns / 8; ++j) {
      const float2 two = *reinterpret_cast<const float2*>(weights + 8 * j);
      tile.sum[j][0] = fmaf(low, two.x, tile.sum[j][0]);
      tile.sum[j][1] = fmaf(low, two.y, tile.sum[j][1]);
      tile.sum[j][2] = fmaf(high, two.x, tile.sum[j][2]);
      tile.sum[j][3] = fmaf(high, two.y, tile.sum[j][3]);
    }
  }
}

/// Wide rows take the registers of more threads, and matrices that only one block per processor has room for.
template <int kSixteens>
inline constexpr int kTensorThreads = kSixteens > 4 ? 512 : 256;

template <typename T, int kSixteens>
__global__ void __launch_bounds__(kTensorThreads<kSixteens>, kSixteens > 4 ? 1 : 2)
    tensor_kernel(const __grid_constant__ TensorPass<T> pass) {
  using Tile = dense::cuda::TensorTile<T, kSixteens>;
  using From = typename TensorPart<T>::From;
  extern __shared__ uint4 matrices[];
  for (int i = static_cast<int>(threadIdx.x); i < pass.matrices * Tile::kMatrixVectors; i += kTensorThreads<kSixteens>)
    starling::cuda::copy_16(matrices + i, pass.weights + i);
  starling::cuda::commit_copies();
  starling::cuda::wait_for_copies<0>();
  __syncthreads();

  constexpr int kWarps = kTensorThreads<kSixteens> / 32;
  const std::int32_t rows = *pass.rows;
  const float share = 1.f / static_cast<float>(pass.width);
  Tile tile;
  for (std::int64_t first = (std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32) * Tile::kRows; first < rows;
       first += std::int64_t{gridDim.x} * kWarps * Tile::kRows) {
    const int count = static_cast<int>(min(std::int64_t{Tile::kRows}, rows - first));
    if (pass.features != nullptr) {
      tile.clear();
      multiply_features(pass, first, count, tile);
      if (pass.feature_bias != nullptr) tile.add_bias(pass.feature_bias);
      if (pass.normalises_features) tile.normalise(share, kLayerNormEpsilon);
      tile.relu();
      tile.keep();
    }
    const uint4* matrix = matrices;
#pragma unroll 1
    for (int l = 0; l < pass.num_layers; ++l) {
      const TensorLayer<T>& layer = pass.layers[l];
      __syncwarp();  // tensor cores take a whole warp
      tile.clear();
#pragma unroll 1
      for (int p = 0; p < layer.num_parts; ++p) {
        const TensorPart<T>& part = layer.parts[p];
        if (part.from == From::rows) tile.load(part.states + first * Tile::kColumns, count);
        if (part.from == From::sums) tile.load_sums(part.states, part.splits + first, part.list, count);
        tile.multiply(matrix);
        matrix += Tile::kMatrixVectors;
      }
      if (layer.bias != nullptr) tile.add_bias(layer.bias);
      if (layer.gathers) tile.add_gathered(pass.by_src, pass.by_dst, pass.src + first, pass.dst + first, count);
      if (layer.normalises) tile.normalise(share, kLayerNormEpsilon);
      if (layer.relu) tile.relu();
      if (layer.gives_logit) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float logit = tile.product(pass.output, half);
          if (pass.output_bias != nullptr) logit += pass.output_bias[0];
          const int r = Tile::row() + 8 * half;
          if (r < count && Tile::first_column() == 0) pass.logits[pass.edge[first + r]] = logit;
        }
        break;
      }
      tile.keep();
      if (layer.store != nullptr) tile.store(layer.store + first * Tile::kColumns, count);
    }
  }
}

template <int kSixteens, typename T>
void run_sixteens(const TensorPass<T>& pass, cudaStream_t stream) {
  constexpr int kThreads = kTensorThreads<kSixteens>;
  const int bytes = pass.matrices * dense::cuda::TensorTile<T, kSixteens>::kMatrixVectors * 16;
  launch_persistent(tensor_kernel<T, kSixteens>, pass, starling::cuda::blocks_of(pass.capacity, kThreads / 2), kThreads,
                    bytes, stream);
}

template <typename T>
void run_any(const TensorPass<T>& pass, cudaStream_t stream) {
  with_sixteens(row_columns(pass.width), [&](auto sixteens) { run_sixteens<sixteens.value>(pass, stream); });
}

}  // namespace starling::interaction_network::cuda
