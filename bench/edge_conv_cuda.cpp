// Times EdgeConv over neighbour lists on the GPU: medians of CUDA events after warm-up. 200,000 hits, their 64
// neighbours in 4 dimensions, 64 features, max and mean: one linear layer, and two in TF32 and in float. The products
// of the first layer by node are not in these times.
//
//   build/release/bench/bench_edge_conv_cuda [N D K FEATURES]
#include <cstdio>
#include <cstdlib>
#include <random>

#include "cuda_timing.h"
#include "point_clouds.h"
#include "starling/edge_conv.h"
#include "starling/neighbors.h"

using namespace starling;
using namespace starling::bench;

namespace {

void fill(const OnDevice<float>& values, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> host(values.span().size());
  for (float& x : host) x = normal(random);
  check(cudaMemcpy(values.data(), host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice));
}

}  // namespace

int main(int argc, char** argv) {
  const int n = argc > 1 ? std::atoi(argv[1]) : 200'000, d = argc > 2 ? std::atoi(argv[2]) : 4;
  const int k = argc > 3 ? std::atoi(argv[3]) : 64, width = argc > 4 ? std::atoi(argv[4]) : 64;
  const Timer timer;
  const std::size_t entries = std::size_t(n) * k, outputs = std::size_t(n) * width,
                    weights = std::size_t(width) * width;
  const OnDevice<float> points(std::size_t(n) * d), distance2(entries), out(outputs), of_target(outputs),
      of_source(outputs), of_weight(weights), of_bias(width);
  const OnDevice<float> target(outputs), source(outputs), gradient(outputs), weight(weights), bias(width);
  unsigned seed = 1;
  for (const OnDevice<float>* values : {&target, &source, &gradient, &weight, &bias}) fill(*values, seed++);
  const OnDevice<std::int32_t> index(entries), bad_row(1), kept(outputs);
  for (const char* data : {"uniform", "cluster"}) {
    const std::vector<float> cloud = clouds::named<float>(data, n, d);
    check(cudaMemcpy(points.data(), cloud.data(), cloud.size() * sizeof(float), cudaMemcpyHostToDevice));
    NeighborSearch<float> search;
    search.points = points.data();
    search.num_points = n;
    search.dimensions = d;
    const Execution execution = timer.on_stream(bad_row.data());
    const OnDevice<std::byte> tree(knn_workspace_bytes(search, k, execution));
    knn(search, k, index.data(), distance2.data(), tree.span(), execution);
    EdgeConv<float> conv;
    conv.index = index.data();
    conv.num_rows = conv.num_sources = n;
    conv.k = k;
    conv.target = target.data();
    conv.source = source.data();
    conv.hidden = width;
    const auto time = [&](const char* name) {
      const OnDevice<std::byte> forward(edge_conv_workspace_bytes(conv, execution)),
          backward(edge_conv_gradient_workspace_bytes(conv, execution));
      const auto run_forward = timer.run(15, [&] {
        edge_conv<float>(conv, {out.data(), kept.data(), nullptr}, forward.span(), execution);
      });
      const auto run_backward = [&](const EdgeConvGradients<float>& gradients) {
        return timer.run(15, [&] {
          edge_conv_gradient<float>(conv, gradient.data(), kept.data(), gradients, backward.span(), execution);
        })[7];
      };
      const bool has_weight = conv.weight != nullptr;
      const EdgeConvGradients<float> of_rows{of_target.data(), nullptr, has_weight ? of_weight.data() : nullptr,
                                             has_weight ? of_bias.data() : nullptr};
      EdgeConvGradients<float> all = of_rows;
      all.source = of_source.data();
      std::printf(
          "%-8s %d hits, D %d, k %d, %d features, %-28s forward %.3f ms, gradients %.3f ms (without q %.3f), "
          "workspace %.1f MB\n",
          data, n, d, k, width, name, run_forward[7], run_backward(all), run_backward(of_rows),
          double(backward.span().size()) / 1e6);
    };
    time("one layer, max:");
    conv.aggregation = EdgeAggregation::mean;
    time("one layer, mean:");
    conv.relu = true;
    time("mean of ReLU:");
    conv.aggregation = EdgeAggregation::max;
    conv.weight = weight.data();
    conv.bias = bias.data();
    conv.outputs = width;
    time("two layers, max:");
    conv.tf32 = true;
    time("two layers, max, TF32:");
  }
}
