// Times shower finding on the GPU, hits in device memory to cluster numbers: medians of CUDA events after warm-up,
// stage by stage and as one CUDA graph; then a session, from host memory to showers in host memory. One event of
// simulated hits; the seed model's widths with random weights, or a model file.
//
//   build/release/bench/bench_showers_runtime_cuda [HITS [MODEL]]
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "cuda_timing.h"
#include "dense/cuda/chain.h"
#include "showers.h"
#include "starling/message.h"
#include "starling/neighbors.h"

namespace {

using namespace starling;
using namespace starling::bench;

constexpr int kRepeats = 25;
float median(const std::vector<float>& times) { return times[times.size() / 2]; }

/// 128 layers of 128: what the dense layers reach by themselves.
void dense_rate(std::int32_t rows, const Timer& timer) {
  const DenseLayer layer{.name = "a", .in = 128, .out = 128, .relu = true};
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.125F);
  const auto values = [&](std::size_t size) {
    std::vector<float> out(size);
    for (float& value : out) value = normal(random);
    return out;
  };
  const Weights weights = {{"a.weight", values(128 * 128)}, {"a.bias", values(128)}};
  std::vector<float> content;
  const dense::cuda::Place place = dense::cuda::pack({layer}, weights, content);
  const OnDevice<float> packed(content.size()), x(static_cast<std::size_t>(rows) * 128);
  check(cudaMemcpy(packed.data(), content.data(), content.size() * sizeof(float), cudaMemcpyHostToDevice));
  const std::vector<float> inputs = values(x.span().size());
  check(cudaMemcpy(x.data(), inputs.data(), x.span().size_bytes(), cudaMemcpyHostToDevice));
  dense::cuda::Chain chain;
  for (; chain.num_steps < dense::cuda::kMostSteps; ++chain.num_steps) {
    dense::cuda::Step& step = chain.steps[chain.num_steps];
    step.layer = dense::cuda::at(place, packed.data());
    step.keep = true;
  }
  dense::cuda::Step &first = chain.steps[0], &last = chain.steps[chain.num_steps - 1];
  first.sources[first.num_sources++] = {x.data(), 128, 128};
  last.stores[last.num_stores++] = {x.data(), 128, 0, 128};
  const float ms = median(timer.run(kRepeats, [&] { dense::cuda::run(chain, rows, nullptr, timer.stream); }));
  const double operations = 2. * 128 * 128 * chain.num_steps * rows;
  std::printf("a chain of %d layers of 128 on %d rows: %.3f ms, %.1f TFLOP/s of float32\n", chain.num_steps, rows, ms,
              operations / ms / 1e9);
}

}  // namespace

int main(int argc, char** argv) try {
  const ShowerFinder finder = argc > 2 ? ShowerFinder::load(argv[2]) : random_finder();
  const CalorimeterHits hits = simulated_hits(argc > 1 ? std::atoi(argv[1]) : 200'000);
  const auto count = static_cast<std::size_t>(hits.size());
  const Timer timer;
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0));
  std::printf("%s; %d hits\n", device.name, hits.size());
  dense_rate(hits.size(), timer);

  const OnDevice<float> x(count), y(count), z(count), energy(count), time(count);
  const OnDevice<std::int32_t> layer(count), bad_row(2), id(count), point(count);
  const auto upload = [&](const auto& from, const auto& to) {
    check(cudaMemcpy(to.data(), from.data(), from.size() * sizeof(from[0]), cudaMemcpyHostToDevice));
  };
  upload(hits.x, x), upload(hits.y, y), upload(hits.z, z), upload(hits.energy, energy), upload(hits.time, time);
  upload(hits.layer, layer);
  const CalorimeterHitsView view{x.span(), y.span(), z.span(), energy.span(), time.span(), layer.span()};

  const GravNetShape& shape = finder.network.shape;
  const OnDevice<std::byte> weights(GravNetCudaPlan::weights_bytes(shape));
  const GravNetCudaPlan plan(finder.network, weights.span());
  const OnDevice<float> features(count * kShowerFeatures), outputs(count * static_cast<std::size_t>(shape.outputs));
  GravNetHits rows;
  rows.features = features.data();
  rows.num_hits = hits.size();
  const OnDevice<std::byte> workspace(plan.workspace_bytes(rows));
  const OnDevice<float> beta(count), points(count * static_cast<std::size_t>(finder.outputs.coordinates)), scale(count);
  CondenseHits<float> candidates;
  candidates.beta = beta.data();
  candidates.x = points.data();
  candidates.scale = finder.outputs.scale ? scale.data() : nullptr;
  candidates.num_hits = hits.size();
  candidates.dimensions = finder.outputs.coordinates;
  const CondenseOptions options{finder.cuts.t_beta, finder.cuts.t_d, finder.cuts.assign};
  const Execution execution = timer.on_stream(bad_row.data());
  const OnDevice<std::byte> condense_memory(condense_workspace_bytes(candidates, options, execution));

  const auto make_features = [&] { shower_features(view, finder.features, features.data(), execution); };
  const auto run_network = [&] { plan.run(rows, outputs.data(), workspace.span(), execution); };
  const auto make_points = [&] {
    shower_points(view, finder.outputs, outputs.data(), {beta.data(), points.data(), scale.data()}, execution);
  };
  const auto cluster = [&] {
    condense(candidates, options, {id.data(), point.data(), nullptr}, condense_memory.span(), execution);
  };
  const auto all = [&] { make_features(), run_network(), make_points(), cluster(); };
  all();
  std::printf("features %.3f ms, network %.3f ms, points %.3f ms, clusters %.3f ms; all as a graph %.3f ms\n",
              median(timer.run(kRepeats, make_features)), median(timer.run(kRepeats, run_network)),
              median(timer.run(kRepeats, make_points)), median(timer.run(kRepeats, cluster)),
              median(timer.run_graph(kRepeats, all)));
  std::printf("memory: network %.1f MB, clusters %.1f MB\n", static_cast<double>(workspace.span().size()) / 1e6,
              static_cast<double>(condense_memory.span().size()) / 1e6);

  ShowerSession session(finder, Device::cuda);
  std::vector<double> times;
  FoundShowers found;
  for (int i = 0; i < 12; ++i) {
    const auto start = std::chrono::steady_clock::now();
    found = session.run(hits);
    const std::chrono::duration<double, std::milli> ms = std::chrono::steady_clock::now() - start;
    if (i >= 2) times.push_back(ms.count());
  }
  std::sort(times.begin(), times.end());
  std::printf("session, host to host: %.2f ms, %d showers\n", times[times.size() / 2], found.size());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
