#pragma once

#include <cuda_runtime.h>

#include <algorithm>

#include "dense/cuda/tensor_tile.cuh"
#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/launch.cuh"
#include "interaction_network/cuda/tensor_pass.h"

// A warpgroup takes 64 rows through all layers of a pass, whose matrices are in shared memory for as long as the block
// runs. Warpgroups are independent of each other: some wait for memory while tensor cores multiply for others.
namespace starling::interaction_network::cuda {

/// Wide rows take the registers of more threads, and matrices that only one block per processor has room for.
template <int kSixteens>
inline constexpr int kTensorThreads = kSixteens > 4 ? 384 : 256;
template <int kSixteens>
inline constexpr int kTensorBlocks = kSixteens > 4 ? 1 : 2;  ///< per processor, at least

/// What the kernels of a pass share.
template <typename T, int kSixteens>
struct TensorRows {
  using Tile = dense::cuda::TensorTile<T, kSixteens>;
  using Inputs = typename Tile::Inputs;
  static constexpr int kColumns = Tile::kColumns, kMatrix = kColumns * kColumns * 2 / 16;  ///< vectors of 16 bytes
  static constexpr int kAhead = kSixteens > 4 ? 1 : 2;                                     ///< inputs in registers

  const uint4* matrix;  ///< the next one
  const float share;
  const bool normalises;
  Tile tile;

  __device__ TensorRows(const uint4* first, int width, bool norm)
      : matrix(first), share(1.f / static_cast<float>(width)), normalises(norm) {}

  /// Copies the matrices of the pass to shared memory and waits for the kernel ahead.
  static __device__ void prepare(const T* weights, int weight_rows, uint4* shared) {
    const auto* const from = reinterpret_cast<const uint4*>(weights);
    for (int i = static_cast<int>(threadIdx.x); i < weight_rows * (kColumns * 2 / 16); i += kTensorThreads<kSixteens>)
      starling::cuda::copy_16(shared + i, from + i);
    starling::cuda::commit_copies();
    starling::cuda::after_previous();
    starling::cuda::wait_for_copies<0>();
    starling::cuda::publish();
    __syncthreads();
  }

  /// The first row of this warp in turn `turn` of its warpgroup's, and all turns of a warpgroup end together.
  static __device__ std::int64_t first_row(std::int64_t turn) {
    constexpr int kGroups = kTensorThreads<kSixteens> / Tile::kGroup;
    const std::int64_t group = (turn * gridDim.x + blockIdx.x) * kGroups + threadIdx.x / Tile::kGroup;
    return group * Tile::kGroupRows + threadIdx.x % Tile::kGroup / 32 * Tile::kRows;
  }

  __device__ void multiply(Inputs& inputs) {
    tile.multiply(inputs, matrix);
    matrix += kMatrix;
  }
  /// Outputs begin as begin() leaves them; added are the products of rows of `num` arrays, each with the next matrix.
  /// Where there are registers, rows are asked for one array ahead.
  template <int kMost, typename Begin>
  __device__ void multiply_rows(const T* const (&parts)[kMost], int num, int count, const Begin& begin) {
    Inputs inputs[kAhead];
#pragma unroll
    for (int p = 0; p < kAhead; ++p) {
      if (p < num) inputs[p].load(parts[p], count);
    }
    begin();
#pragma unroll
    for (int p = 0; p < kMost; ++p) {
      if (p >= num) continue;
      multiply(inputs[p % kAhead]);
      if (p + kAhead < kMost && p + kAhead < num) inputs[p % kAhead].load(parts[p + kAhead], count);
    }
  }
  __device__ void finish(Inputs& inputs, bool hidden) {
    if (hidden && normalises) tile.normalise(share, kLayerNormEpsilon);
    tile.keep(inputs, true);
  }
  /// A layer of which all inputs are there.
  __device__ void layer(Inputs& inputs, const float* bias, bool hidden) {
    tile.begin(bias);
    multiply(inputs);
    finish(inputs, hidden);
  }
};

template <typename T, int kSixteens>
__global__ void __launch_bounds__(kTensorThreads<kSixteens>, kTensorBlocks<kSixteens>)
    tensor_edges_kernel(const __grid_constant__ TensorEdgePass<T> pass) {
  using Rows = TensorRows<T, kSixteens>;
  using Tile = typename Rows::Tile;
  extern __shared__ uint4 matrices[];
  Rows::prepare(pass.weights, pass.weight_rows, matrices);
  const States<T>& states = pass.states;
  const std::int32_t edges = pass.counts->edges;
  // Rows of nodes are asked for one turn ahead.
  std::int32_t src[2], dst[2];
  const auto ask = [&](std::int64_t turn) {
    const std::int64_t first = Rows::first_row(turn);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int64_t edge = first + Tile::row() + 8 * half;
      src[half] = edge < edges ? pass.src[edge] : -1;
      dst[half] = edge < edges ? pass.dst[edge] : -1;
    }
  };
  if (pass.runs_step) ask(0);
  for (std::int64_t turn = 0;; ++turn) {
    const std::int64_t first = Rows::first_row(turn);
    if (first / Tile::kGroupRows * Tile::kGroupRows >= edges) break;
    const int count = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{Tile::kRows}, edges - first)));
    Rows rows(matrices, pass.width, pass.normalise);
    Tile& tile = rows.tile;
    typename Rows::Inputs inputs;
    T *const e = states.e + first * Rows::kColumns, *const e0 = states.e0 + first * Rows::kColumns;
    if (pass.encode) {
      tile.begin(pass.encoder.layer[0]);
      tile.multiply_features(pass.features, pass.edge + first, count, pass.inputs, pass.feature_weights);
      rows.finish(inputs, true);
      rows.layer(inputs, pass.encoder.layer[1], true);
      rows.layer(inputs, pass.encoder.layer[2], false);
      if (pass.store_encoded) inputs.store(e0, count);
    } else if (!pass.runs_step) {
      inputs.load(e, count);
    }
    if (pass.runs_step) {
      const auto begin = [&] {
        tile.begin_gathered(states.by_src, states.by_dst, src, dst);
        ask(turn + 1);
      };
      if (pass.encode) {
        begin();
        rows.multiply(inputs);
      } else {
        rows.multiply_rows({e, e0}, pass.read_encoded ? 2 : 1, count, begin);
      }
      rows.finish(inputs, true);
      rows.layer(inputs, pass.update.layer[1], true);
      rows.layer(inputs, pass.update.layer[2], false);
    }
    if (!pass.decode) {
      inputs.store(e, count);
      continue;
    }
    rows.layer(inputs, pass.decoder.layer[0], true);
    rows.layer(inputs, pass.decoder.layer[1], true);
    rows.layer(inputs, pass.decoder.layer[2], false);
    tile.begin(pass.output_hidden_bias);
    rows.multiply(inputs);
    if (pass.normalise) tile.normalise(rows.share, kLayerNormEpsilon);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float logit = tile.product(pass.output, half);
      if (pass.output_bias != nullptr) logit += pass.output_bias[0];
      const int r = Tile::row() + 8 * half;
      if (r < count && Tile::first_column() == 0) pass.logits[pass.edge[first + r]] = logit;
    }
  }
}

template <typename T, int kSixteens>
__global__ void __launch_bounds__(kTensorThreads<kSixteens>, kTensorBlocks<kSixteens>)
    tensor_nodes_kernel(const __grid_constant__ TensorNodePass<T> pass) {
  using Rows = TensorRows<T, kSixteens>;
  using Tile = typename Rows::Tile;
  extern __shared__ uint4 matrices[];
  Rows::prepare(pass.weights, pass.weight_rows, matrices);
  const States<T>& states = pass.states;
  const std::int32_t nodes = pass.counts->rows;
  for (std::int64_t turn = 0;; ++turn) {
    const std::int64_t first = Rows::first_row(turn);
    if (first / Tile::kGroupRows * Tile::kGroupRows >= nodes) break;
    const int count = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{Tile::kRows}, nodes - first)));
    Rows rows(matrices, pass.width, pass.normalise);
    Tile& tile = rows.tile;
    typename Rows::Inputs inputs;
    const std::int64_t at = first * Rows::kColumns;
    T *const x0 = states.x0 + at, *const x = pass.encode ? x0 : states.x + at;
    if (pass.runs_layers) {
      if (pass.encode) {
        tile.begin(pass.layers.layer[0]);
        tile.multiply_features(pass.features, pass.node + first, count, pass.inputs, pass.feature_weights);
      } else {
        // In the first step the states are the encoded ones.
        rows.multiply_rows({states.by_src + at, states.by_dst + at, pass.read_encoded ? x : x0, x0},
                           pass.read_encoded ? 4 : 3, count, [&] { tile.begin(pass.layers.layer[0]); });
      }
      rows.finish(inputs, true);
      rows.layer(inputs, pass.layers.layer[1], true);
      rows.layer(inputs, pass.layers.layer[2], false);
      inputs.store(x, count);
    }
    if (!pass.projects) continue;
    const auto project = [&](const float* bias, T* to) {
      rows.multiply_rows({x, x0}, pass.project_encoded ? 2 : 1, count, [&] { tile.begin(bias); });
      tile.store(to + at, count);
    };
    project(pass.by_src_bias, states.by_src);
    project(nullptr, states.by_dst);
  }
}

template <typename T, typename Pass, typename Action>
void run_tensor_pass(const Pass& pass, const Action& kernel_of, cudaStream_t stream) {
  with_sixteens(row_columns(pass.width), [&](auto sixteens) {
    constexpr int kSixteens = sixteens.value, kThreads = kTensorThreads<kSixteens>;
    launch_persistent(kernel_of(sixteens), pass, starling::cuda::blocks_of(pass.capacity, kThreads / 2), kThreads,
                      pass.weight_rows * 16 * kSixteens * static_cast<int>(sizeof(T)), stream);
  });
}

template <typename T>
void run_edges(const TensorEdgePass<T>& pass, cudaStream_t stream) {
  run_tensor_pass<T>(
      pass, [](auto sixteens) { return tensor_edges_kernel<T, sixteens.value>; }, stream);
}

template <typename T>
void run_nodes(const TensorNodePass<T>& pass, cudaStream_t stream) {
  run_tensor_pass<T>(
      pass, [](auto sixteens) { return tensor_nodes_kernel<T, sixteens.value>; }, stream);
}

}  // namespace starling::interaction_network::cuda
