#include <cuda_runtime.h>

#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/float_rows.cuh"
#include "interaction_network/cuda/launch.cuh"

// A warp takes 32 edges (16 where a row is wider than 64 columns) through all layers of a step. Weights are in shared
// memory for as long as the block runs, where they fit beside the rows of enough warps; else they pass through it.
namespace starling::interaction_network::cuda {

namespace {

constexpr int kStreamThreads = 256, kMostThreads = 512, kFewestWarps = 8;

template <int kSixteens, bool kResident>
__global__ void __launch_bounds__(kResident ? kMostThreads : kStreamThreads, kResident ? 1 : 2)
    edges_kernel(const __grid_constant__ EdgePass<float> pass) {
  using Stream = dense::cuda::WeightStream<16 * kSixteens, kResident>;
  using Rows = FloatRows<kSixteens, Stream>;
  extern __shared__ float4 memory[];
  float* const shared = reinterpret_cast<float*>(memory);
  Stream stream(pass.weights, pass.weight_rows, shared);
  const int warp = static_cast<int>(threadIdx.x) / 32, warps = static_cast<int>(blockDim.x) / 32;
  Rows rows(stream, shared + Stream::floats(pass.weight_rows) + warp * Rows::Tile::kFloats, pass.width, pass.normalise);
  auto& tile = rows.tile;
  const States<float>& states = pass.states;
  const std::int32_t edges = pass.counts->edges;
  // All warps take the same number of tiles: they share the weights' way through shared memory.
  const std::int64_t step = std::int64_t{gridDim.x} * warps * Rows::kRows;
  for (std::int64_t block_first = std::int64_t{blockIdx.x} * warps * Rows::kRows; block_first < edges;
       block_first += step) {
    const std::int64_t first = block_first + warp * Rows::kRows;
    const int count = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{Rows::kRows}, edges - first)));
    rows.waiting = false;
    if (pass.encode) {
      rows.begin();
      rows.multiply_features(pass.features, pass.edge + first, count, pass.inputs);
      rows.finish(pass.encoder.layer[0], true, true);
      rows.keep();
      rows.layer(pass.encoder.layer[1], true);
      rows.layer(pass.encoder.layer[2], false);
      if (pass.store_encoded) tile.store(states.e0 + first * Rows::kColumns, Rows::kColumns, count);
    } else {
      rows.load(states.e + first * Rows::kColumns, count);
    }
    rows.begin();
    rows.multiply(pass.width);
    if (pass.read_encoded) {
      rows.load(states.e0 + first * Rows::kColumns, count);
      rows.multiply(pass.width);
    }
    tile.add_gathered(states.by_src, states.by_dst, Rows::kColumns, pass.src + first, pass.dst + first, count);
    rows.finish(nullptr, true, true);
    rows.keep();
    rows.layer(pass.update.layer[1], true);
    rows.begin();
    rows.multiply(pass.width);
    rows.finish(pass.update.layer[2], false, true);
    if (!pass.decode) {
      tile.store(states.e + first * Rows::kColumns, Rows::kColumns, count);
      __syncwarp();
      continue;
    }
    rows.keep();
    rows.layer(pass.decoder.layer[0], true);
    rows.layer(pass.decoder.layer[1], true);
    rows.layer(pass.decoder.layer[2], false);
    rows.layer(pass.output_hidden_bias, true);
    // One row per thread: its factor comes to it through the padding of the row.
    if (tile.column(0) == 0) {
#pragma unroll
      for (int r = 0; r < Rows::kEach; ++r) rows.inputs[tile.row(r) * Rows::kStride + Rows::kColumns] = rows.inverse[r];
    }
    __syncwarp();
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane < count) {
      const float* const hidden = rows.inputs + lane * Rows::kStride;
      float sum = 0.f;
      for (int k = 0; k < pass.width; ++k) sum = fmaf(hidden[k], pass.output[k], sum);
      if (rows.waiting) sum *= hidden[Rows::kColumns];
      if (pass.output_bias != nullptr) sum += pass.output_bias[0];
      pass.logits[pass.edge[first + lane]] = sum;
    }
    __syncwarp();
  }
  stream.finish();
}

template <int kSixteens>
void run_sixteens(const EdgePass<float>& pass, cudaStream_t stream) {
  using Tile = dense::cuda::FloatTile<kSixteens>;
  const auto launch = [&](auto kernel, int floats, int warps) {
    const int bytes = (floats + warps * Tile::kFloats) * static_cast<int>(sizeof(float));
    launch_persistent(kernel, pass, starling::cuda::blocks_of(pass.capacity, warps * Tile::kRows), 32 * warps, bytes,
                      stream);
  };
  if constexpr (kSixteens <= 4) {
    const int floats = dense::cuda::WeightStream<16 * kSixteens, true>::floats(pass.weight_rows);
    const int left = starling::cuda::most_shared_bytes() / static_cast<int>(sizeof(float)) - floats;
    const int warps = std::min(kMostThreads / 32, left / Tile::kFloats);
    if (warps >= kFewestWarps) return launch(edges_kernel<kSixteens, true>, floats, warps);
  }
  launch(edges_kernel<kSixteens, false>, dense::cuda::WeightStream<16 * kSixteens, false>::floats(pass.weight_rows),
         kStreamThreads / 32);
}

}  // namespace

void run(const EdgePass<float>& pass, cudaStream_t stream) {
  with_sixteens(row_columns(pass.width), [&](auto sixteens) { run_sixteens<sixteens.value>(pass, stream); });
}

}  // namespace starling::interaction_network::cuda
