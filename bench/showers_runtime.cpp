// Times shower finding on the host, stage by stage: the best of three runs, on the wall clock and, for the network and
// what it is made of, in processor time of all threads. One event of simulated hits; the shipped
// kind of network (the seed model's widths) with random weights, or a model file.
//
//   build/release/bench/bench_showers_runtime [HITS [THREADS [MODEL]]]

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cstdlib>
#include <exception>

#include "showers.h"
#include "starling/message.h"
#include "starling/neighbors.h"
#include "timing.h"

namespace {

using namespace starling;

/// One neighbour search of the network's, in so many of the features: those of every hit differ as learned ones do.
Times neighbors(const GravNetShape& shape, const std::vector<float>& features) {
  NeighborSearch<float> search;
  std::vector<float> points;
  for (std::size_t i = 0; i < features.size(); i += kShowerFeatures) {
    points.insert(points.end(), features.begin() + static_cast<std::ptrdiff_t>(i),
                  features.begin() + static_cast<std::ptrdiff_t>(i) + shape.space);
  }
  search.points = points.data();
  search.num_points = static_cast<std::int32_t>(features.size() / kShowerFeatures);
  search.dimensions = shape.space;
  const std::size_t entries = static_cast<std::size_t>(search.num_points) * shape.k;
  std::vector<std::int32_t> index(entries);
  std::vector<float> distance2(entries);
  std::vector<std::byte> workspace(knn_workspace_bytes(search, shape.k));
  return best_times(3, [&] { knn(search, shape.k, index.data(), distance2.data(), workspace); });
}

/// The messages of one block, over neighbours that lie near in memory as hits of one shower do.
Times messages(const GravNetShape& shape, std::int32_t hits) {
  Messages<float> messages;
  messages.num_rows = messages.num_sources = hits;
  messages.k = shape.k;
  messages.width = shape.propagate;
  const std::size_t entries = static_cast<std::size_t>(hits) * shape.k;
  std::vector<std::int32_t> index(entries);
  std::vector<float> distance2(entries), features(static_cast<std::size_t>(hits) * shape.propagate, 0.5F),
      out(2 * features.size());
  for (std::size_t e = 0; e < entries; ++e) {
    index[e] = static_cast<std::int32_t>((e / shape.k + e * 7919 % 1000) % hits);
    distance2[e] = 1e-3F * static_cast<float>(e % 97);
  }
  messages.index = index.data();
  messages.distance2 = distance2.data();
  messages.features = features.data();
  return best_times(3, [&] {
    aggregate(messages, {out.data(), out.data() + shape.propagate, 2 * shape.propagate, nullptr});
  });
}

void measure(const ShowerFinder& finder, const CalorimeterHits& hits, int threads) {
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
  tbb::task_arena(threads).execute([&] {
    const GravNetPlan plan(finder.network);
    std::vector<float> features(static_cast<std::size_t>(hits.size()) * kShowerFeatures),
        outputs(static_cast<std::size_t>(hits.size()) * finder.network.shape.outputs);
    GravNetHits rows;
    rows.features = features.data();
    rows.num_hits = hits.size();
    std::vector<std::byte> workspace(plan.workspace_bytes(rows));
    FoundShowers found;
    const double features_ms = best_ms(3, [&] { shower_features(hits, finder.features, features.data()); });
    const Times network = best_times(3, [&] { plan.run(rows, outputs.data(), workspace); });
    const Times search = neighbors(finder.network.shape, features),
                messages = ::messages(finder.network.shape, hits.size());
    const double clusters_ms = best_ms(3, [&] { found = find_showers(hits, outputs, finder.outputs, finder.cuts); });
    ShowerSession session(finder);
    const double session_ms = best_ms(3, [&] { found = session.run(hits); });
    std::printf("%8d %3d | %8.1f %8.1f %8.1f %8.1f | %8.1f %8.1f %8.1f | %7d | %8.1f\n", hits.size(), threads,
                features_ms, network.wall_ms, clusters_ms, session_ms, network.cpu_ms, search.cpu_ms, messages.cpu_ms,
                found.size(), static_cast<double>(workspace.size()) / 1e6);
    std::fflush(stdout);
  });
}

}  // namespace

int main(int argc, char** argv) try {
  print_machine();
  std::printf("instructions: %s\n", to_string(simd_level()).c_str());
  const ShowerFinder finder = argc > 3 ? ShowerFinder::load(argv[3]) : bench::random_finder();
  const CalorimeterHits hits = bench::simulated_hits(argc > 1 ? std::atoi(argv[1]) : 200'000);
  std::printf("%8s %3s | %8s %8s %8s %8s | %8s %8s %8s | %7s | %8s\n", "", "", "features", "network", "clusters",
              "session", "network", "search", "messages", "", "work");
  std::printf("%8s %3s | %8s %8s %8s %8s | %8s %8s %8s | %7s | %8s\n", "hits", "thr", "ms", "ms", "ms", "ms", "cpu ms",
              "cpu ms", "cpu ms", "showers", "MB");
  const int all = tbb::this_task_arena::max_concurrency();
  const std::vector<int> threads = argc > 2 ? std::vector<int>{std::atoi(argv[2])} : std::vector<int>{1, all};
  for (const int each : threads) measure(finder, hits, each);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
