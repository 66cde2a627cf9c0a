// Times the runtime of interaction_network.h on random graphs of 100,000 nodes and, where this is built with LibTorch
// (STARLING_LEARN), the same network written plainly in LibTorch, on the same graph and number of threads.
//
//   build/release/bench/bench_network [HIDDEN [EDGES [THREADS [STEPS]]]]
//
// Columns: ms of one event; ns per edge and step; LibTorch's ms and the ratio; the largest difference of the logits as
// a part of the largest logit; workspace, and the growth of the process's peak memory through graph, plan, workspace
// and run (without LibTorch, which comes after). Where there is a CUDA device, rows of it follow: median of 20 runs as
// a CUDA graph, workspace, and the largest difference of the logits to those of float32; int8 is the same network in
// codes of 8 bits, and its difference that of rounding to them. With 0 threads these rows are all; bench/network.py
// sets them beside torch on the same device.

#include "network.h"

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cmath>
#include <cstdlib>
#include <exception>
#include <numeric>
#include <random>

#include "calibration.h"
#include "timing.h"

namespace {

using namespace starling;

BenchGraph random_graph(std::int32_t nodes, std::int64_t edges) {
  BenchGraph graph;
  graph.num_nodes = nodes;
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<std::int32_t> node(0, nodes - 1);
  graph.node_features.resize(std::size_t(nodes) * kNodeFeatures);
  graph.edge_features.resize(std::size_t(edges) * kEdgeFeatures);
  for (float& value : graph.node_features) value = normal(random);
  for (float& value : graph.edge_features) value = normal(random);
  graph.src.resize(edges);
  graph.dst.resize(edges);
  for (std::int32_t& v : graph.src) v = node(random);
  for (std::int32_t& v : graph.dst) v = node(random);
  std::sort(graph.src.begin(), graph.src.end());  // a hit graph's order
  return graph;
}

InteractionNetwork random_network(int hidden, int steps) {
  InteractionNetwork network;
  network.shape.hidden = hidden;
  network.shape.steps = steps;
  std::mt19937 random(2);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  for (const DenseLayer& layer : layers(network.shape)) {
    std::vector<float>& weight = network.weights[layer.name + ".weight"];
    std::vector<float>& bias = network.weights[layer.name + ".bias"];
    weight.resize(std::size_t(layer.in) * layer.out);
    bias.resize(layer.out);
    for (float& value : weight) value = uniform(random) / std::sqrt(static_cast<float>(layer.in));
    for (float& value : bias) value = 0.1f * uniform(random);
  }
  return network;
}

// A line of /proc/self/status, in MB.
double memory_mb(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::strtod(line.c_str() + key.size() + 1, nullptr) / 1024.;
  }
  return 0.;
}

void reset_peak_memory() { std::ofstream("/proc/self/clear_refs") << 5; }

void measure(int hidden, int steps, std::int64_t edges, int threads) {
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
  tbb::task_arena arena(threads);
  const InteractionNetwork network = random_network(hidden, steps);
  reset_peak_memory();
  const double before = memory_mb("VmRSS");
  const BenchGraph graph = random_graph(100'000, edges);
  std::vector<float> logits(edges);
  Times times;
  double workspace_mb = 0., peak_mb = 0.;
  arena.execute([&] {
    const Plan plan(network);
    std::vector<std::byte> workspace(plan.workspace_bytes(graph.num_nodes, edges));
    times = best_times(3, [&] { plan.run(graph.view(), logits, workspace); });
    workspace_mb = static_cast<double>(workspace.size()) / 1e6;
    peak_mb = (memory_mb("VmHWM") - before) * 1.048576;
  });
  const auto ns = [&](double ms) { return ms * 1e6 / static_cast<double>(edges) / steps; };
  std::printf("%4d %8ld %3d %8.0f %8.0f %6.0f ", hidden, static_cast<long>(edges), threads, times.wall_ms, times.cpu_ms,
              ns(times.cpu_ms));
#ifdef STARLING_BENCH_LIBTORCH
  const Peer peer = run_libtorch(network, graph, threads);
  double worst = 0., largest = 0.;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    worst = std::max(worst, std::abs(double{logits[i]} - double{peer.logits[i]}));
    largest = std::max(largest, std::abs(double{peer.logits[i]}));
  }
  std::printf("| %8.0f %8.0f %6.0f %6.2fx %6.2fx %8.0e ", peer.times.wall_ms, peer.times.cpu_ms, ns(peer.times.cpu_ms),
              peer.times.wall_ms / times.wall_ms, peer.times.cpu_ms / times.cpu_ms, worst / largest);
#endif
  std::printf("| %8.1f %8.1f\n", workspace_mb, peak_mb);
  std::fflush(stdout);
}

#ifdef STARLING_BENCH_CUDA
void measure_cuda(int hidden, int steps, std::int64_t edges) {
  const InteractionNetwork network = random_network(hidden, steps);
  const BenchGraph graph = random_graph(100'000, edges);
  std::vector<float> expected;  // of float32, which has the bytes of the host
  const auto print = [&](const char* type, const OnCuda& result) {
    double worst = 0., largest = 0.;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, std::abs(double{result.logits[i]} - double{expected[i]}));
      largest = std::max(largest, std::abs(double{expected[i]}));
    }
    std::printf("%4d %8ld %9s %8.3f %8.1f %8.0e\n", hidden, static_cast<long>(edges), type, result.ms,
                result.workspace_mb, worst / largest);
    std::fflush(stdout);
  };
  for (const NumberType type : {NumberType::float32, NumberType::half, NumberType::bfloat16}) {
    const OnCuda result = run_cuda(network, graph, type);
    if (type == NumberType::float32) expected = result.logits;
    print(to_string(type).c_str(), result);
  }
  const BenchGraph small = random_graph(1'000, 10'000);
  print("int8", run_cuda(calibration::quantized_after_training(network, small.view(), 8), graph));
}
#endif

std::vector<int> numbers(int argc, char** argv, int index, std::vector<int> otherwise) {
  if (argc <= index) return otherwise;
  return {std::atoi(argv[index])};
}

}  // namespace

int main(int argc, char** argv) try {
  print_machine();
  std::printf("instructions: %s; 100,000 nodes, float32\n", to_string(simd_level()).c_str());
#ifdef STARLING_BENCH_LIBTORCH
  std::printf("peer: %s\n", libtorch_version().c_str());
#endif
  std::printf("%4s %8s %3s %8s %8s %6s ", "H", "edges", "thr", "ms", "cpu ms", "ns");
#ifdef STARLING_BENCH_LIBTORCH
  std::printf("| %8s %8s %6s %7s %7s %8s ", "torch ms", "cpu ms", "ns", "ratio", "cpu", "differ");
#endif
  std::printf("| %8s %8s\n", "work MB", "peak MB");
  const int all = tbb::this_task_arena::max_concurrency();
  for (const int steps : numbers(argc, argv, 4, {8})) {
    for (const int hidden : numbers(argc, argv, 1, {48, 64, 128})) {
      for (const int edges : numbers(argc, argv, 2, {300'000, 1'000'000})) {
        for (const int threads : numbers(argc, argv, 3, all > 1 ? std::vector<int>{1, all} : std::vector<int>{1})) {
          if (threads > 0) measure(hidden, steps, edges, threads);
        }
      }
    }
  }
#ifdef STARLING_BENCH_CUDA
  if (!has_cuda()) return 0;
  std::printf("\nCUDA device, in its memory\n%4s %8s %9s %8s %8s %8s\n", "H", "edges", "numbers", "ms", "work MB",
              "differ");
  for (const int steps : numbers(argc, argv, 4, {8})) {
    for (const int hidden : numbers(argc, argv, 1, {48, 64, 128})) {
      for (const int edges : numbers(argc, argv, 2, {75'000, 1'000'000})) measure_cuda(hidden, steps, edges);
    }
  }
#endif
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
