#include <cuda_runtime.h>

#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/float_rows.cuh"
#include "interaction_network/cuda/launch.cuh"

// A warp sums the messages of 32 nodes (16 where a row is wider than 64 columns), takes them through their layers, and
// makes what the edges of the next step read. There are too few nodes for weights to stay: they pass through shared
// memory.
namespace starling::interaction_network::cuda {

namespace {

constexpr int kThreads = 128;

template <int kSixteens>
__global__ void __launch_bounds__(kThreads, 4) nodes_kernel(const __grid_constant__ NodePass<float> pass) {
  using Stream = dense::cuda::WeightStream<16 * kSixteens, false>;
  using Rows = FloatRows<kSixteens, Stream>;
  extern __shared__ float4 memory[];
  float* const shared = reinterpret_cast<float*>(memory);
  Stream stream(pass.weights, pass.weight_rows, shared);
  constexpr int kWarps = kThreads / 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  Rows rows(stream, shared + Stream::floats(pass.weight_rows) + warp * Rows::Tile::kFloats, pass.width, pass.normalise);
  auto& tile = rows.tile;
  const States<float>& states = pass.states;
  const std::int32_t nodes = pass.counts->rows;
  constexpr int kBlockRows = kWarps * Rows::kRows;
  for (std::int64_t block_first = std::int64_t{blockIdx.x} * kBlockRows; block_first < nodes;
       block_first += std::int64_t{gridDim.x} * kBlockRows) {
    const std::int64_t first = block_first + warp * Rows::kRows;
    const int count = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{Rows::kRows}, nodes - first)));
    float* const x0 = states.x0 + first * Rows::kColumns;
    float* const x = pass.encode ? x0 : states.x + first * Rows::kColumns;
    rows.waiting = false;
    rows.begin();
    if (pass.encode) {
      rows.multiply_features(pass.features, pass.node + first, count, pass.inputs);
    } else {
      rows.load_sums(states.e, pass.in_splits + first, pass.in_edges, count);
      rows.multiply(pass.width);
      rows.load_sums(states.e, pass.out_splits + first, nullptr, count);
      rows.multiply(pass.width);
      // In the first step the states are the encoded ones.
      rows.load(pass.read_encoded ? x : x0, count);
      rows.multiply(pass.width);
      if (pass.read_encoded) {
        rows.load(x0, count);
        rows.multiply(pass.width);
      }
    }
    rows.finish(pass.layers.layer[0], true, true);
    rows.keep();
    rows.layer(pass.layers.layer[1], true);
    rows.layer(pass.layers.layer[2], false);
    tile.store(x, Rows::kColumns, count);

    rows.begin();
    rows.multiply(pass.width);
    if (pass.project_encoded) {
      rows.load(x0, count);
      rows.multiply(pass.width);
    }
    rows.finish(pass.by_src_bias, false, false);
    tile.store(states.by_src + first * Rows::kColumns, Rows::kColumns, count);

    rows.begin();
    if (pass.project_encoded) rows.load(x, count);
    rows.multiply(pass.width);
    if (pass.project_encoded) {
      rows.load(x0, count);
      rows.multiply(pass.width);
    }
    rows.finish(nullptr, false, false);
    tile.store(states.by_dst + first * Rows::kColumns, Rows::kColumns, count);
    __syncwarp();
  }
  stream.finish();
}

template <int kSixteens>
void run_sixteens(const NodePass<float>& pass, cudaStream_t stream) {
  using Tile = dense::cuda::FloatTile<kSixteens>;
  constexpr int kWarps = kThreads / 32;
  const int floats =
      dense::cuda::WeightStream<16 * kSixteens, false>::floats(pass.weight_rows) + kWarps * Tile::kFloats;
  launch_persistent(nodes_kernel<kSixteens>, pass, starling::cuda::blocks_of(pass.capacity, kWarps * Tile::kRows),
                    kThreads, floats * static_cast<int>(sizeof(float)), stream);
}

}  // namespace

void run(const NodePass<float>& pass, cudaStream_t stream) {
  with_sixteens(row_columns(pass.width), [&](auto sixteens) { run_sixteens<sixteens.value>(pass, stream); });
}

}  // namespace starling::interaction_network::cuda
