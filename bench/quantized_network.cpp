// Times the integer runtime of quantized_network.h, each set of kernels that runs here, beside the float one of
// interaction_network.h on the hit graph of an event, one thread. The network is the shipped one, quantised after
// training on a small simulated event, as it is and with the smallest weights of each layer set to zero: its time is
// that of any network of its shape and zeros.
//
//   build/release/bench/bench_quantized_network [EVENT [BITS [ZEROS [MODEL.safetensors]]]]
//
// EVENT is a path with its event's name, such as events/event000001005; without one, or with "-", an event is
// simulated. ZEROS: percent of the weights. MODEL: where the quantised model is written, for `starling evaluate`.
// Columns: ms of processor time of the best of ten runs, and how many times as long the float runtime takes at the same
// level; the part of the edges whose score is on the other side of 0.5; the file's bytes.

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <map>

#include "calibration.h"
#include "integer_set_plan.h"
#include "starling/detector.h"
#include "starling/event.h"
#include "starling/simulate.h"
#include "starling/track_finder.h"
#include "timing.h"

namespace {

using namespace starling;

Hits simulated(double pileup) {
  const std::filesystem::path detectors = std::filesystem::path(STARLING_SOURCE_DIR) / "detectors";
  SimulationSettings settings;
  settings.pileup = pileup;
  return simulate_event(read_detector(detectors / "trackml.toml"), settings, 1).hits;
}

struct Run {
  double ms;
  std::vector<float> logits;
};

Run timed(const EdgePlan& plan, const GraphView& graph) {
  Run run;
  run.logits.resize(graph.src.size());
  std::vector<std::byte> workspace(plan.workspace_bytes(graph.num_nodes, graph.num_edges()));
  run.ms = best_times(10, [&] { plan.run(graph, run.logits, workspace); }).cpu_ms;
  return run;
}

std::vector<std::pair<int, int>> pairs(const std::vector<int>& firsts, const std::vector<int>& seconds) {
  std::vector<std::pair<int, int>> all;
  for (const int first : firsts) {
    for (const int second : seconds) all.emplace_back(first, second);
  }
  return all;
}

void measure(const HitGraph& graph, const TrackFinder& finder, const std::vector<int>& all_bits,
             const std::vector<int>& all_zeros, const char* model) {
  const auto& network = std::get<InteractionNetwork>(finder.network);
  const GraphView view = network_view(graph);
  std::printf("%d nodes, %ld edges; H = %d, N = %d; float32:", view.num_nodes, static_cast<long>(view.num_edges()),
              network.shape.hidden, network.shape.steps);
  std::map<SimdLevel, Run> peers;
  for (const SimdLevel level : simd_levels()) {
    if (level == SimdLevel::reference) continue;
    peers[level] = timed(Plan(network, level), view);
    std::printf(" %s %.0f ms", to_string(level).c_str(), peers[level].ms);
  }
  std::printf("\n");
  std::printf("%5s %6s %-30s %8s %8s %10s %9s\n", "bits", "zeros", "kernels", "ms", "ratio", "decided", "bytes");
  const HitGraph small = build_hit_graph(simulated(20.), finder.windows, finder.scales);
  for (const auto& [bits, zeros] : pairs(all_bits, all_zeros)) {
    const QuantizedNetwork codes =
        calibration::quantized_after_training(network, network_view(small), bits, zeros / 100.);
    std::int64_t bytes = 0;
    for (const LayerCost& cost : layer_costs(codes)) bytes += cost.bytes;
    std::vector<float> first;
    for (const dense::IntegerSet& set : dense::integer_sets(simd_levels().back())) {
      if (set.level == SimdLevel::reference) continue;
      const Run& peer = peers.at(set.level);
      const IntegerSetPlan plan(codes, set);
      const Run run = timed(plan, view);
      std::int64_t differ = 0;
      for (std::size_t i = 0; i < run.logits.size(); ++i) differ += (run.logits[i] > 0) != (peer.logits[i] > 0);
      std::printf("%5d %5d%% %-30s %8.0f %7.2fx %9.3f%% %9ld\n", bits, zeros, plan.kernels().c_str(), run.ms,
                  peer.ms / run.ms, 100. * static_cast<double>(differ) / static_cast<double>(run.logits.size()),
                  static_cast<long>(bytes));
      std::fflush(stdout);
      if (!first.empty() && first != run.logits) throw std::runtime_error("kernels differ");
      first = run.logits;
    }
    if (model == nullptr) continue;
    TrackFinder quantized = finder;
    quantized.network = codes;
    quantized.save(model);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, 1);
  print_machine();
  const TrackFinder finder =
      TrackFinder::load(std::filesystem::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors");
  const bool simulate = argc < 2 || std::strcmp(argv[1], "-") == 0;
  const Hits hits = simulate ? simulated(200.) : read_event(argv[1], {.truth = false}).hits;
  const HitGraph graph = build_hit_graph(hits, finder.windows, finder.scales);
  const auto chosen = [&](int argument, std::vector<int> all) {
    return argc > argument ? std::vector<int>{std::atoi(argv[argument])} : all;
  };
  tbb::task_arena(1).execute([&] {
    measure(graph, finder, chosen(2, {12, 8, 6, 4}), chosen(3, {0, 90}), argc > 4 ? argv[4] : nullptr);
  });
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
