#pragma once

#include "dense/cuda/float_tile.cuh"
#include "interaction_network/cuda/passes.h"

namespace starling::interaction_network::cuda {

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

  __device__ void begin() { tile.clear(); }
  __device__ void multiply(int depth) { tile.add(inputs, depth, stream); }

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

  /// Sums of messages become the inputs: of the edges list[splits[r]] .. list[splits[r + 1] − 1], or without a list of
  /// these edges themselves, added in this order. Half a warp per row, and loads of several edges on their way.
  __device__ void load_sums(const float* e, const std::uint32_t* splits, const std::uint32_t* list, int count) {
    constexpr int kAhead = 8;
    const int lane = static_cast<int>(threadIdx.x % 32);
    __syncwarp();
    for (int r = lane / 16; r < kRows; r += 2) {
      const std::uint32_t begin = r < count ? splits[r] : 0, end = r < count ? splits[r + 1] : 0;
      for (int c = lane % 16 * 4; c < kColumns; c += 64) {
        float4 sum = make_float4(0.f, 0.f, 0.f, 0.f);
        const auto at = [&](std::uint32_t k) {
          return *reinterpret_cast<const float4*>(e + std::int64_t{list != nullptr ? list[k] : k} * kColumns + c);
        };
        const auto add = [&](const float4& message) {
          sum.x += message.x, sum.y += message.y, sum.z += message.z, sum.w += message.w;
        };
        std::uint32_t k = begin;
        for (; k + kAhead <= end; k += kAhead) {
          float4 message[kAhead];
#pragma unroll
          for (int i = 0; i < kAhead; ++i) message[i] = at(k + i);
#pragma unroll
          for (int i = 0; i < kAhead; ++i) add(message[i]);
        }
#pragma unroll 2
        for (; k < end; ++k) add(at(k));
        *reinterpret_cast<float4*>(inputs + r * kStride + c) = sum;
      }
    }
    __syncwarp();
  }
};

}  // namespace starling::interaction_network::cuda
