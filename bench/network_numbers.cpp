// What the number type of the network on a CUDA device does to tracking: the same events with float32, half and
// bfloat16, beside the host. Needs a CUDA device and events with truth.
//
//   build/release/bench/bench_network_numbers MODEL EVENT…
//
// Columns: edge efficiency and total purity (score ≥ the model's cut), track efficiency (double majority) and fakes,
// each in per cent and pooled over the events; edges on the other side of the cut than on the host; the largest
// difference of a score; milliseconds of the network as a CUDA graph, the median of 50 runs, averaged over the events.

#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>

#include "cuda_timing.h"
#include "starling/event.h"
#include "starling/metrics.h"
#include "starling/track_finder.h"

namespace {

using namespace starling;
using starling::bench::check;
using starling::bench::OnDevice;

template <typename T>
void copy(std::span<const T> from, T* to) {
  check(cudaMemcpy(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice));
}

struct Scored {
  std::vector<float> scores;
  double ms;  ///< of the network
};

Scored score_on_device(const InteractionNetworkCudaPlan& plan, const HitGraph& graph) {
  const GraphView view = network_view(graph);
  const OnDevice<std::int32_t> src(view.src.size()), dst(view.dst.size()), order(view.order.size()), bad_row(1);
  const OnDevice<float> nodes(view.node_features.size()), edges(view.edge_features.size()), logits(view.src.size());
  copy(view.src, src.data());
  copy(view.dst, dst.data());
  copy(view.order, order.data());
  copy(view.node_features, nodes.data());
  copy(view.edge_features, edges.data());
  check(cudaDeviceSynchronize());
  const OnDevice<std::byte> workspace(plan.workspace_bytes(view.num_nodes, view.num_edges()));
  const bench::Timer timer;
  const Execution execution = timer.on_stream(bad_row.data());
  const GraphView there{view.num_nodes, src.span(), dst.span(), nodes.span(), edges.span(), order.span()};
  const std::vector<float> times =
      timer.run_graph(50, [&] { plan.run(there, logits.data(), workspace.span(), execution); });
  edge_scores(logits.data(), view.num_edges(), nullptr, logits.data(), execution);
  check(cudaStreamSynchronize(timer.stream));
  Scored result{std::vector<float>(view.src.size()), times[times.size() / 2]};
  check(cudaMemcpy(result.scores.data(), logits.data(), result.scores.size() * sizeof(float), cudaMemcpyDeviceToHost));
  return result;
}

struct Row {
  std::string name;
  EdgeCounts edges;
  TrackCounts tracks;
  std::int64_t crossed = 0;
  double largest = 0., ms = 0.;
};

double percent(const Ratio& ratio) { return 100. * ratio.value(); }

void run(const std::string& model, std::span<char*> prefixes) {
  const TrackFinder finder = TrackFinder::load(model);
  std::vector<Row> rows(4);
  const char* const names[] = {"host", "float32", "half", "bfloat16"};
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].name = names[i];
  std::vector<std::unique_ptr<OnDevice<std::byte>>> memory;
  std::vector<std::unique_ptr<InteractionNetworkCudaPlan>> plans;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const NumberType type = parse_number_type(rows[i].name);
    memory.push_back(
        std::make_unique<OnDevice<std::byte>>(InteractionNetworkCudaPlan::weights_bytes(finder.shape(), type)));
    plans.push_back(std::make_unique<InteractionNetworkCudaPlan>(std::get<InteractionNetwork>(finder.network), type,
                                                                 memory.back()->span()));
  }
  Session session(finder.plan());
  std::int64_t edges = 0;
  for (const char* const prefix : prefixes) {
    const Event event = read_event(prefix);
    const TruthTable truth = truth_table(event, {});
    const HitGraph graph = build_hit_graph(event.hits, finder.windows, finder.scales);
    const EdgeTruth labels = edge_truth(graph.edges, truth);
    const std::vector<float> expected = session.run(graph);
    edges += std::ssize(expected);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto [scores, ms] = i == 0 ? Scored{expected, 0.} : score_on_device(*plans[i - 1], graph);
      rows[i].ms += ms / static_cast<double>(prefixes.size());
      for (std::size_t e = 0; e < scores.size(); ++e) {
        rows[i].crossed += (scores[e] >= finder.cuts.score) != (expected[e] >= finder.cuts.score);
        rows[i].largest = std::max(rows[i].largest, std::abs(double{scores[e]} - double{expected[e]}));
      }
      rows[i].edges += count_edges(labels, scores, finder.cuts.score);
      const Tracks tracks = build_tracks(graph, scores, finder.cuts);
      rows[i].tracks += count_tracks(event, truth, tracks, match_tracks(truth, tracks));
    }
  }
  std::printf("%lld edges\n%-9s %8s %8s %8s %8s %8s %9s %8s\n", static_cast<long long>(edges), "numbers", "edge eff",
              "purity", "tracks", "fakes", "crossed", "largest", "ms");
  for (const Row& row : rows) {
    std::printf("%-9s %8.3f %8.3f %8.3f %8.3f %8lld %9.1e %8.3f\n", row.name.c_str(), percent(row.edges.efficiency()),
                percent(row.edges.total_purity()), percent(row.tracks.efficiency), percent(row.tracks.fakes),
                static_cast<long long>(row.crossed), row.largest, row.ms);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) throw std::runtime_error("usage: bench_network_numbers MODEL EVENT…");
  run(argv[1], std::span(argv + 2, static_cast<std::size_t>(argc - 2)));
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
