// Times messages over neighbour lists on the GPU: medians of CUDA events after warm-up. 200,000 hits in clusters, 64
// neighbours in 4 dimensions, 32 features: mean and maximum, forward, and their gradients.
//
//   build/release/bench/bench_message_cuda [N D K FEATURES]
#include <cstdio>
#include <cstdlib>
#include <random>

#include "cuda_timing.h"
#include "point_clouds.h"
#include "starling/message.h"
#include "starling/neighbors.h"

using namespace starling;
using namespace starling::bench;

int main(int argc, char** argv) {
  const int n = argc > 1 ? std::atoi(argv[1]) : 200'000, d = argc > 2 ? std::atoi(argv[2]) : 4;
  const int k = argc > 3 ? std::atoi(argv[3]) : 64, width = argc > 4 ? std::atoi(argv[4]) : 32;
  const auto upload = [](const std::vector<float>& values, const OnDevice<float>& to) {
    check(cudaMemcpy(to.data(), values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice));
  };
  const Timer timer;
  const std::size_t entries = std::size_t(n) * k, outputs = std::size_t(n) * width;
  const OnDevice<float> points(std::size_t(n) * d), distance2(entries), features(outputs), out(2 * outputs),
      gradient(2 * outputs), features_gradient(outputs), distance_gradient_of(entries);
  const OnDevice<std::int32_t> index(entries), bad_row(1), slot(outputs);
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(outputs);
  for (float& x : values) x = normal(random);
  for (const char* data : {"uniform", "cluster"}) {
    upload(clouds::named<float>(data, n, d), points);
    upload(values, features);
    upload(values, gradient);
    check(cudaMemcpy(gradient.data() + outputs, features.data(), outputs * 4, cudaMemcpyDeviceToDevice));
    NeighborSearch<float> search;
    search.points = points.data();
    search.num_points = n;
    search.dimensions = d;
    const Execution execution = timer.on_stream(bad_row.data());
    const OnDevice<std::byte> tree(knn_workspace_bytes(search, k, execution));
    knn(search, k, index.data(), distance2.data(), tree.span(), execution);
    Messages<float> messages;
    messages.index = index.data();
    messages.num_rows = messages.num_sources = n;
    messages.k = k;
    messages.features = features.data();
    messages.width = width;
    messages.distance2 = distance2.data();
    const OnDevice<std::byte> workspace(aggregate_gradient_workspace_bytes(messages, execution));
    const auto forward = timer.run(25, [&] {
      aggregate<float>(messages, {out.data(), out.data() + width, 2 * width, slot.data()}, execution);
    });
    const auto backward = timer.run(25, [&] {
      aggregate_gradient<float>(messages, {gradient.data(), gradient.data() + width, 2 * width, slot.data()},
                                features_gradient.data(), distance_gradient_of.data(), workspace.span(), execution);
    });
    const auto weights_only = timer.run(25, [&] {
      aggregate_gradient<float>(messages, {gradient.data(), gradient.data() + width, 2 * width, slot.data()}, nullptr,
                                distance_gradient_of.data(), workspace.span(), execution);
    });
    std::printf(
        "%-8s %d hits, D %d, k %d, %d features: forward %.3f ms, gradients %.3f ms (of d² alone %.3f), workspace %.1f "
        "MB\n",
        data, n, d, k, width, forward[12], backward[12], weights_only[12], double(workspace.span().size()) / 1e6);
  }
}
