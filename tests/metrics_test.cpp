#include "starling/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>

#include "starling/error.h"

namespace starling {
namespace {

// Hits of the given particles on a line outwards, one per row.
Event event_of(std::vector<std::int64_t> particle_of_hit) {
  Event event;
  event.name = "made";
  for (std::size_t i = 0; i < particle_of_hit.size(); ++i) {
    event.hits.hit_id.push_back(static_cast<std::int64_t>(100 + i));
    event.hits.x.push_back(static_cast<float>(10 * (i + 1)));
    event.hits.y.push_back(0);
    event.hits.z.push_back(0);
    event.hits.volume_id.push_back(1);
    event.hits.layer_id.push_back(static_cast<std::int32_t>(i));
    event.hits.module_id.push_back(1);
  }
  event.truth = Truth{std::move(particle_of_hit), {}};
  return event;
}

void add_particle(Event& event, std::int64_t id, float pt, float radius = 0, float pz = 0) {
  if (!event.particles) event.particles.emplace();
  Particles& p = *event.particles;
  p.particle_id.push_back(id);
  p.vx.push_back(radius), p.vy.push_back(0), p.vz.push_back(0);
  p.px.push_back(0), p.py.push_back(pt), p.pz.push_back(pz);
}

Tracks tracks_of(const std::vector<std::vector<std::int32_t>>& lists) {
  Tracks tracks;
  for (const auto& list : lists) {
    tracks.hits.insert(tracks.hits.end(), list.begin(), list.end());
    tracks.row_splits.push_back(static_cast<std::int32_t>(tracks.hits.size()));
  }
  return tracks;
}

// Whether each particle is matched.
std::vector<std::uint8_t> matched(const TruthTable& truth, const Tracks& tracks,
                                  Matching matching = Matching::double_majority, int min_track_hits = 3) {
  std::vector<std::uint8_t> result;
  for (const std::int32_t track : match_tracks(truth, tracks, matching, min_track_hits).best_track) {
    result.push_back(track >= 0);
  }
  return result;
}

TrackCounts count(const Event& event, const TruthTable& truth, const Tracks& tracks,
                  Matching matching = Matching::double_majority, int min_track_hits = 3) {
  return count_tracks(event, truth, tracks, match_tracks(truth, tracks, matching, min_track_hits));
}

template <class Action>
void expect_usage(Action action) {
  try {
    action();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
  }
}

TargetCuts no_cuts(int min_hits = 3) {
  TargetCuts cuts;
  cuts.all = true;
  cuts.min_hits = min_hits;
  return cuts;
}

// Expected bounds from an arbitrary-precision inversion of the incomplete beta function.
TEST(Ratio, HasClopperPearsonIntervals) {
  struct Case {
    std::int64_t passed, total;
    double low, high;
  };
  const Case cases[] = {{0, 10, 0, 0.1681491861379764},
                        {1, 2, 0.0827515352596424, 0.9172484647403576},
                        {5, 10, 0.3048178830085313, 0.6951821169914687},
                        {30, 100, 0.2516299601065926, 0.3527776484003536},
                        {770, 781, 0.9803164124081349, 0.9900823346909169},
                        {4980, 5028, 0.9888759236307284, 0.9918217539384452}};
  for (const Case& c : cases) {
    const Ratio ratio{c.passed, c.total};
    EXPECT_NEAR(ratio.low(), c.low, 1e-11) << c.passed << "/" << c.total;
    EXPECT_NEAR(ratio.high(), c.high, 1e-11) << c.passed << "/" << c.total;
  }
}

TEST(Ratio, OfNothingIsNotANumber) {
  const Ratio nothing;
  EXPECT_TRUE(std::isnan(nothing.value()));
  EXPECT_EQ(nothing.low(), 0);
  EXPECT_EQ(nothing.high(), 1);
}

TEST(Ratio, BoundsCoverEveryCountAndGrow) {
  for (int total = 1; total <= 60; ++total) {
    double last_low = -1, last_high = -1;
    for (int passed = 0; passed <= total; ++passed) {
      const Ratio ratio{passed, total};
      EXPECT_LE(ratio.low(), ratio.value());
      EXPECT_GE(ratio.high(), ratio.value());
      EXPECT_GT(ratio.low() + ratio.high(), last_low + last_high);
      last_low = ratio.low();
      last_high = ratio.high();
      const Ratio mirror{total - passed, total};
      EXPECT_NEAR(ratio.low(), 1 - mirror.high(), 1e-12);
    }
  }
}

// The hand-made case of docs/definitions.md, Metrics: two batches, pooled. Batch A: target particle 1 (hits 0-3), other
// particle 2 (hits 4-6). Batch B: target particle 3, noise.
TEST(EdgeCounts, PoolTheOracleCase) {
  Event a = event_of({1, 1, 1, 1, 2, 2, 2});
  add_particle(a, 1, 2.0F);
  add_particle(a, 2, 0.5F);
  const EdgeList edges_a{7, {0, 1, 2, 3, 4, 5}, {1, 2, 3, 4, 5, 6}};
  const std::vector<float> scores_a = {0.9F, 0.5F, 0.1F, 0.2F, 0.8F, 0.7F};
  const EdgeCounts counts_a = count_edges(edge_truth(edges_a, truth_table(a, {})), scores_a, 0.5F);
  EXPECT_EQ(counts_a.efficiency(), (Ratio{2, 3}));

  Event b = event_of({3, 3, 3, 0, 0});
  add_particle(b, 3, 5.0F);
  const EdgeList edges_b{5, {0, 1, 2, 3}, {1, 2, 3, 4}};
  const std::vector<float> scores_b = {1.0F, 0.6F, 0.51F, 0.49F};
  EdgeCounts pooled = counts_a;
  pooled += count_edges(edge_truth(edges_b, truth_table(b, {})), scores_b, 0.5F);

  EXPECT_EQ(pooled.efficiency(), (Ratio{4, 5}));
  EXPECT_EQ(pooled.target_purity(), (Ratio{4, 7}));
  EXPECT_EQ(pooled.total_purity(), (Ratio{6, 7}));
  EXPECT_EQ(pooled.masked_purity(), (Ratio{4, 5}));
}

TEST(EdgeCounts, LeaveOutUnknownEndsAndNaN) {
  const Event event = event_of({1, 1, 1, kUnknown, kNoise, kNoise});
  const EdgeList edges{6, {0, 1, 2, 3, 4}, {1, 2, 3, 4, 5}};
  const EdgeTruth truth = edge_truth(edges, truth_table(event, {}));
  EXPECT_EQ(truth.unknown, (std::vector<std::uint8_t>{0, 0, 1, 1, 0}));
  EXPECT_EQ(truth.same_particle, (std::vector<std::uint8_t>{1, 1, 0, 0, 0})) << "two noise hits are no particle";
  const std::vector<float> scores = {1, std::nanf(""), 1, 1, 1};
  const EdgeCounts counts = count_edges(truth, scores, 0.5F);
  EXPECT_EQ(counts.efficiency(), (Ratio{1, 2}));
  EXPECT_EQ(counts.total_purity(), (Ratio{1, 2}));
}

TEST(EdgeCounts, RejectWrongSizes) {
  const Event event = event_of({1, 1, 1});
  const EdgeTruth truth = edge_truth(EdgeList{3, {0}, {1}}, truth_table(event, {}));
  EXPECT_THROW(count_edges(truth, std::vector<float>(2), 0.5F), Error);
  EXPECT_THROW(edge_truth(EdgeList{4, {0}, {1}}, truth_table(event, {})), Error);
}

// Edges of the given sorts: 't' target, 'f' false, 'o' a true one of another particle, 'u' of unknown origin.
EdgeTruth labels_of(const std::string& sorts) {
  EdgeTruth labels;
  for (const char sort : sorts) {
    labels.same_particle.push_back(sort == 't' || sort == 'o');
    labels.target.push_back(sort == 't');
    labels.unknown.push_back(sort == 'u');
  }
  return labels;
}

TEST(RocCounts, FollowTheCut) {
  RocCounts roc;
  EXPECT_TRUE(std::isnan(roc.area()));
  EXPECT_TRUE(roc.curve().empty());
  roc.add(labels_of("tftofu"), std::vector<float>{0.9F, 0.9F, 0.5F, 1.0F, 0.0F, 1.0F});
  roc += roc;
  const std::vector<RocCounts::Point> curve = roc.curve();
  ASSERT_EQ(curve.size(), 3U);
  EXPECT_EQ(curve[0].cut, 0.9F);
  EXPECT_EQ(curve[0].efficiency, (Ratio{2, 4}));
  EXPECT_EQ(curve[0].fake_rate, (Ratio{2, 4}));
  EXPECT_EQ(curve[1].cut, 0.5F);
  EXPECT_EQ(curve[1].efficiency, (Ratio{4, 4}));
  EXPECT_EQ(curve[1].fake_rate, (Ratio{2, 4}));
  EXPECT_EQ(curve[2].cut, 0.0F);
  EXPECT_EQ(curve[2].fake_rate, (Ratio{4, 4}));
  EXPECT_DOUBLE_EQ(roc.area(), 0.625) << "0.9 ties with 0.9, beats 0; 0.5 loses to 0.9, beats 0";
}

TEST(RocCounts, ScoresThatAreNotANumberPassNoCut) {
  RocCounts roc;
  roc.add(labels_of("ttff"), std::vector<float>{std::nanf(""), 1.0F, 0.0F, -0.0F});
  EXPECT_EQ(roc.curve().back().efficiency, (Ratio{1, 2}));
  EXPECT_EQ(roc.curve().size(), 2U);
  EXPECT_DOUBLE_EQ(roc.area(), 0.5);
}

TEST(RocCounts, ThePointsAndTheAreaAreThoseOfAllPairs) {
  // Scores as a network gives them, most of them near 0 and 1.
  std::mt19937 random(3);
  std::string sorts;
  std::vector<float> scores;
  for (int e = 0; e < 3000; ++e) {
    const bool target = random() % 2 == 0;
    const double logit = (target ? 4.0 : -4.0) + 12.0 * (static_cast<double>(random()) / 4294967296.0 - 0.5);
    sorts += target ? 't' : 'f';
    scores.push_back(static_cast<float>(1 / (1 + std::exp(-logit))));
  }
  const EdgeTruth labels = labels_of(sorts);
  RocCounts roc;
  roc.add(labels, scores);
  for (const RocCounts::Point& point : roc.curve()) {
    const EdgeCounts counts = count_edges(labels, scores, point.cut);
    EXPECT_EQ(point.efficiency, counts.efficiency()) << point.cut;
    EXPECT_EQ(point.fake_rate.passed, counts.predicted - counts.predicted_target) << point.cut;
  }
  double wins = 0, pairs = 0;
  for (std::size_t t = 0; t < scores.size(); ++t) {
    for (std::size_t f = 0; f < scores.size(); ++f) {
      if (!labels.target[t] || labels.target[f]) continue;
      pairs += 1;
      wins += scores[t] > scores[f] ? 1 : scores[t] == scores[f] ? 0.5 : 0;
    }
  }
  EXPECT_NEAR(roc.area(), wins / pairs, 1e-5);
  EXPECT_LT(roc.area(), 0.999) << "sorts overlap, so that the test says something";
}

TEST(TruthTable, AppliesEachCut) {
  // Particles 1..7, three hits each but particle 5 with two; 8 is not in the particles file.
  Event event = event_of({1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, kNoise, kUnknown});
  add_particle(event, 1, 1.0F);
  add_particle(event, 2, 0.99F);
  add_particle(event, 3, 2.0F, 261.0F);
  add_particle(event, 4, 1.0F, 0, 28.0F);  // eta 4.03
  add_particle(event, 5, 3.0F);
  add_particle(event, 6, 3.0F, 0.2F);
  add_particle(event, 7, 3.0F);
  add_particle(event, 99, 9.0F);  // without a hit
  event.particles->particle_type = {211, 211, 211, 211, 211, -11, 211, 211};
  event.particles->primary = {1, 1, 1, 1, 1, 1, 0, 1};
  const TruthTable table = truth_table(event, {});
  EXPECT_EQ(table.particle_id, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(table.hits, (std::vector<std::int32_t>{3, 3, 3, 3, 2, 3, 3, 3}));
  EXPECT_EQ(table.target, (std::vector<std::uint8_t>{1, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(table.of_hit[23], -1);
  EXPECT_EQ(table.of_hit[24], -2);
  EXPECT_FLOAT_EQ(table.pt[1], 0.99F);
  EXPECT_NEAR(table.eta[3], std::asinh(28.0), 1e-6);
  EXPECT_FLOAT_EQ(table.radius[5], 0.2F);
  EXPECT_TRUE(std::isnan(table.pt[7]));
  EXPECT_TRUE(table.skipped_cuts.empty());

  TargetCuts loose;
  loose.primary = loose.no_electrons = false;
  EXPECT_EQ(truth_table(event, loose).target, (std::vector<std::uint8_t>{1, 0, 0, 0, 0, 1, 1, 0}));
  EXPECT_EQ(truth_table(event, no_cuts()).target, std::vector<std::uint8_t>(8, 1));
}

TEST(TruthTable, SaysWhichCutsItSkips) {
  Event event = event_of({1, 1, 1, 2, 2});
  const TruthTable without_particles = truth_table(event, {});
  EXPECT_EQ(without_particles.target, (std::vector<std::uint8_t>{1, 0}));
  ASSERT_EQ(without_particles.skipped_cuts.size(), 1U);
  EXPECT_NE(without_particles.skipped_cuts[0].find("no particles"), std::string::npos);

  add_particle(event, 1, 2.0F);
  const TruthTable without_columns = truth_table(event, {});
  EXPECT_EQ(without_columns.target, (std::vector<std::uint8_t>{1, 0}));
  ASSERT_EQ(without_columns.skipped_cuts.size(), 2U);
  EXPECT_EQ(without_columns.skipped_cuts[0], "primary: no such column");
  EXPECT_EQ(without_columns.skipped_cuts[1], "no_electrons: no column particle_type");

  TargetCuts unasked;
  unasked.primary = unasked.no_electrons = false;
  EXPECT_TRUE(truth_table(event, unasked).skipped_cuts.empty());
}

TEST(TruthTable, NeedsTruth) {
  Event event = event_of({1});
  event.truth.reset();
  EXPECT_THROW(truth_table(event, {}), Error);
}

TEST(GraphCounts, CountSegmentsInEitherDirection) {
  Event event = event_of({1, 1, 1, 2, 2, 2, kNoise, kUnknown});
  add_particle(event, 1, 2.0F);
  add_particle(event, 2, 2.0F, 5.0F);
  // Segments: 0-1, 1-2, 3-4, 4-5. Edges: 0→1, 2→1 (turned), 3→5 (true, no segment), 5→6 false, 6→7 unknown.
  const EdgeList edges{8, {0, 2, 3, 5, 6}, {1, 1, 5, 6, 7}};
  const GraphCounts counts = count_graph(event, truth_table(event, {}), edges);
  EXPECT_EQ(counts.segments, (Ratio{2, 4}));
  EXPECT_EQ(counts.prompt_segments, (Ratio{2, 2}));
  EXPECT_EQ(counts.purity, (Ratio{3, 4}));
  EXPECT_EQ(counts.edges, 5);
}

// One event with one track of every sort, worked out by hand.
// Particle 1: hits 0-3, 2: 4-7, 3: 8-13, 4: 14-16, noise 17-19, unknown 20-21.
class TrackOracle : public testing::Test {
 protected:
  TrackOracle() : event(event_of({1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 0, 0, 0, -1, -1})) {
    add_particle(event, 1, 2.0F);
    add_particle(event, 2, 2.0F, 1.0F);
    add_particle(event, 3, 2.0F);
    add_particle(event, 4, 2.0F, 50.0F);
    tracks = tracks_of({{0, 1, 2, 3},     // all of particle 1
                        {4, 5, 6, 17},    // 3 of 4 of particle 2, and noise
                        {8, 9, 10},       // half of particle 3
                        {11, 12, 13},     // the other half
                        {14, 15, 7, 18},  // 2 of 3 of particle 4, but only half of the track
                        {16, 19, 20}});   // with an unknown hit: two known ones
    truth = truth_table(event, {});
  }
  TrackCounts count(Matching matching, int min_track_hits = 3) const {
    return starling::count(event, truth, tracks, matching, min_track_hits);
  }
  Event event;
  Tracks tracks;
  TruthTable truth;
};

TEST_F(TrackOracle, DoubleMajority) {
  const TrackCounts counts = count(Matching::double_majority);
  EXPECT_EQ(counts.efficiency, (Ratio{2, 4}));
  EXPECT_EQ(counts.efficiency_prompt, (Ratio{1, 2}));
  EXPECT_EQ(counts.efficiency_displaced, (Ratio{1, 2}));
  EXPECT_EQ(counts.fakes, (Ratio{1, 5})) << "only {14, 15, 7, 18}; the last track keeps two known hits";
  EXPECT_EQ(counts.fragments, (Ratio{2, 5})) << "the halves of particle 3";
  EXPECT_EQ(counts.duplicates, (Ratio{0, 5})) << "particle 3 is not matched at all";
  EXPECT_EQ(counts.complete, (Ratio{1, 2}));
  EXPECT_EQ(matched(truth, tracks), (std::vector<std::uint8_t>{1, 1, 0, 0}));
}

TEST_F(TrackOracle, Atlas) {
  const TrackCounts counts = count(Matching::atlas);
  EXPECT_EQ(counts.efficiency, (Ratio{4, 4})) << "half of a track's hits is enough";
  EXPECT_EQ(counts.duplicates, (Ratio{1, 5})) << "the second half of particle 3";
  EXPECT_EQ(counts.complete, (Ratio{1, 4}));
}

TEST_F(TrackOracle, OneAndTwoWay) {
  EXPECT_EQ(count(Matching::one_way).efficiency, (Ratio{4, 4}));
  EXPECT_EQ(count(Matching::two_way).efficiency, (Ratio{4, 4}));
  const Tracks wide = tracks_of({{0, 1, 2, 3, 17, 18, 19, 8, 9}, {4, 10, 11}});
  // One way: 1 wholly found, 3 neither by 2 of 6 nor by 2 of 6, 2 by 1 of 4. Two ways: 4 of 9 is less than half.
  EXPECT_EQ(matched(truth, wide, Matching::one_way), (std::vector<std::uint8_t>{1, 0, 0, 0}));
  EXPECT_EQ(matched(truth, wide, Matching::two_way), (std::vector<std::uint8_t>{0, 0, 0, 0}));
  EXPECT_EQ(matched(truth, wide, Matching::atlas), (std::vector<std::uint8_t>{0, 0, 1, 0}));
}

TEST_F(TrackOracle, ShorterTracksCountOnlyWhereAsked) {
  const TrackCounts counts = count(Matching::double_majority, 2);
  EXPECT_EQ(counts.fakes, (Ratio{2, 6})) << "{16, 19}: half is no majority";
  tracks = tracks_of({{14, 15}});
  EXPECT_EQ(matched(truth, tracks), (std::vector<std::uint8_t>{0, 0, 0, 0}));
  EXPECT_EQ(matched(truth, tracks, Matching::double_majority, 2), (std::vector<std::uint8_t>{0, 0, 0, 1}));
}

TEST_F(TrackOracle, HitsWithoutATrackAreNoTrack) {
  const Tracks none = tracks_from_labels(std::vector<std::int32_t>(22, -1));
  const TrackCounts counts = starling::count(event, truth, none);
  EXPECT_EQ(counts.efficiency, (Ratio{0, 4}));
  EXPECT_EQ(counts.fakes, (Ratio{0, 0}));
}

TEST_F(TrackOracle, UnknownHitsCountNeitherForNorAgainst) {
  tracks = tracks_of({{0, 1, 2, 20, 21}, {20, 21, 19}});
  const TrackCounts counts = count(Matching::double_majority);
  EXPECT_EQ(counts.efficiency, (Ratio{1, 4})) << "3 of 3 known hits, 3 of 4 of the particle";
  EXPECT_EQ(counts.fakes, (Ratio{0, 1})) << "the second track has one known hit";
}

TEST_F(TrackOracle, AFragmentOfAMatchedParticleIsADuplicate) {
  tracks = tracks_of({{8, 9, 10, 11}, {12, 13, 17}});
  const TrackCounts counts = count(Matching::double_majority);
  EXPECT_EQ(counts.fragments, (Ratio{1, 2}));
  EXPECT_EQ(counts.duplicates, (Ratio{1, 2}));
}

TEST_F(TrackOracle, TrackmlScore) {
  event.truth->weight.assign(22, 0.0F);
  for (int hit = 0; hit < 8; ++hit) event.truth->weight[hit] = 0.125F;
  const TrackCounts counts = count(Matching::double_majority);
  EXPECT_DOUBLE_EQ(counts.trackml_score(), 7.0 / 8);
  EXPECT_TRUE(counts.events_without_weights.empty());
}

// Events without hits, without weights, or with weights that sum to zero take nothing from the others.
TEST_F(TrackOracle, TheTrackmlScoreIsOfTheEventsThatHaveWeights) {
  const TrackCounts none = count(Matching::double_majority);
  EXPECT_TRUE(std::isnan(none.trackml_score()));
  EXPECT_EQ(none.events_without_weights, std::vector<std::string>{"made"});
  event.name = "zero";
  event.truth->weight.assign(22, 0.0F);
  TrackCounts sum = none;
  sum += count(Matching::double_majority);
  Event empty = event_of({});
  empty.name = "empty";
  sum += starling::count(empty, truth_table(empty, {}), Tracks());
  EXPECT_TRUE(std::isnan(sum.trackml_score()));
  EXPECT_EQ(sum.events_without_weights, (std::vector<std::string>{"made", "zero", "empty"}));

  // Pooled, not a mean of scores: (7 · 0.125 + 3) / (8 · 0.125 + 4).
  for (int hit = 0; hit < 8; ++hit) event.truth->weight[hit] = 0.125F;
  sum += count(Matching::double_majority);
  for (int hit = 0; hit < 8; ++hit) event.truth->weight[hit] = hit < 4 ? 0.0F : 1.0F;
  sum += count(Matching::double_majority);
  EXPECT_DOUBLE_EQ(sum.trackml_score(), 3.875 / 5);
  EXPECT_EQ(sum.events_without_weights.size(), 3U);
}

TEST_F(TrackOracle, TracksMayShareHits) {
  // Two tracks hold particle 1, by three hits each; two of them are on both.
  tracks = tracks_of({{0, 1, 2, 17}, {1, 2, 3}});
  event.truth->weight.assign(22, 0.0F);
  for (int hit = 0; hit < 4; ++hit) event.truth->weight[hit] = 0.25F;
  const TrackCounts counts = count(Matching::double_majority);
  EXPECT_EQ(counts.efficiency, (Ratio{1, 4}));
  EXPECT_EQ(counts.duplicates, (Ratio{1, 2}));
  EXPECT_EQ(counts.fakes, (Ratio{0, 2}));
  EXPECT_DOUBLE_EQ(counts.trackml_score(), 1.0) << "a hit's weight counts once";
}

TEST_F(TrackOracle, SizesAndIndicesAreChecked) {
  const TrackMatches matches = match_tracks(truth, tracks);
  for (const Tracks& bad : {Tracks{{0, 2}, {0, 22}}, Tracks{{0, 2}, {0, -1}}, Tracks{{0, 3}, {0, 1}},
                            Tracks{{1, 2}, {0, 1}}, Tracks{{0, 2, 1, 2}, {0, 1}}, Tracks{{0, 3}, {0, 0, 0}}}) {
    expect_usage([&] { match_tracks(truth, bad); });
    expect_usage([&] { count_tracks(event, truth, bad, matches); });
  }
  expect_usage([&] { count_tracks(event, truth, tracks_of({{0}}), matches); });
  TrackMatches other = matches;
  other.holder[0] = 4;
  expect_usage([&] { count_tracks(event, truth, tracks, other); });
  for (const std::int32_t best : {-2, tracks.size()}) {
    other = matches;
    other.best_track[0] = best;
    expect_usage([&] { count_tracks(event, truth, tracks, other); });
  }

  const EdgeList edges{22, {0, 1}, {1, 2}};
  const EdgeTruth labels = edge_truth(edges, truth);
  const auto expect_bad_table = [&](auto change) {
    TruthTable bad = truth;
    change(bad);
    expect_usage([&] { match_tracks(bad, tracks); });
    expect_usage([&] { count_tracks(event, bad, tracks, matches); });
    expect_usage([&] { edge_truth(edges, bad); });
    expect_usage([&] { count_graph(event, bad, edges); });
  };
  expect_bad_table([](TruthTable& bad) { bad.of_hit[3] = 4; });
  expect_bad_table([](TruthTable& bad) { bad.of_hit[3] = -3; });
  TruthTable fewer = truth;
  fewer.of_hit.pop_back();
  expect_usage([&] { count_tracks(event, fewer, tracks, matches); });
  expect_usage([&] { edge_truth(edges, fewer); });
  expect_usage([&] { match_tracks(fewer, tracks_of({{21}})); });
  expect_bad_table([](TruthTable& bad) { bad.hits.pop_back(); });
  expect_bad_table([](TruthTable& bad) { bad.target.pop_back(); });
  expect_bad_table([](TruthTable& bad) { bad.radius.pop_back(); });

  for (const EdgeList& bad :
       {EdgeList{22, {0}, {22}}, EdgeList{22, {-1}, {1}}, EdgeList{22, {0, 1}, {1}}, EdgeList{21, {0}, {1}}}) {
    expect_usage([&] { edge_truth(bad, truth); });
    expect_usage([&] { count_graph(event, truth, bad); });
  }
  expect_usage([&] { found_segments({{0, 1}, {22, 2}, {1, 1}}, edges); });
  expect_usage([&] { found_segments({{0, 1}, {2}, {1, 1}}, edges); });
  expect_usage([&] { found_segments({{0, 1}, {1, 2}, {1}}, edges); });
  expect_usage([&] { count_graph(truth, {{0, 1}, {1, 2}, {1}}, std::vector<std::uint8_t>(2), labels); });
  const Segments segments = true_segments(event);
  expect_usage([&] { count_graph(truth, segments, std::vector<std::uint8_t>(1), labels); });
  EdgeTruth short_labels = labels;
  short_labels.unknown.pop_back();
  expect_usage([&] { count_graph(truth, segments, found_segments(segments, edges), short_labels); });
  expect_usage([&] { count_edges(short_labels, std::vector<float>(2), 0.5F); });
  expect_usage([&] { RocCounts().add(labels, std::vector<float>(1)); });
  expect_usage([&] { RocCounts().add(edge_truth(EdgeList{22, {0}, {17}}, truth), std::vector<float>{1.5F}); });

  Event bad = event;
  bad.truth->particle_id.pop_back();
  expect_usage([&] { truth_table(bad, {}); });
  expect_usage([&] { count_tracks(bad, truth, tracks, matches); });
  bad = event;
  bad.truth->weight.assign(21, 1.0F);
  expect_usage([&] { count_tracks(bad, truth, tracks, matches); });
  bad = event;
  bad.truth.reset();
  expect_usage([&] { count_tracks(bad, truth, tracks, matches); });
  bad = event;
  bad.particles->primary = {1};
  expect_usage([&] { truth_table(bad, {}); });
  bad = event;
  bad.particles->py.pop_back();
  expect_usage([&] { truth_table(bad, {}); });
}

TEST(TrackCounts, ShortParticlesAreNotReconstructable) {
  const Event event = event_of({1, 1, 2, 2, 2});
  const Tracks tracks = tracks_of({{0, 1}, {2, 3, 4}});
  EXPECT_EQ(count(event, truth_table(event, no_cuts()), tracks).efficiency, (Ratio{1, 1}));
  EXPECT_EQ(count(event, truth_table(event, no_cuts(2)), tracks, Matching::double_majority, 2).efficiency,
            (Ratio{2, 2}));
}

TEST(Matching, HasNames) {
  for (const Matching matching : {Matching::double_majority, Matching::atlas, Matching::one_way, Matching::two_way}) {
    EXPECT_EQ(parse_matching(to_string(matching)), matching);
  }
  EXPECT_THROW(parse_matching("majority"), Error);
  const auto unknown = static_cast<Matching>(4);
  expect_usage([&] { (void)to_string(unknown); });
  expect_usage([&] { match_tracks({}, Tracks{}, unknown); });
}

}  // namespace
}  // namespace starling
