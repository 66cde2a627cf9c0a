#pragma once

#include <algorithm>
#include <type_traits>

#include "dense/cuda/float_tile.cuh"
#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/launch.cuh"
#include "interaction_network/cuda/passes.h"

namespace starling::interaction_network::cuda {

/// Of a block: all that a processor has registers for, or half of them where weights pass through shared memory and two
/// blocks wait for them by turns.
template <bool kResident>
inline constexpr int kFloatThreads = kResident ? 512 : 256;

/// The rows of one warp on their way through the layers of a pass. `inputs`: shared memory of the warp, Tile::kFloats.
template <int kSixteens, typename Stream>
struct FloatRows {
  using Tile = dense::cuda::FloatTile<kSixteens>;
  static constexpr int kColumns = Tile::kColumns, kStride = Tile::kStride, kRows = Tile::kRows, kEach = Tile::kEach;

  Stream& stream;
  float* const inputs;
  const int width;
  const bool normalise;
  Tile tile;
  float inverse[kEach];  ///< the factor of LayerNorm that the inputs wait for
  bool waiting = false;

  __device__ FloatRows(Stream& from, float* memory, int hidden, bool norm)
      : stream(from), inputs(memory), width(hidden), normalise(norm) {}

  /// The first row of this warp in a turn. Neighbouring tiles go to different blocks, so that all have as much to do.
  static __device__ std::int64_t first_row(std::int64_t turn, int warp = static_cast<int>(threadIdx.x) / 32) {
    return ((turn * (blockDim.x / 32) + warp) * gridDim.x + blockIdx.x) * kRows;
  }
  /// Whether this warp takes part in a turn: where weights pass through shared memory, if any warp of the block does.
  static __device__ bool takes(std::int64_t turn, std::int64_t rows) {
    return (Stream::kStays ? first_row(turn) : first_row(turn, 0)) < rows;
  }

  __device__ void begin() { tile.clear(); }
  __device__ void multiply(int depth) { tile.add(inputs, depth, stream); }

  /// Passes over the weights of so many parts of a layer.
  __device__ void skip(int parts) {
    constexpr int kStep = dense::cuda::kInputStep;
    if constexpr (Stream::kStays) stream.skip(parts * ((width + kStep - 1) / kStep * kStep));
  }

  /// What follows the products of a layer.
  __device__ void finish(const float* bias, bool hidden, bool relu) {
    if (waiting) tile.scale(inverse);
    if (bias != nullptr) tile.add_bias(bias);
    waiting = hidden && normalise;
    if (waiting) {
      float squares[kEach][2] = {};
      tile.add_squares(squares);
      Tile::finish_squares(squares, static_cast<float>(width), kLayerNormEpsilon, inverse);
    }
    if (relu) tile.relu();
  }

  /// The outputs become the inputs of the next layer.
  __device__ void keep() {
    __syncwarp();
    tile.store(inputs, kStride, kRows);
    __syncwarp();
  }

  /// A layer of which all inputs are there.
  __device__ void layer(const float* bias, bool hidden) {
    begin();
    multiply(width);
    finish(bias, hidden, true);
    keep();
  }

  /// Rows of states become the inputs; those from `count` on are zeros.
  __device__ void load(const float* rows, int count) {
    constexpr int kFours = kColumns / 4;
    __syncwarp();
    for (int i = static_cast<int>(threadIdx.x % 32); i < kRows * kFours; i += 32) {
      const int r = i / kFours, c = i % kFours * 4;
      float* const to = inputs + r * kStride + c;
      if (r < count)
        starling::cuda::copy_16(to, rows + r * kColumns + c);
      else
        *reinterpret_cast<float4*>(to) = make_float4(0.f, 0.f, 0.f, 0.f);
    }
    starling::cuda::commit_copies();
    starling::cuda::wait_for_copies<0>();
    __syncwarp();
  }

  /// The products of features: rows places[0..count − 1] of an array of `depth` columns.
  __device__ void multiply_features(const float* features, const std::int32_t* places, int count, int depth) {
    for (int first = 0; first < depth; first += kColumns) {
      const int here = min(kColumns, depth - first);
      __syncwarp();
      for (int i = static_cast<int>(threadIdx.x % 32); i < kRows * here; i += 32) {
        const int r = i / here, c = i % here;
        inputs[r * kStride + c] = r < count ? features[std::int64_t{places[r]} * depth + first + c] : 0.f;
      }
      __syncwarp();
      multiply(here);
    }
  }
};

/// Runs a pass with the kernel that kernel_of(columns / 16, whether weights stay) gives.
template <typename Pass, typename KernelOf>
void run_float_pass(const Pass& pass, const KernelOf& kernel_of, cudaStream_t stream) {
  constexpr int kFewestWarps = 8;  // fewer do not hide the latency of memory
  with_sixteens(row_columns(pass.width), [&](auto sixteens) {
    using Tile = dense::cuda::FloatTile<sixteens.value>;
    const auto launch = [&](auto resident, int floats, int warps) {
      const int bytes = (floats + warps * Tile::kFloats) * static_cast<int>(sizeof(float));
      launch_persistent(kernel_of(sixteens, resident), pass, starling::cuda::blocks_of(pass.capacity, Tile::kRows),
                        32 * warps, bytes, stream);
    };
    if constexpr (sixteens.value <= 4) {
      const int floats = dense::cuda::WeightStream<Tile::kColumns, true>::floats(pass.weight_rows);
      const int left = starling::cuda::most_shared_bytes() / static_cast<int>(sizeof(float)) - floats;
      const int warps = std::min(kFloatThreads<true> / 32, left / Tile::kFloats);
      if (warps >= kFewestWarps) return launch(std::true_type(), floats, warps);
    }
    launch(std::false_type(), dense::cuda::WeightStream<Tile::kColumns, false>::floats(pass.weight_rows),
           kFloatThreads<false> / 32);
  });
}

}  // namespace starling::interaction_network::cuda
