#include "quantized_network/cuda/tile_pass.h"

#include <cuda_runtime.h>

#include <string>

#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "dense/cuda/integer_tile.cuh"
#include "interaction_network/cuda/launch.cuh"

namespace starling::quantized_network::cuda {

namespace {

using interaction_network::cuda::Counts;

constexpr int kThreads = 256, kWarps = kThreads / 32, kSumThreads = 256;
constexpr std::uint32_t kAhead = 8;  // messages on their way

/// Blocks per processor, at least: wide rows take the registers of more threads.
template <int kSixteens>
inline constexpr int kBlocks = kSixteens > 4 ? 1 : 2;

/// One program of layers for every warp, which takes tile after tile. Warps are independent of each other: some wait
/// for memory while others multiply.
template <int kSixteens>
__global__ void __launch_bounds__(kThreads, kBlocks<kSixteens>) tile_kernel(const __grid_constant__ TilePass pass) {
  using Tile = dense::cuda::IntegerTile<kSixteens>;
  using Codes = typename Tile::Codes;
  extern __shared__ uint4 matrices[];
  const auto* const from = reinterpret_cast<const uint4*>(pass.matrices);
  for (int i = static_cast<int>(threadIdx.x); i < pass.num_matrices * Tile::kMatrix; i += kThreads)
    starling::cuda::copy_16(matrices + i, from + i);
  starling::cuda::commit_copies();
  starling::cuda::after_previous();
  starling::cuda::wait_for_copies<0>();
  __syncthreads();

  const auto rows = static_cast<std::uint32_t>(*pass.rows);
  if (rows == 0) return;
  // Which rows of nodes are gathered is asked for one turn ahead.
  std::int32_t src[2], dst[2];
  const auto ask = [&](const dense::cuda::TileRows& edges) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      src[half] = pass.src[edges.row[half]];
      dst[half] = pass.dst[edges.row[half]];
    }
  };
  const std::uint32_t stride = gridDim.x * kWarps * Tile::kRows;
  std::uint32_t first = (blockIdx.x * kWarps + threadIdx.x / 32) * Tile::kRows;
  if (pass.src != nullptr) ask({first, rows});
  for (; first < rows; first += stride) {
    const dense::cuda::TileRows at(first, rows);
    const uint4* matrix = matrices;
    Tile tile;
    Codes codes{};
#pragma unroll 1
    for (int l = 0; l < pass.num_layers; ++l) {
      const TileLayer& layer = pass.layers[l];
      if (layer.by_src != nullptr) {
        tile.begin_gathered(layer.by_src, layer.by_dst, src, dst);
      } else {
        tile.begin(layer.start);
      }
      // Two parts are on their way at a time.
      Codes input = codes, next;
      if (layer.parts[0].rows != nullptr) input.load(layer.parts[0].rows, at);
      if (layer.parts[1].rows != nullptr) next.load(layer.parts[1].rows, at);
      if (layer.by_src != nullptr) ask({first + stride, rows});
      if (layer.features != nullptr)
        tile.multiply_features(layer.features, layer.places, at, layer.inputs, layer.grid, layer.weights);
#pragma unroll 1
      for (int part = 0; part < layer.num_parts; ++part) {
        if (layer.parts[part].requantizes) input.requantize(layer.parts[part].reader);
        tile.multiply(input, matrix);
        matrix += Tile::kMatrix;
        if (part + 1 == layer.num_parts) break;
        input = layer.parts[part + 1].rows != nullptr ? next : codes;
        if (part + 2 < layer.num_parts && layer.parts[part + 2].rows != nullptr)
          next.load(layer.parts[part + 2].rows, at);
      }
      if (layer.sums != nullptr) {
        tile.store(layer.sums, at);
        continue;
      }
      tile.quantize(layer.quantize, codes);
      if (layer.codes != nullptr) codes.store(layer.codes, at);
    }
    if (pass.logits == nullptr) continue;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::int32_t sum = Tile::product(codes, pass.output_weights, pass.output_start, half);
      if (at.there[half] && Tile::first_column() == 0)
        pass.logits[pass.edge[at.row[half]]] = dense::value_of(sum, pass.output_scale);
    }
  }
}

/// A thread has 16 bytes of a row. A kernel of its own, as in interaction_network/cuda/sums.cu.
__global__ void __launch_bounds__(kSumThreads)
    sums_kernel(const __grid_constant__ TileSums pass, const std::uint32_t* in_splits, const std::uint32_t* in_edges,
                const std::uint32_t* out_splits, const Counts* counts) {
  starling::cuda::after_previous();
  // One half of the blocks for each direction.
  const unsigned half = gridDim.x / 2;
  const bool into = blockIdx.x < half;
  const std::int64_t item = std::int64_t{into ? blockIdx.x : blockIdx.x - half} * kSumThreads + threadIdx.x;
  const int pieces = pass.columns / 16;
  const std::int64_t row = item / pieces, piece = item % pieces;
  if (row >= counts->rows) return;
  const auto* const messages = reinterpret_cast<const uint4*>(pass.messages);
  const std::uint32_t* const splits = into ? in_splits : out_splits;
  const std::uint32_t begin = splits[row], end = splits[row + 1];
  std::uint32_t total[16] = {};
  for (std::uint32_t at = begin; at < end; at += kAhead) {
    uint4 message[kAhead];
    std::uint32_t edge[kAhead];
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i) {
      edge[i] = at + i;
      if (into && edge[i] < end) edge[i] = in_edges[edge[i]];
    }
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i)
      message[i] = at + i < end ? messages[std::int64_t{edge[i]} * pieces + piece] : make_uint4(0, 0, 0, 0);
    // All of them are asked for before the first is added.
    asm volatile("" ::: "memory");
    std::uint32_t even[4] = {}, odd[4] = {};  // two sums of 16 bits each
#pragma unroll
    for (std::uint32_t i = 0; i < kAhead; ++i) {
      const std::uint32_t words[4] = {message[i].x, message[i].y, message[i].z, message[i].w};
#pragma unroll
      for (int w = 0; w < 4; ++w) {
        even[w] += words[w] & 0x00ff00ffu;
        odd[w] += words[w] >> 8 & 0x00ff00ffu;
      }
    }
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      total[4 * w] += even[w] & 0xffffu;
      total[4 * w + 1] += odd[w] & 0xffffu;
      total[4 * w + 2] += even[w] >> 16;
      total[4 * w + 3] += odd[w] >> 16;
    }
  }
  std::uint32_t result[4];
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    result[w] = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const std::int32_t code = dense::code_of(dense::value_of(total[4 * w + i], pass.scale), pass.grid);
      result[w] |= static_cast<std::uint32_t>(code) << 8 * i;
    }
  }
  reinterpret_cast<uint4*>(into ? pass.in : pass.out)[item] = make_uint4(result[0], result[1], result[2], result[3]);
}

template <int kSixteens>
void launch(const TilePass& pass, cudaStream_t stream) {
  const int bytes = pass.num_matrices * pass.columns * pass.columns;
  if (bytes > starling::cuda::most_shared_bytes()) {
    throw Error(ErrorKind::device, "CUDA device: " + std::to_string(starling::cuda::most_shared_bytes()) +
                                       " bytes of shared memory per block, expected " + std::to_string(bytes) +
                                       ": take the CPU");
  }
  interaction_network::cuda::launch_persistent(
      tile_kernel<kSixteens>, pass, starling::cuda::blocks_of(pass.capacity, kWarps * 16), kThreads, bytes, stream);
}

}  // namespace

int tile_columns(int hidden) { return hidden <= 32 ? 32 : hidden <= 48 ? 48 : hidden <= 64 ? 64 : kMostTiled; }

void run(const TilePass& pass, cudaStream_t stream) {
  switch (pass.columns) {
    case 32:
      return launch<2>(pass, stream);
    case 48:
      return launch<3>(pass, stream);
    case 64:
      return launch<4>(pass, stream);
    default:
      return launch<kMostTiled / 16>(pass, stream);
  }
}

void run(const TileSums& pass, const interaction_network::cuda::DeviceOrder& order, std::int32_t num_nodes,
         cudaStream_t stream) {
  const int blocks = 2 * starling::cuda::blocks_of(std::int64_t{num_nodes} * (pass.columns / 16), kSumThreads);
  starling::cuda::launch_after(sums_kernel, blocks, kSumThreads, 0, stream, pass, order.in_splits, order.in_edges,
                               order.out_splits, order.counts);
}

}  // namespace starling::quantized_network::cuda
