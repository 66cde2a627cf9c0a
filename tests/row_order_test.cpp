// The set of tracks does not depend on the order of an event's rows, nor on the ids of its hits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "data.h"
#include "starling/detector.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/interaction_network.h"
#include "starling/simulate.h"
#include "starling/track_finder.h"
#include "starling/tracks.h"

namespace starling {
namespace {

namespace fs = std::filesystem;

const TrackFinder& finder() {
  static const TrackFinder finder =
      TrackFinder::load(fs::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors");
  return finder;
}

struct Result {
  HitGraph graph;
  std::vector<float> scores;
  Tracks tracks;
};

Result reconstruct(const Hits& hits) {
  Result result;
  result.graph = build_hit_graph(hits, finder().windows, finder().scales);
  result.scores = Session(finder().plan()).run(result.graph);
  result.tracks = build_tracks(result.graph, result.scores, finder().cuts);
  return result;
}

// The hits in another order: hit i of the result is hit order[i], under a new id.
Hits reordered(const Hits& hits, const std::vector<std::int32_t>& order) {
  Hits result;
  for (const std::int32_t i : order) {
    result.hit_id.push_back(2 * result.size() + 7);
    result.x.push_back(hits.x[i]);
    result.y.push_back(hits.y[i]);
    result.z.push_back(hits.z[i]);
    result.volume_id.push_back(hits.volume_id[i]);
    result.layer_id.push_back(hits.layer_id[i]);
    result.module_id.push_back(hits.module_id[i]);
  }
  return result;
}

// Tracks as lists of hits in the order that they have, each hit i being named name[i].
std::set<std::vector<std::int32_t>> track_set(const Tracks& tracks, const std::vector<std::int32_t>& name) {
  std::set<std::vector<std::int32_t>> all;
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    std::vector<std::int32_t> track;
    for (auto i = tracks.row_splits[t]; i < tracks.row_splits[t + 1]; ++i) track.push_back(name[tracks.hits[i]]);
    all.insert(track);
  }
  return all;
}

void expect_the_same_however_ordered(const Hits& hits, std::int32_t fewest_tracks) {
  std::vector<std::int32_t> order(hits.size());
  std::iota(order.begin(), order.end(), 0);
  const Result before = reconstruct(hits);
  const auto expected = track_set(before.tracks, order);
  EXPECT_GE(before.tracks.size(), fewest_tracks);
  std::shuffle(order.begin(), order.end(), std::mt19937(5));
  const Result after = reconstruct(reordered(hits, order));
  EXPECT_EQ(track_set(after.tracks, order), expected);

  // The graphs agree under the new indices, and scores to the last bit.
  ASSERT_EQ(after.graph.edges.size(), before.graph.edges.size());
  std::set<std::tuple<std::int32_t, std::int32_t, float>> left, right;
  for (std::size_t e = 0; e < before.scores.size(); ++e) {
    left.emplace(before.graph.edges.src[e], before.graph.edges.dst[e], before.scores[e]);
    right.emplace(order[after.graph.edges.src[e]], order[after.graph.edges.dst[e]], after.scores[e]);
  }
  EXPECT_TRUE(left == right);
  // So do their orders, but for hits that agree in all that decides.
  const auto place = [&](std::int32_t hit) {
    return std::tuple(hits.x[hit], hits.y[hit], hits.z[hit], hits.volume_id[hit], hits.layer_id[hit],
                      hits.module_id[hit]);
  };
  for (std::size_t i = 0; i < order.size(); ++i) {
    ASSERT_EQ(place(order[after.graph.order[i]]), place(before.graph.order[i]));
  }
}

TEST(RowOrder, DoesNotChangeTheTracksOfASimulatedEvent) {
  const Detector detector = read_detector(fs::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml");
  SimulationSettings settings;
  settings.pileup = 60;
  expect_the_same_however_ordered(simulate_event(detector, settings, 4).hits, 300);
}

TEST(RowOrder, DoesNotChangeTheTracksOfARealEvent) {
  STARLING_NEEDS_DATA("trackml_full");
  expect_the_same_however_ordered(read_event(data_folder() / "trackml_full" / "event000001001", {.truth = false}).hits,
                                  1000);
}

TEST(RowOrder, DoesNotChangeTheTracksOfThirteenHits) {
  STARLING_NEEDS_DATA("row_order");
  const fs::path folder = data_folder() / "row_order";
  for (const char* const name : {"order_a", "order_b"}) {
    const Hits hits = read_event(folder / name, {.truth = false}).hits;
    const std::vector<std::int32_t> ids(hits.hit_id.begin(), hits.hit_id.end());
    const Result result = reconstruct(hits);
    // Six hits on five layers, of which the two of one layer are beside each other: no triplet joins both halves.
    TrackCuts cuts = finder().cuts;
    cuts.chain_layers = 4;
    EXPECT_EQ(track_set(build_tracks(result.graph, result.scores, cuts), ids),
              (std::set<std::vector<std::int32_t>>{{7818, 5445, 5387, 3306, 1587, 126}}));
    EXPECT_EQ(result.tracks.size(), 0) << name;
  }
}

TEST(RowOrder, NoTrackLeavesALayerAndComesBack) {
  const Detector detector = read_detector(fs::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml");
  SimulationSettings settings;
  settings.pileup = 60;
  const Hits hits = simulate_event(detector, settings, 5).hits;
  const Result result = reconstruct(hits);
  ASSERT_GT(result.tracks.size(), 300);
  std::int64_t beside = 0;
  for (std::int32_t t = 0; t < result.tracks.size(); ++t) {
    std::vector<std::int32_t> layers;
    for (auto i = result.tracks.row_splits[t]; i < result.tracks.row_splits[t + 1]; ++i) {
      const std::int32_t layer = result.graph.layer[result.tracks.hits[i]];
      beside += !layers.empty() && layers.back() == layer;
      if (layers.empty() || layers.back() != layer) layers.push_back(layer);
    }
    const std::set<std::int32_t> distinct(layers.begin(), layers.end());
    EXPECT_EQ(distinct.size(), layers.size()) << "track " << t;
  }
  EXPECT_GT(beside, 100);
}

}  // namespace
}  // namespace starling
