#include <cuda_runtime.h>

#include "interaction_network/cuda/float_rows.cuh"

// A warp takes 32 nodes (16 where a row is wider than 64 columns) through their layers, and makes what the edges of the
// next step read.
namespace starling::interaction_network::cuda {

namespace {

template <int kSixteens, bool kResident>
__global__ void __launch_bounds__(kFloatThreads<kResident>, kResident ? 1 : 2)
    nodes_kernel(const __grid_constant__ NodePass<float> pass) {
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
  const std::int32_t nodes = pass.counts->rows;
  for (std::int64_t turn = 0; Rows::takes(turn, nodes); ++turn) {
    const std::int64_t first = Rows::first_row(turn);
    const int count = static_cast<int>(max(std::int64_t{0}, min(std::int64_t{Rows::kRows}, nodes - first)));
    float* const x0 = states.x0 + first * Rows::kColumns;
    float* const x = pass.encode ? x0 : states.x + first * Rows::kColumns;
    // Without edges into any row of a tile their sum adds nothing, and nothing reads what edges into them would.
    const bool into = !kResident || pass.in_splits[first] < pass.in_splits[first + count],
               out = !kResident || pass.out_splits[first] < pass.out_splits[first + count];
    rows.waiting = false;
    rows.begin();
    if (pass.encode) {
      rows.multiply_features(pass.features, pass.node + first, count, pass.inputs);
    } else {
      const auto add_sums = [&](const float* sums, bool there) {
        if (!there) return rows.skip(1);
        rows.load(sums + first * Rows::kColumns, count);
        rows.multiply(pass.width);
      };
      add_sums(states.by_src, into);
      add_sums(states.by_dst, out);
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

    bool are_x = true;  // the inputs
    const auto project = [&](const float* bias, float* to, bool needed) {
      if (!needed) return rows.skip(pass.project_encoded ? 2 : 1);
      rows.begin();
      if (!are_x) rows.load(x, count);
      rows.multiply(pass.width);
      if (pass.project_encoded) {
        rows.load(x0, count);
        rows.multiply(pass.width);
        are_x = false;
      }
      rows.finish(bias, false, false);
      tile.store(to + first * Rows::kColumns, Rows::kColumns, count);
    };
    project(pass.by_src_bias, states.by_src, out);
    project(nullptr, states.by_dst, into);
    __syncwarp();
  }
  stream.finish();
}

}  // namespace

void run(const NodePass<float>& pass, cudaStream_t stream) {
  run_float_pass(
      pass, [](auto sixteens, auto resident) { return nodes_kernel<sixteens.value, resident.value>; }, stream);
}

}  // namespace starling::interaction_network::cuda
