#include "starling/hit_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numbers>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "data.h"
#include "hit_graph/geometry.h"
#include "hit_graph/windows.h"
#include "hit_graph_cases.h"
#include "starling/config.h"
#include "starling/detector.h"
#include "starling/error.h"
#include "starling/simulate.h"

namespace starling {
namespace {

using namespace hit_graph_cases;

WindowSettings quick_settings() {
  WindowSettings settings;
  settings.events = 60;
  settings.background_events = 4;
  settings.lambda_doublets = 1e-3;
  settings.lambda_triplets = 1e-2;
  settings.overlaps = true;
  return settings;
}

/// Windows learned from thinly populated events, once.
const Windows& learned() {
  static const Windows windows = learn_windows([](std::uint64_t i) { return simulated(10, i); }, quick_settings());
  return windows;
}

void expect_same_edges(const HitGraph& a, const HitGraph& b) {
  EXPECT_EQ(a.edges.num_nodes, b.edges.num_nodes);
  EXPECT_EQ(a.edges.src, b.edges.src);
  EXPECT_EQ(a.edges.dst, b.edges.dst);
  EXPECT_EQ(a.triplets.row_splits, b.triplets.row_splits);
  EXPECT_EQ(a.triplets.edges, b.triplets.edges);
}

// --- Features

TEST(NodeFeatures, AreScaledAndRepeated) {
  Hits hits;
  add_hit(hits, 0.f, -300.f, 400.f);
  const auto features = node_features(hits, {});
  ASSERT_EQ(features.size(), 12u);
  for (int k = 0; k < 12; k += 4) {
    EXPECT_FLOAT_EQ(features[k], 0.3f);
    EXPECT_FLOAT_EQ(features[k + 1], -0.5f);
    EXPECT_FLOAT_EQ(features[k + 2], 0.4f);
    EXPECT_FLOAT_EQ(features[k + 3], std::asinh(4.f / 3.f));
  }
}

TEST(NodeFeatures, AreFiniteOnTheBeamLineAndFarOut) {
  Hits hits;
  for (const float z : {0.f, 5.f, -5.f}) add_hit(hits, 0.f, 0.f, z);
  add_hit(hits, 1e-30f, 0.f, 1000.f);
  add_hit(hits, 1e30f, 1e30f, -1e30f);
  for (const float value : node_features(hits, {})) EXPECT_TRUE(std::isfinite(value));
  EXPECT_EQ(node_features(hits, {})[12 + 3], 10.f);
}

TEST(EdgeFeatures, AreDifferencesOfScaledQuantities) {
  Hits hits;
  const float turn = kPi * 0.9f;
  add_hit(hits, 100.f * std::cos(turn), 100.f * std::sin(turn), 10.f);
  add_hit(hits, 300.f * std::cos(-turn), 300.f * std::sin(-turn), 50.f);
  const auto nodes = node_features(hits, {});
  const auto f = edge_features(nodes, EdgeList{2, {0, 1}, {1, 0}});
  ASSERT_EQ(f.size(), 12u);
  EXPECT_NEAR(f[0], 0.2, 1e-6);
  EXPECT_NEAR(f[1], 0.2, 1e-6);  // the short way round, in units of pi
  EXPECT_NEAR(f[2], 0.04, 1e-6);
  EXPECT_NEAR(f[3], std::asinh(50. / 300.) - std::asinh(0.1), 1e-6);
  EXPECT_NEAR(f[4], 1., 1e-5);
  EXPECT_NEAR(f[5], 0.2, 1e-5);
  EXPECT_NEAR(f[7], -0.2, 1e-6);
  EXPECT_NEAR(f[10], 1., 1e-5);
}

TEST(EdgeFeatures, WrapInTheUnitsOfTheScale) {
  Hits hits;
  add_hit(hits, -100.f, 10.f, 0.f);
  add_hit(hits, -200.f, -10.f, 0.f);
  FeatureScales scales;
  scales.phi = 1.f;
  const auto f = edge_features(node_features(hits, scales), EdgeList{2, {0}, {1}}, scales);
  EXPECT_NEAR(f[1], std::atan2(0.1, 1.) + std::atan2(0.05, 1.), 1e-5);
}

TEST(EdgeFeatures, SlopesAreZeroWithoutAStepInRadiusAndClampedElsewhere) {
  Hits hits;
  add_hit(hits, 100.f, 0.f, 0.f);
  add_hit(hits, 0.f, 100.f, 0.f);
  add_hit(hits, 0.f, 100.01f, 0.f);
  const auto f = edge_features(node_features(hits, {}), EdgeList{3, {0, 0}, {1, 2}});
  EXPECT_EQ(f[0], 0.f);
  EXPECT_EQ(f[4], 0.f);
  EXPECT_EQ(f[5], 0.f);
  EXPECT_EQ(f[6 + 4], 100.f);
  EXPECT_NEAR(f[6 + 5], 10., 0.01);
}

// The message of the Error of this kind that `call` throws.
template <class Call>
std::string message_of(ErrorKind kind, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "";
}

TEST(EdgeFeatures, RefuseEdgesThatOnlyADeviceCanCount) {
  const std::vector<float> nodes(24);
  const EdgeList edges{2, {0}, {1}};
  EdgeListView view = edges;
  view.count = edges.src.data();
  EXPECT_EQ(message_of(ErrorKind::usage, [&] { edge_features(nodes, view); }),
            "edge_features: the number of edges is in the memory of a device, expected a graph of the host");
}

TEST(HitGraphCounts, FitOrSayWhatIsWrong) {
  const HitGraphCapacity capacity{100, 30, 20};
  const HitGraphCounts good{100, 30, 20, 5, -1, 400};
  EXPECT_TRUE(fits(good, capacity, 50));
  for (const auto count : {&HitGraphCounts::doublets, &HitGraphCounts::edges, &HitGraphCounts::triplets}) {
    HitGraphCounts more = good;
    ++(more.*count);
    EXPECT_FALSE(fits(more, capacity, 50));
  }
  const auto refused = [&](HitGraphCounts counts) {
    return message_of(ErrorKind::input, [&] { fits(counts, capacity, 50); });
  };
  EXPECT_EQ(refused({100, 30, 20, 5, 7, 400}), "hits: a coordinate of hit 7 is not a finite number");
  const std::string end = " among 50 hits: these windows are not for this event";
  EXPECT_EQ(refused({(1 << 25) + 1, -1, -1, 0, -1, 0}), "hit graph: more than 33554432 doublets" + end);
  EXPECT_EQ(refused({100, -1, -1, 0, -1, (1 << 28) + 1}), "hit graph: more than 268435456 candidate triplets" + end);
  EXPECT_EQ(refused({100, 30, (1 << 25) + 1, 0, -1, 400}), "hit graph: more than 33554432 triplets" + end);
  EXPECT_EQ(refused({100, (1 << 25) + 1, 30, 0, -1, 400}), "hit graph: more than 33554432 edges" + end);
}

TEST(EdgeFeatures, RefuseSizesAndEndsThatDoNotFit) {
  const auto refused = [](std::size_t nodes, const EdgeList& edges) {
    return message_of(ErrorKind::usage, [&] { edge_features(std::vector<float>(nodes), edges); });
  };
  EXPECT_EQ(refused(12, {2, {0}, {1}}), "edge_features: nodes: 12 features, expected 12 for each of 2");
  EXPECT_EQ(refused(24, {2, {0, 1}, {1}}), "edge_features: 2 src and 1 dst, expected as many of each");
  EXPECT_EQ(refused(24, {2, {0, 1}, {1, 2}}), "edge_features: edge 1 ends at node 2, expected 0..1");
  EXPECT_EQ(refused(24, {2, {-1}, {1}}), "edge_features: edge 0 starts at node -1, expected 0..1");
  std::vector<float> nodes(24), features(5);
  EXPECT_EQ(message_of(ErrorKind::usage,
                       [&] {
                         edge_features(nodes, EdgeList{2, {0}, {1}}, {}, features);
                       }),
            "edge_features: 5 features, expected 6 for each of 1");
}

TEST(Hits, ColumnsMustBeOfOneLength) {
  using Spoil = void (*)(Hits&);
  const std::pair<const char*, Spoil> columns[] = {{"hit_id", [](Hits& h) { h.hit_id.pop_back(); }},
                                                   {"y", [](Hits& h) { h.y.pop_back(); }},
                                                   {"z", [](Hits& h) { h.z.push_back(0); }},
                                                   {"volume_id", [](Hits& h) { h.volume_id.clear(); }},
                                                   {"layer_id", [](Hits& h) { h.layer_id.pop_back(); }},
                                                   {"module_id", [](Hits& h) { h.module_id.pop_back(); }}};
  for (const auto& [name, spoil] : columns) {
    Event event;
    for (int k = 0; k < 3; ++k) add_hit(event.hits, 30.f, 1.f, 2.f);
    event.truth = Truth{{1, 1, 1}, {}};
    spoil(event.hits);
    const std::string start = std::string("hits: column ") + name + " has ";
    const auto refused = [&](const auto& call) {
      EXPECT_TRUE(message_of(ErrorKind::usage, call).starts_with(start)) << start;
    };
    refused([&] { build_hit_graph(event.hits, Windows()); });
    refused([&] { node_features(event.hits, {}); });
    refused([&] { hit_graph_reference(event.hits, Windows()); });
    refused([&] { true_segments(event); });
  }
  // A framework's own columns: views are checked too.
  const std::vector<float> three(3), two(2);
  const std::vector<std::int32_t> ids(3);
  const HitsView view{three, three, two, ids, ids, ids};
  const std::string message = "hits: column z has 2 entries, expected 3 as in column x";
  EXPECT_EQ(message_of(ErrorKind::usage, [&] { build_hit_graph(view, Windows()); }), message);
  EXPECT_EQ(message_of(ErrorKind::usage, [&] { node_features(view, {}); }), message);
}

TEST(Hits, CoordinatesMustBeFinite) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const auto column : {&Hits::x, &Hits::y, &Hits::z}) {
      Hits hits;
      for (int i = 0; i < 40; ++i) add_hit(hits, 1.f, 2.f, 3.f);
      (hits.*column)[37] = bad;
      const std::string name = column == &Hits::x ? "x" : column == &Hits::y ? "y" : "z";
      const std::string message =
          "hits: " + name + " of hit 37 is " + std::to_string(bad) + ", expected a finite number";
      EXPECT_EQ(message_of(ErrorKind::input, [&] { build_hit_graph(hits, Windows()); }), message);
      EXPECT_EQ(message_of(ErrorKind::input, [&] { hit_graph_reference(hits, Windows()); }), message);
      EXPECT_EQ(message_of(ErrorKind::input, [&] { node_features(hits, {}); }), message);
    }
  }
}

TEST(FeatureScales, MustBeAboveZero) {
  const Hits hits;
  for (const float bad : {0.f, -1.f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const auto scale : {&FeatureScales::r, &FeatureScales::phi, &FeatureScales::z, &FeatureScales::eta}) {
      FeatureScales scales;
      scales.*scale = bad;
      const auto starts = [&](const std::string& message, const char* caller) {
        EXPECT_TRUE(message.starts_with(std::string(caller) + ": scales.")) << message;
        EXPECT_TRUE(message.ends_with(" = " + std::to_string(bad) + ", expected a finite number above 0")) << message;
      };
      starts(message_of(ErrorKind::usage, [&] { build_hit_graph(hits, Windows(), scales); }), "build_hit_graph");
      starts(message_of(ErrorKind::usage, [&] { node_features(hits, scales); }), "node_features");
      starts(message_of(ErrorKind::usage, [&] { edge_features({}, EdgeList{}, scales); }), "edge_features");
    }
  }
}

TEST(Windows, AMovedFromObjectHasNone) {
  Windows windows = learned();
  const Windows taken = std::move(windows);
  EXPECT_GT(taken.layer_pairs(), 0);
  EXPECT_EQ(windows.layer_pairs(), 0);  // NOLINT: that is what is tested
  EXPECT_EQ(windows.layer_triples(), 0);
  EXPECT_EQ(windows.min_pt(), 0.);
  EXPECT_EQ(build_hit_graph(simulated(0, 1).hits, windows).edges.size(), 0);
  const Windows copy = windows;  // NOLINT
  EXPECT_EQ(copy.layer_pairs(), 0);
  windows = taken;
  EXPECT_EQ(windows.layer_pairs(), taken.layer_pairs());
}

// --- Segments

Event line_event() {
  Event event;
  for (int k = 0; k < 4; ++k) add_hit(event.hits, 40.f * static_cast<float>(4 - k), 0.f, 0.f, 1, 4 - k);
  event.truth = Truth{{7, 7, 7, 7}, {}};
  return event;
}

TEST(Particles, ColumnsAreEmptyOrOfOneLength) {
  Event event = line_event();
  event.particles.emplace();
  event.particles->particle_id = {3, 7};
  event.particles->vy = {0.f, 0.f};
  EXPECT_EQ(message_of(ErrorKind::usage, [&] { true_segments(event); }), "");
  event.particles->vx = {1.f};
  const std::string message = "particles: column vx has 1 entries, expected 2 as in column particle_id";
  EXPECT_EQ(message_of(ErrorKind::usage, [&] { true_segments(event); }), message);
  event.particles->px = event.particles->py = {1.f, 1.f};
  WindowSettings settings;
  settings.events = settings.background_events = 1;
  EXPECT_EQ(message_of(ErrorKind::usage, [&] { learn_windows([&](std::uint64_t) { return event; }, settings); }),
            message);
}

TEST(TrueSegments, FollowTheDistanceFromTheOriginWithoutParticles) {
  const auto segments = true_segments(line_event());
  EXPECT_EQ(segments.src, (std::vector<std::int32_t>{3, 2, 1}));
  EXPECT_EQ(segments.dst, (std::vector<std::int32_t>{2, 1, 0}));
  EXPECT_EQ(segments.particle_id, (std::vector<std::int64_t>{7, 7, 7}));
}

TEST(TrueSegments, FollowTheDistanceFromTheVertex) {
  Event event = line_event();
  event.particles.emplace();
  event.particles->particle_id = {3, 7};
  event.particles->vx = {0.f, 200.f};
  event.particles->vy = event.particles->vz = {0.f, 0.f};
  EXPECT_EQ(true_segments(event).src, (std::vector<std::int32_t>{0, 1, 2}));
}

TEST(TrueSegments, TakeOneHitALayerAndLeaveNoiseAndUnknownOut) {
  Event event = line_event();
  add_hit(event.hits, 41.f, 0.f, 0.f, 1, 1);  // a second hit on the first layer
  add_hit(event.hits, 60.f, 0.f, 0.f, 1, 9);
  add_hit(event.hits, 61.f, 0.f, 0.f, 1, 10);
  add_hit(event.hits, 62.f, 0.f, 0.f, 1, 11);
  add_hit(event.hits, 63.f, 0.f, 0.f, 1, 12);
  for (const std::int64_t id : {std::int64_t{7}, kNoise, kNoise, kUnknown, kUnknown}) {
    event.truth->particle_id.push_back(id);
  }
  EXPECT_EQ(true_segments(event).src, (std::vector<std::int32_t>{3, 2, 1}));
  event.truth.reset();
  EXPECT_TRUE(true_segments(event).src.empty());
}

TEST(TrueSegments, RefuseTruthOfAnotherLength) {
  Event event = line_event();
  event.truth->particle_id.pop_back();
  EXPECT_THROW(true_segments(event), Error);
}

/// Segments of particles above 1 GeV with hits on three layers or more.
std::int64_t target_segments(const Event& event) {
  std::set<std::int64_t> wanted;
  for (std::int32_t p = 0; p < event.particles->size(); ++p) {
    if (std::hypot(event.particles->px[p], event.particles->py[p]) > 1.) wanted.insert(event.particles->particle_id[p]);
  }
  const auto segments = true_segments(event);
  std::map<std::int64_t, std::int64_t> count;
  for (const auto id : segments.particle_id) count[id] += wanted.count(id) ? 1 : 0;
  std::int64_t total = 0;
  for (const auto& [id, n] : count) total += n >= 2 ? n : 0;
  return total;
}

TEST(TrueSegments, OfRealEvents) {
  STARLING_NEEDS_DATA("trackml_ev1000_barrel");
  STARLING_NEEDS_DATA("trackml_gnntracking_ev1");
  EXPECT_EQ(target_segments(read_event(data_folder() / "trackml_ev1000_barrel" / "event000001000")), 5028);
  EXPECT_EQ(target_segments(read_event(data_folder() / "trackml_gnntracking_ev1" / "event000000001")), 426);
}

// --- Geometry

/// A helix of signed curvature k that starts at (x, y, z) in direction phi, after an arc of length s.
Point on_helix(double k, double x, double y, double z, double phi, double cot, double s) {
  const double px = x + (std::sin(phi + k * s) - std::sin(phi)) / k;
  const double py = y - (std::cos(phi + k * s) - std::cos(phi)) / k;
  return {static_cast<float>(px), static_cast<float>(py), static_cast<float>(z + cot * s),
          static_cast<float>(std::hypot(px, py))};
}

TEST(Geometry, ADoubletFindsItsHelix) {
  for (const double k : {6e-4, -6e-4, 1e-5, 2e-3}) {
    for (const double cot : {0., 1.5, -6.}) {
      DoubletFit fit;
      const Point a = on_helix(k, 0, 0, 12., 2.9, cot, 70.), b = on_helix(k, 0, 0, 12., 2.9, cot, 180.);
      ASSERT_TRUE(fit_doublet(a, b, fit));
      EXPECT_NEAR(fit.k, k, 1e-6 + 1e-3 * std::fabs(k));
      EXPECT_NEAR(fit.cot, cot, 1e-3);
      EXPECT_NEAR(fit.z0, 12., 0.1);
      EXPECT_FALSE(fit_doublet(b, a, fit));  // inwards
    }
  }
}

TEST(Geometry, ADoubletStaysInItsHalf) {
  DoubletFit fit;
  EXPECT_FALSE(fit_doublet({30, 0, 0, 30}, {-60, 1, 0, 60}, fit));
}

TEST(Geometry, ATripletFindsItsHelix) {
  for (const double k : {6e-4, -6e-4, 1e-5}) {
    const double phi = 0.7, d0 = 3.;  // starts beside the beam line, at right angles to it
    const auto at = [&](double s) { return on_helix(k, -d0 * std::sin(phi), d0 * std::cos(phi), 5., phi, 0.8, s); };
    const Point a = at(100.), b = at(180.), c = at(300.);
    const TripletFit fit = fit_triplet(a, make_step(a, b), make_step(b, c));
    EXPECT_NEAR(fit.k, k, 1e-6);
    EXPECT_NEAR(std::fabs(fit.d0), d0, 0.01);
    EXPECT_NEAR(fit.bend, 0., 1e-5);
    const Point off{c.x, c.y, c.z + 1.f, c.r};
    EXPECT_NEAR(fit_triplet(a, make_step(a, b), make_step(b, off)).bend,
                std::sin(std::atan2(96. + 1., 120.) - std::atan2(0.8, 1.)), 1e-4);
  }
}

// --- Graphs beside the reference

TEST(HitGraph, EqualsTheReferenceOnRandomHits) {
  std::mt19937 random(5);
  std::int64_t edges = 0;
  for (int trial = 0; trial < 12; ++trial) {
    const Windows windows = random_windows(6, random, trial % 2 == 1);
    Hits hits;
    add_random_hits(hits, 60 * trial, 6, random);
    const HitGraph graph = build_hit_graph(hits, windows);
    expect_same_edges(graph, hit_graph_reference(hits, windows));
    EXPECT_EQ(graph.hits_outside, 0);
    edges += graph.edges.size();
  }
  EXPECT_GT(edges, 300);
}

TEST(HitGraph, EqualsTheReferenceOnSimulatedEvents) {
  for (const double pileup : {0., 2., 5.}) {
    const Event event = simulated(pileup, 10000);
    const HitGraph graph = build_hit_graph(event.hits, learned());
    expect_same_edges(graph, hit_graph_reference(event.hits, learned()));
    EXPECT_GT(graph.edges.size(), 10);
  }
}

TEST(HitGraph, EqualsTheReferenceOnTheTable) {
  for (const Case& test : table()) {
    SCOPED_TRACE(test.name);
    const HitGraph graph = build_hit_graph(test.hits, test.windows);
    expect_same_edges(graph, hit_graph_reference(test.hits, test.windows));
    EXPECT_EQ(graph.hits_outside, test.hits_outside);
    EXPECT_EQ(graph.edges.num_nodes, test.hits.size());
    EXPECT_EQ(graph.node_features.size(), test.hits.x.size() * kNodeFeatures);
    EXPECT_EQ(graph.edges.size() > 0, test.has_edges);
    for (std::size_t e = 0; e < graph.edges.src.size(); ++e) {
      EXPECT_GE(graph.layer[graph.edges.src[e]], 0);
      EXPECT_GE(graph.layer[graph.edges.dst[e]], 0);
    }
  }
}

TEST(HitGraph, EdgesAreSortedAndDistinct) {
  const HitGraph graph = build_hit_graph(simulated(30, 10001).hits, learned());
  for (std::size_t e = 1; e < graph.edges.src.size(); ++e) {
    EXPECT_LT(std::pair(graph.edges.src[e - 1], graph.edges.dst[e - 1]),
              std::pair(graph.edges.src[e], graph.edges.dst[e]));
  }
  EXPECT_EQ(graph.edge_features.size(), graph.edges.src.size() * kEdgeFeatures);
}

TEST(HitGraph, IsTheSameOnAnyNumberOfThreads) {
  const Event event = simulated(60, 10002);
  const tbb::global_control allow(tbb::global_control::max_allowed_parallelism, 4);
  HitGraph one, four;
  tbb::task_arena(1).execute([&] { one = build_hit_graph(event.hits, learned()); });
  tbb::task_arena(4).execute([&] { four = build_hit_graph(event.hits, learned()); });
  expect_same_edges(one, four);
  EXPECT_EQ(one.node_features, four.node_features);
  EXPECT_EQ(one.edge_features, four.edge_features);
  EXPECT_EQ(one.layer, four.layer);
  EXPECT_EQ(one.order, four.order);
  EXPECT_GT(one.edges.size(), 1000);
}

TEST(HitGraph, IsTheSameInMemoryThatIsUsedAgain) {
  HitGraph graph;
  for (const double pileup : {30., 5., 0.}) {
    const Event event = simulated(pileup, 10003);
    build_hit_graph(event.hits, learned(), {}, graph);
    const HitGraph fresh = build_hit_graph(event.hits, learned());
    expect_same_edges(graph, fresh);
    EXPECT_EQ(graph.node_features, fresh.node_features);
    EXPECT_EQ(graph.edge_features, fresh.edge_features);
    EXPECT_EQ(graph.layer, fresh.layer);
    EXPECT_EQ(graph.order, fresh.order);
    EXPECT_EQ(graph.hits_outside, fresh.hits_outside);
  }
}

/// The barrel layers of TrackML's detector: volume, layer, radius.
constexpr std::tuple<int, int, float> kBarrel[] = {{8, 2, 32},   {8, 4, 72},   {8, 6, 116},  {8, 8, 172},
                                                   {13, 2, 260}, {13, 4, 360}, {13, 6, 500}, {13, 8, 660},
                                                   {17, 2, 820}, {17, 4, 1020}};

TEST(HitGraph, AHundredTracksInTheCoreOfOneJet) {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> uniform(-1., 1.);
  Hits hits;
  for (int track = 0; track < 100; ++track) {
    const double phi = 1. + 0.01 * uniform(random), cot = 0.3 + 0.01 * uniform(random), k = 2e-4 * uniform(random);
    for (const auto& [volume, layer, radius] : kBarrel) {
      const double angle = phi + std::asin(0.5 * k * radius);
      add_hit(hits, static_cast<float>(radius * std::cos(angle)), static_cast<float>(radius * std::sin(angle)),
              static_cast<float>(cot * radius), volume, layer, track);
    }
  }
  const HitGraph graph = build_hit_graph(hits, learned());
  std::set<std::pair<std::int32_t, std::int32_t>> edges;
  for (std::size_t e = 0; e < graph.edges.src.size(); ++e) edges.emplace(graph.edges.src[e], graph.edges.dst[e]);
  int kept = 0;
  for (std::int32_t hit = 0; hit + 1 < hits.size(); ++hit) {
    kept += hits.layer_id[hit + 1] + 100 * hits.volume_id[hit + 1] > hits.layer_id[hit] + 100 * hits.volume_id[hit] &&
            edges.count({hit, hit + 1}) > 0;
  }
  EXPECT_GT(kept, 890) << "of 900";
  EXPECT_GT(graph.triplets.edges.size(), 100000u);
}

TEST(HitGraph, RefusesThousandsOfHitsAtOneAngle) {
  for (const auto& [count, what] : {std::pair(1000, "more than 268435456 candidate triplets among 4000 hits"),
                                    std::pair(210, "more than 33554432 triplets among 840 hits")}) {
    Hits hits;
    for (int l = 0; l < 4; ++l) {
      const auto& [volume, layer, radius] = kBarrel[l];
      for (int i = 0; i < count; ++i) add_hit(hits, radius, 0.f, 0.f, volume, layer, i);
    }
    const std::string message = message_of(ErrorKind::input, [&] { build_hit_graph(hits, learned()); });
    EXPECT_NE(message.find(what), std::string::npos) << message;
  }
}

TEST(HitGraph, WithoutWindowsEveryHitIsOutside) {
  const Event event = simulated(0, 1);
  const HitGraph graph = build_hit_graph(event.hits, Windows());
  EXPECT_EQ(graph.hits_outside, event.hits.size());
  EXPECT_EQ(graph.edges.size(), 0);
}

TEST(HitGraph, EveryEdgeIsAnOverlapOrOnATriplet) {
  const Event event = simulated(10, 1000);
  const HitGraph graph = build_hit_graph(event.hits, learned());
  const EdgeList& edges = graph.edges;
  const auto count = static_cast<std::size_t>(edges.size());
  ASSERT_EQ(graph.triplets.row_splits.size(), count + 1);
  std::vector<std::uint8_t> on_triplet(count, 0);
  std::int64_t sharing = 0, overlaps = 0;
  const Csr out = group_edges(edges.src, edges.num_nodes);
  for (std::size_t e = 0; e < count; ++e) {
    sharing += out.row_splits[edges.dst[e] + 1] - out.row_splits[edges.dst[e]];
    for (auto i = graph.triplets.row_splits[e]; i < graph.triplets.row_splits[e + 1]; ++i) {
      const std::int32_t next = graph.triplets.edges[i];
      EXPECT_EQ(edges.src[next], edges.dst[e]);
      on_triplet[e] = on_triplet[next] = 1;
    }
  }
  for (std::size_t e = 0; e < count; ++e) {
    const bool overlap = graph.layer[edges.src[e]] == graph.layer[edges.dst[e]];
    overlaps += overlap;
    EXPECT_NE(overlap, on_triplet[e] != 0);
  }
  EXPECT_GT(overlaps, 50);
  EXPECT_GT(graph.triplets.edges.size(), 1000u);
  EXPECT_LT(graph.triplets.edges.size() + 10, sharing) << "edges that share a hit need not be a triplet";
}

// --- Learning

TEST(LearnWindows, KeepTheSegmentsOfEventsTheyHaveNotSeen) {
  std::int64_t kept = 0, all = 0, edges = 0, hits = 0;
  for (std::uint64_t i = 20000; i < 20020; ++i) {
    const Event event = simulated(10, i);
    std::set<std::int64_t> wanted;
    for (std::int32_t p = 0; p < event.particles->size(); ++p) {
      if (std::hypot(event.particles->px[p], event.particles->py[p]) > 1.) {
        wanted.insert(event.particles->particle_id[p]);
      }
    }
    const auto segments = true_segments(event);
    const HitGraph graph = build_hit_graph(event.hits, learned());
    std::set<std::pair<std::int32_t, std::int32_t>> found;
    for (std::size_t e = 0; e < graph.edges.src.size(); ++e) found.emplace(graph.edges.src[e], graph.edges.dst[e]);
    std::map<std::int64_t, int> length;
    for (const auto id : segments.particle_id) ++length[id];
    for (std::size_t s = 0; s < segments.src.size(); ++s) {
      if (!wanted.count(segments.particle_id[s]) || length[segments.particle_id[s]] < 2) continue;
      ++all;
      kept += found.count({segments.src[s], segments.dst[s]}) ? 1 : 0;
    }
    edges += graph.edges.size();
    hits += event.hits.size();
  }
  EXPECT_GT(all, 5000);
  EXPECT_GT(static_cast<double>(kept), 0.975 * static_cast<double>(all));
  EXPECT_LT(edges, hits);
}

TEST(LearnWindows, OverlapsJoinModulesOfOneLayer) {
  const Event event = simulated(10, 10003);
  const auto graph = build_hit_graph(event.hits, learned());
  std::int64_t overlaps = 0, same = 0;
  for (std::size_t e = 0; e < graph.edges.src.size(); ++e) {
    const auto a = graph.edges.src[e], b = graph.edges.dst[e];
    if (event.hits.volume_id[a] != event.hits.volume_id[b] || event.hits.layer_id[a] != event.hits.layer_id[b])
      continue;
    EXPECT_NE(event.hits.module_id[a], event.hits.module_id[b]);
    ++overlaps;
    same += event.truth->particle_id[a] == event.truth->particle_id[b] ? 1 : 0;
  }
  EXPECT_GT(overlaps, 50);
  EXPECT_GT(2 * same, overlaps);
}

TEST(LearnWindows, ReportRisingProgressFromOneThreadAtATime) {
  WindowSettings settings = quick_settings();
  settings.events = 24;
  const tbb::global_control allow(tbb::global_control::max_allowed_parallelism, 4);
  std::vector<double> seen;  // not guarded: the thread sanitizer finds calls that overlap
  std::atomic<int> inside{0};
  tbb::task_arena(4).execute([&] {
    learn_windows([](std::uint64_t i) { return simulated(3, i); }, settings,
                  [&](double done) {
                    EXPECT_EQ(++inside, 1);
                    seen.push_back(done);
                    --inside;
                  });
  });
  // Each event, each background event for doublets, triplets and overlaps, and the end.
  ASSERT_EQ(seen.size(), 24u + 3 * 4 + 1);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 1.);
}

TEST(LearnWindows, AreTheSameOnAnyNumberOfThreads) {
  WindowSettings settings = quick_settings();
  settings.events = 24;
  const tbb::global_control allow(tbb::global_control::max_allowed_parallelism, 4);
  const auto learn = [&](int threads) {
    TensorFile file;
    tbb::task_arena(threads).execute(
        [&] { learn_windows([](std::uint64_t i) { return simulated(3, i); }, settings).to_file(file); });
    std::map<std::string, std::vector<std::byte>> bytes;
    for (const auto& [name, tensor] : file.tensors) bytes[name] = tensor.bytes;
    return bytes;
  };
  EXPECT_EQ(learn(1), learn(4));
}

TEST(LearnWindows, RefusesWhatItCannotLearnFrom) {
  WindowSettings settings = quick_settings();
  settings.events = settings.background_events = 1;
  const auto kind_of = [&](const std::function<Event(std::uint64_t)>& event) {
    try {
      learn_windows(event, settings);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::internal;
  };
  EXPECT_EQ(kind_of([](std::uint64_t) { return Event{}; }), ErrorKind::usage);
  EXPECT_EQ(kind_of([](std::uint64_t) {
              Event event = line_event();
              event.particles.emplace();
              event.particles->particle_id = {7};
              event.particles->px = event.particles->py = {0.1f};
              return event;
            }),
            ErrorKind::usage);
  settings.events = 0;
  EXPECT_EQ(kind_of([](std::uint64_t i) { return simulated(0, i); }), ErrorKind::usage);
}

TEST(LearnWindows, NamesAnEventThatIsTooDense) {
  WindowSettings settings = quick_settings();
  settings.background_events = 2;
  const auto learn = [&](int hits_per_layer, int layers) {
    const auto make_event = [&](std::uint64_t i) {
      Event event = simulated(10, i);
      if (i != 1) return event;
      event.name = "dense";
      const float radius[] = {32, 72, 116};
      for (int layer = 0; layer < layers; ++layer) {
        for (int hit = 0; hit < hits_per_layer; ++hit) {
          event.hits.hit_id.push_back(1'000'000 + event.hits.size());
          event.hits.x.push_back(radius[layer]);
          event.hits.y.push_back(0);
          event.hits.z.push_back(0);
          event.hits.volume_id.push_back(8);
          event.hits.layer_id.push_back(2 + 2 * layer);
          event.hits.module_id.push_back(1);
          event.truth->particle_id.push_back(kNoise);
        }
      }
      event.truth->weight.clear();
      return event;
    };
    return message_of(ErrorKind::input, [&] { learn_windows(make_event, settings); });
  };
  EXPECT_THAT(learn(6000, 2), testing::StartsWith("dense: hit graph: more than 33554432 doublets"));
  EXPECT_THAT(learn(800, 3), testing::StartsWith("dense: hit graph: more than 268435456 candidate triplets"));
}

TEST(WindowSettings, AreReadFromTheirSection) {
  Config config = Config::parse("[graph]\nmin_pt = 0.5\noverlaps = true\nlambda_triplets = 2e-3\n");
  const WindowSettings settings = read_window_settings(config);
  config.finish();
  EXPECT_EQ(settings.min_pt, 0.5);
  EXPECT_TRUE(settings.overlaps);
  EXPECT_EQ(settings.lambda_triplets, 2e-3);
  EXPECT_EQ(settings.events, WindowSettings{}.events);
  Config bad = Config::parse("[graph]\nmin_hits = 2\n");
  EXPECT_THROW(read_window_settings(bad), Error);
}

// --- Files

TEST(WindowsFile, ARoundTripChangesNothing) {
  TensorFile file, again;
  learned().to_file(file);
  const Windows windows = Windows::from_file(file);
  windows.to_file(again);
  EXPECT_EQ(file.metadata, again.metadata);
  ASSERT_EQ(file.tensors.size(), again.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    EXPECT_EQ(tensor.bytes, again.at(name).bytes) << name;
    EXPECT_EQ(tensor.shape, again.at(name).shape) << name;
  }
  const Event event = simulated(5, 10004);
  expect_same_edges(build_hit_graph(event.hits, windows), build_hit_graph(event.hits, learned()));
  EXPECT_EQ(windows.min_pt(), 1.);
}

TEST(WindowsFile, NoWindowsAtAll) {
  TensorFile file;
  Windows().to_file(file);
  EXPECT_EQ(Windows::from_file(file).layer_pairs(), 0);
}

ErrorKind kind_of(const TensorFile& file) {
  try {
    (void)Windows::from_file(file);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.kind();
  }
  return ErrorKind::internal;
}

TEST(WindowsFile, RefusesWhatIsMissingOrOfAnotherShape) {
  TensorFile good;
  learned().to_file(good);
  for (const auto& [name, tensor] : good.tensors) {
    TensorFile file = good;
    file.tensors.erase(name);
    EXPECT_EQ(kind_of(file), ErrorKind::input) << name;
    file = good;
    file.tensors[name].shape.push_back(1);
    EXPECT_EQ(kind_of(file), ErrorKind::input) << name;
    file = good;
    file.tensors[name].shape = {};
    EXPECT_EQ(kind_of(file), ErrorKind::input) << name;
    file = good;
    file.tensors[name].type = tensor.type == Tensor::Type::f32 ? Tensor::Type::i32 : Tensor::Type::f32;
    EXPECT_EQ(kind_of(file), ErrorKind::input) << name;
    file = good;  // a row too few
    auto& cut = file.tensors[name];
    const std::size_t row = tensor.bytes.size() / static_cast<std::size_t>(tensor.shape[0]);
    cut.bytes.resize(cut.bytes.size() - row);
    --cut.shape[0];
    EXPECT_EQ(kind_of(file), ErrorKind::input) << name;
    file = good;  // bytes that do not fill the shape
    file.tensors[name].bytes.resize(row / 2);
    EXPECT_EQ(kind_of(file), ErrorKind::input) << name;
  }
}

TEST(WindowsFile, RefusesIndicesAndWidthsOutOfRange) {
  TensorFile good;
  learned().to_file(good);
  const auto with = [&](const std::string& name, std::size_t index, auto value) {
    TensorFile file = good;
    std::memcpy(file.tensors.at(name).bytes.data() + index * sizeof(value), &value, sizeof(value));
    return kind_of(file);
  };
  for (const std::int32_t bad : {-1, 1000000, std::numeric_limits<std::int32_t>::min()}) {
    for (const char* const name : {"windows.pairs", "windows.triples"}) {
      for (const std::size_t index : {0, 1, 7}) EXPECT_EQ(with(name, index, bad), ErrorKind::input) << name << bad;
    }
    for (const char* const name : {"windows.pair_cells", "windows.triple_cells"}) {
      for (const std::size_t index : {0, 1, 5}) EXPECT_EQ(with(name, index, bad), ErrorKind::input) << name << bad;
    }
  }
  for (const float bad : {-1.f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    for (const char* const name : {"windows.pair_windows", "windows.triple_windows", "windows.overlaps"}) {
      for (const std::size_t index : {0, 1, 2}) EXPECT_EQ(with(name, index, bad), ErrorKind::input) << name << bad;
    }
  }
  EXPECT_EQ(with("windows.layers", 2, std::int32_t{-5}), ErrorKind::input);  // out of order
}

TEST(WindowsFile, RefusesItsMetadata) {
  TensorFile good;
  learned().to_file(good);
  for (const char* const text : {"", "{", "[]", "{}", "{\"version\":2,\"min_pt\":1}", "{\"version\":1}",
                                 "{\"version\":1,\"min_pt\":\"1\"}", "{\"version\":1,\"min_pt\":1,\"max_pt\":2}",
                                 "{\"version\":1,\"min_pt\":1,\"min_pt\":1}", "{\"version\":1,\"min_pt\":-1}"}) {
    TensorFile file = good;
    file.metadata["windows"] = text;
    EXPECT_EQ(kind_of(file), ErrorKind::input) << text;
  }
  TensorFile file = good;
  file.metadata.clear();
  EXPECT_EQ(kind_of(file), ErrorKind::input);
}

}  // namespace
}  // namespace starling
