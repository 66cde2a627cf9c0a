#include <cuda_runtime.h>

#include "interaction_network/cuda/float_rows.cuh"

// A warp takes 32 edges (16 where a row is wider than 64 columns) through all layers of a step. Weights are in shared
// memory for as long as the block runs, where they fit beside the rows of enough warps; else they pass through it.
namespace starling::interaction_network::cuda {

namespace {

template <int kSixteens, bool kResident>
__global__ void __launch_bounds__(kFloatThreads<kResident>, kResident ? 1 : 2)
    edges_kernel(const __grid_constant__ EdgePass<float> pass) {
  using Stream = dense::cuda::WeightStream<16 * kSixteens, kResident>;
  using Rows = FloatRows<kSixteens, Stream>;
  extern __shared__ float4 memory[];
  float* const shared = reinterpret_cast<float*>(memory);
  Stream stream(pass.weights, pass.weight_rows, shared);
  starling::cuda::after_previous();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Rows rows(stream, shared + Stream::floats(pass.weight_rows) + warp * Rows::Tile::kFloats, pass.width, pass.normalise);
  auto& tile = rows.tile;
  const States<float>& states = pass.states;
  const std::int32_t edges = pass.counts->edges;
  for (std::int64_t turn = 0; Rows::takes(turn, edges); ++turn) {
    const std::int64_t first = Rows::first_row(turn);
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
    // A thread takes whole rows: their factors come to it through the padding of the rows.
    if (tile.column(0) == 0) {
#pragma unroll
      for (int r = 0; r < Rows::kEach; ++r) rows.inputs[tile.row(r) * Rows::kStride + Rows::kColumns] = rows.inverse[r];
    }
    __syncwarp();
    for (int r = static_cast<int>(threadIdx.x) % 32; r < count; r += 32) {
      const float* const hidden = rows.inputs + r * Rows::kStride;
      float sum = 0.f;
      for (int k = 0; k < pass.width; ++k) sum = fmaf(hidden[k], pass.output[k], sum);
      if (rows.waiting) sum *= hidden[Rows::kColumns];
      if (pass.output_bias != nullptr) sum += pass.output_bias[0];
      pass.logits[pass.edge[first + r]] = sum;
    }
    __syncwarp();
  }
  stream.finish();
}

}  // namespace

void run(const EdgePass<float>& pass, cudaStream_t stream) {
  run_float_pass(
      pass, [](auto sixteens, auto resident) { return edges_kernel<sixteens.value, resident.value>; }, stream);
}

}  // namespace starling::interaction_network::cuda
