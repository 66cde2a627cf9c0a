// Times track building on the GPU: medians of CUDA events after warm-up, as a CUDA graph and by itself, beside one
// thread of the host, which must give the same. By default the graphs of real events with the shipped model's scores
// and cuts, then random graphs: with all hits in one component, which one thread of the device walks, and with all
// edges on one hit.
//
//   build/release/bench/bench_tracks_cuda [EVENT...]
//
// EVENT is the prefix of an event's files. Without any: events 1000, 1001 and 1005 of ../shared/data, or of where
// STARLING_DATA says, those that are there.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <random>
#include <string>

#include "cuda_timing.h"
#include "data.h"
#include "starling/event.h"
#include "starling/interaction_network.h"
#include "starling/track_finder.h"
#include "starling/tracks.h"
#include "timing.h"

using namespace starling;
using namespace starling::bench;
namespace fs = std::filesystem;

namespace {

constexpr int kRepeats = 25;

/// What is timed: the tracks of a hit graph, or of edges alone.
struct Sample {
  std::string name;
  HitGraph graph;
  bool layered;
  std::vector<float> scores;
  TrackCuts cuts;
};

template <typename U>
struct Uploaded : OnDevice<U> {
  explicit Uploaded(const std::vector<U>& values) : OnDevice<U>(values.size()) {
    check(cudaMemcpy(this->data(), values.data(), values.size() * sizeof(U), cudaMemcpyHostToDevice));
  }
};

void run(const Sample& sample, const Timer& timer) {
  const HitGraph& graph = sample.graph;
  Tracks host;
  const double host_ms = best_ms(5, [&] {
    host = sample.layered ? build_tracks(graph, sample.scores, sample.cuts)
                          : build_tracks(graph.edges, sample.scores, sample.cuts);
  });
  const Uploaded<std::int32_t> src(graph.edges.src), dst(graph.edges.dst), layer(graph.layer), order(graph.order),
      triplet_splits(graph.triplets.row_splits), triplets(graph.triplets.edges);
  const Uploaded<float> node_features(graph.node_features), edge_features(graph.edge_features), scores(sample.scores);
  const auto nodes = static_cast<std::size_t>(graph.edges.num_nodes);
  const OnDevice<std::int32_t> row_splits(nodes + 1), hits(nodes), count(1), bad_row(1);
  const Execution execution = timer.on_stream(bad_row.data());
  const OnDevice<std::byte> workspace(
      build_tracks_bytes(graph.edges.num_nodes, graph.edges.size(), sample.cuts, execution));
  const EdgeListView edges{graph.edges.num_nodes, src.span(), dst.span()};
  const HitGraphView view{edges,        node_features.span(),  edge_features.span(), layer.span(),
                          order.span(), triplet_splits.span(), triplets.span()};
  const TracksMemory tracks{row_splits.data(), hits.data(), count.data()};
  const auto on_device = [&] {
    if (sample.layered) {
      build_tracks(view, scores.data(), sample.cuts, tracks, workspace.span(), execution);
    } else {
      build_tracks(edges, scores.data(), sample.cuts, tracks, workspace.span(), execution);
    }
  };
  const auto alone = timer.run(kRepeats, on_device), replayed = timer.run_graph(kRepeats, on_device);
  Tracks found{std::vector<std::int32_t>(host.row_splits.size()), std::vector<std::int32_t>(host.hits.size())};
  std::int32_t number = 0;
  const auto download = [](auto& values, const std::int32_t* from) {
    check(cudaMemcpy(values.data(), from, values.size() * sizeof(std::int32_t), cudaMemcpyDeviceToHost));
  };
  download(found.row_splits, row_splits.data());
  download(found.hits, hits.data());
  check(cudaMemcpy(&number, count.data(), sizeof number, cudaMemcpyDeviceToHost));
  const bool equal = number == host.size() && found.row_splits == host.row_splits && found.hits == host.hits;
  std::printf("%-34s %-16s %8zu hits, %8zu edges, %6d tracks: %8.3f ms, as a graph %8.3f, host %8.2f, %s; %.1f MB\n",
              sample.name.c_str(), to_string(sample.cuts.builder).c_str(), nodes, sample.scores.size(), host.size(),
              alone[kRepeats / 2], replayed[kRepeats / 2], host_ms, equal ? "equal" : "NOT EQUAL",
              static_cast<double>(workspace.span().size()) / 1e6);
  std::fflush(stdout);
}

/// Each builder, with the other cuts as they are.
void run_builders(Sample sample, const Timer& timer) {
  for (const auto builder : {TrackBuilder::walkthrough, TrackBuilder::components, TrackBuilder::junction_removal}) {
    sample.cuts.builder = builder;
    run(sample, timer);
  }
}

/// Edges from each node to one of the next `reach`, or all from node 0, with any scores above the walk's minimum.
Sample random_edges(std::string name, std::int32_t nodes, std::int32_t edges, std::int32_t reach, bool star) {
  std::mt19937 random(1);
  Sample sample{std::move(name), {}, false, {}, {}};
  sample.graph.edges.num_nodes = nodes;
  for (std::int32_t e = 0; e < edges; ++e) {
    const auto from = star ? 0 : static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(nodes - reach));
    sample.graph.edges.src.push_back(from);
    sample.graph.edges.dst.push_back(from + 1 +
                                     static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(reach)));
    sample.scores.push_back(0.5f + static_cast<float>(random() % 4096) / 8192.f);
  }
  return sample;
}

/// Components of ten hits, each with an edge to the next two.
Sample short_tracks(std::string name, std::int32_t edges) {
  std::mt19937 random(1);
  Sample sample{std::move(name), {}, false, {}, {}};
  EdgeList& list = sample.graph.edges;
  for (std::int32_t hit = 0; list.size() < edges; ++hit) {
    for (std::int32_t next = hit + 1; next <= hit + 2 && next / 10 == hit / 10; ++next) {
      list.src.push_back(hit);
      list.dst.push_back(next);
      sample.scores.push_back(0.5f + static_cast<float>(random() % 4096) / 8192.f);
    }
    list.num_nodes = hit + 3;
  }
  return sample;
}

int run_all(int argc, char** argv) {
  std::vector<fs::path> events(argv + 1, argv + argc);
  if (events.empty()) {
    for (const char* const event :
         {"trackml_ev1000_barrel/event000001000", "trackml_full/event000001001", "trackml_full/event000001005"}) {
      if (fs::exists((data_folder() / event).string() + "-hits.csv")) events.push_back(data_folder() / event);
    }
  }
  print_machine();
  const Timer timer;
  const TrackFinder finder = TrackFinder::load(fs::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors");
  Session session(finder.plan());
  for (const fs::path& event : events) {
    const Hits hits = read_event(event, {.truth = false}).hits;
    Sample sample{
        event.filename().string(), build_hit_graph(hits, finder.windows, finder.scales), true, {}, finder.cuts};
    sample.scores = session.run(sample.graph);
    run_builders(std::move(sample), timer);
  }
  run(random_edges("random, one component", 400, 800, 6, false), timer);
  run(random_edges("random, one component", 4'000, 8'000, 6, false), timer);
  run(random_edges("random, one component", 100'000, 200'000, 6, false), timer);
  run(random_edges("all edges on one hit", 5'001, 5'000, 5'000, true), timer);
  run(short_tracks("components of ten hits", 5'000'000), timer);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_all(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_tracks_cuda: %s\n", error.what());
    return 1;
  }
}
