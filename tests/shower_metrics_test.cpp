#include "starling/shower_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <string>

#include "expect_error.h"
#include "starling/error.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsNan;
using Entries = std::vector<std::pair<std::int32_t, float>>;

CalorimeterEvent no_hits(int showers) {
  CalorimeterEvent event;
  event.name = "event1";
  event.truth.emplace();
  event.showers.emplace();
  for (int s = 0; s < showers; ++s) event.showers->shower_id.push_back(s);
  return event;
}

void add_hit(CalorimeterEvent& event, float x, float y, float z, float energy, const Entries& entries) {
  CalorimeterHits& h = event.hits;
  h.hit_id.push_back(h.size() + 1);
  h.x.push_back(x), h.y.push_back(y), h.z.push_back(z), h.energy.push_back(energy);
  for (const auto& [shower, fraction] : entries) {
    event.truth->shower.push_back(shower);
    event.truth->fraction.push_back(fraction);
  }
  event.truth->row_splits.push_back(static_cast<std::int32_t>(event.truth->shower.size()));
}

ShowerMetrics judged(const CalorimeterEvent& event, const std::vector<std::int32_t>& of_hit,
                     const std::vector<float>& energy = {}) {
  ShowerMetrics metrics;
  metrics.add(event, {of_hit, energy});
  return metrics;
}

// Shower 0 has 10 GeV in hits 0 and 1, shower 1 8 GeV in hit 2 and the half of hit 3, shower 2 4 GeV in hit 4; half of
// hit 3 and all of hit 5 are noise.
CalorimeterEvent three_showers() {
  CalorimeterEvent event = no_hits(3);
  add_hit(event, 0, 500, 3000, 6, {{0, 1.F}});
  add_hit(event, 0, 510, 3000, 4, {{0, 1.F}});
  add_hit(event, 1000, 0, 3000, 6, {{1, 1.F}});
  add_hit(event, 1010, 0, 3000, 4, {{1, 0.5F}});
  add_hit(event, 0, -900, -3000, 4, {{2, 1.F}});
  add_hit(event, 0, 900, -3000, 7, {});
  event.showers->energy = {20, 16, 5};
  event.showers->pdg = {22, -211, 13};
  event.showers->hard = {1, 0, 1};
  return event;
}

TEST(ShowerMetrics, ByHand) {
  const ShowerMetrics m = judged(three_showers(), {0, 0, 1, 1, 2, -1}, {19, 17, 5});
  EXPECT_EQ(m.events, 1);
  EXPECT_EQ(m.hits, 6);
  EXPECT_EQ(m.all_showers, 3);
  EXPECT_EQ(m.all_clusters, 3);
  ASSERT_EQ(m.showers.size(), 2U) << "the third has 4 GeV";
  EXPECT_EQ(m.showers[0].iou, 1);
  EXPECT_EQ(m.showers[0].visible, 10);
  EXPECT_EQ(m.showers[0].reconstructed, 19);
  EXPECT_EQ(m.showers[0].kind, ShowerKind::electromagnetic);
  EXPECT_TRUE(m.showers[0].hard);
  EXPECT_EQ(m.showers[1].iou, 0.8) << "8 of its own, 10 in the cluster";
  EXPECT_EQ(m.showers[1].visible, 8);
  EXPECT_EQ(m.showers[1].cluster_energy, 10);
  EXPECT_EQ(m.showers[1].own_share, 0.8);
  EXPECT_FALSE(m.showers[1].hard);
  EXPECT_NEAR(m.showers[0].eta, std::asinh(3000 / 504.), 1e-6);
  EXPECT_EQ(m.efficiency(), (Ratio{2, 2}));
  EXPECT_EQ(m.efficiency({.hard = true}), (Ratio{1, 1}));
  EXPECT_EQ(m.efficiency({.kind = ShowerKind::charged_hadron}), (Ratio{1, 1}));
  EXPECT_EQ(m.efficiency({.kind = ShowerKind::muon}), (Ratio{0, 0}));
  EXPECT_EQ(m.fakes(), (Ratio{0, 2}));
  EXPECT_EQ(m.f().value, 1);
  EXPECT_EQ(m.response(ShowerRatio::cluster_to_visible).mean.value, (1 + 1.25) / 2);
  EXPECT_EQ(m.response(ShowerRatio::cluster_to_generated).median.value, (0.5 + 0.625) / 2);
  EXPECT_EQ(m.response(ShowerRatio::reconstructed_to_generated).mean.value, (19 / 20. + 17 / 16.) / 2);
  EXPECT_EQ(m.response(ShowerRatio::visible_to_generated).mean.value, 0.5);
}

TEST(ShowerMetrics, AnIouOfOneHalfDoesNotFind) {
  CalorimeterEvent event = no_hits(1);
  add_hit(event, 0, 500, 3000, 8, {{0, 1.F}});
  add_hit(event, 0, 500, 3000, 8, {});
  ShowerMetrics m = judged(event, {0, 0});
  EXPECT_EQ(m.showers[0].iou, 0.5);
  EXPECT_EQ(m.efficiency(), (Ratio{0, 1}));
  EXPECT_EQ(m.fakes(), (Ratio{1, 1}));
  EXPECT_EQ(m.f().value, 0);
  event.hits.energy[1] = std::nextafter(8.F, 0.F);
  EXPECT_EQ(judged(event, {0, 0}).efficiency(), (Ratio{1, 1}));
}

TEST(ShowerMetrics, WhatIsBelowTheLeastEnergy) {
  CalorimeterEvent event = no_hits(2);
  add_hit(event, 0, 500, 3000, 4.5F, {{0, 1.F}});
  add_hit(event, 0, 500, 3000, 1.F, {});
  add_hit(event, 0, 900, 3000, 5.F, {{1, 1.F}});
  // The first cluster is above 5 GeV and finds a shower below: no fake. 5 GeV are not above 5 GeV.
  ShowerMetrics m = judged(event, {0, 0, 1});
  EXPECT_THAT(m.showers, IsEmpty());
  EXPECT_EQ(m.fakes(), (Ratio{0, 1}));
  EXPECT_TRUE(std::isnan(m.efficiency().value()) && std::isnan(m.f().value));
  // A shower above 5 GeV may be found by a cluster below.
  event.hits.energy[2] = 6;
  event.hits.energy[1] = 1.5F;
  add_hit(event, 0, 900, 3000, 2.F, {{1, 1.F}});
  m = judged(event, {-1, -1, 0, 0});
  EXPECT_EQ(m.efficiency(), (Ratio{1, 1}));
  m = judged(event, {-1, -1, -1, 0});
  EXPECT_EQ(m.efficiency(), (Ratio{0, 1}));
  EXPECT_EQ(m.fakes(), (Ratio{0, 0}));
  ShowerMetrics all;
  all.min_energy = 0;
  all.add(event, {{0, 1, 2, 2}, {}});
  EXPECT_EQ(all.efficiency(), (Ratio{2, 2}));
  EXPECT_EQ(all.fakes(), (Ratio{1, 3}));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { all += m; }), HasSubstr("above 5"));
}

TEST(ShowerMetrics, EmptyEvents) {
  const ShowerMetrics none = judged(no_hits(0), {});
  EXPECT_EQ(none.events, 1);
  EXPECT_TRUE(std::isnan(none.f().value));
  const ShowerMetrics showers = judged(no_hits(3), {});
  EXPECT_EQ(showers.all_showers, 3);
  EXPECT_THAT(showers.showers, IsEmpty()) << "none is visible";
  CalorimeterEvent noise = no_hits(0);
  add_hit(noise, 1, 2, 3, 9, {});
  EXPECT_EQ(judged(noise, {0}).fakes(), (Ratio{1, 1}));
  EXPECT_EQ(judged(noise, {-1}).fakes(), (Ratio{0, 0}));
  CalorimeterEvent unknown;
  unknown.name = "dir/event1";
  EXPECT_THAT(error_of(ErrorKind::input, [&] { judged(unknown, {}); }), HasSubstr("dir/event1: has no truth"));
}

TEST(ShowerMetrics, TheNeighbourhood) {
  CalorimeterEvent event = no_hits(1);
  add_hit(event, 0, 0, 3000, 8, {{0, 1.F}});
  add_hit(event, 100, 0, 4000, 1, {});      // at 100 mm from the axis: near
  add_hit(event, 0, -100.5F, 3000, 2, {});  // not
  add_hit(event, 0, 0, -3000, 4, {});       // behind the origin
  add_hit(event, 0, 60, 100, 7, {});        // near, far in front
  const ShowerMetrics m = judged(event, {0, 0, 0, 0, 0});
  EXPECT_EQ(m.showers[0].own_share, 0.5);
  // Of the own energy too, only what is near counts.
  CalorimeterEvent wide = no_hits(1);
  add_hit(wide, 0, 200, 3000, 8, {{0, 1.F}});
  add_hit(wide, 0, -200, 3000, 8, {{0, 1.F}});
  add_hit(wide, 0, 0, 3000, 1, {});
  EXPECT_EQ(judged(wide, {0, 0, 0}).showers[0].own_share, 0);
  wide.hits.energy[2] = 0;
  EXPECT_EQ(judged(wide, {0, 0, 0}).showers[0].own_share, 1) << "nothing is near";
}

TEST(ShowerMetrics, SelectionsAndBins) {
  ShowerMetrics m;
  const auto put = [&](double visible, double eta, double share, double iou) {
    JudgedShower shower;
    shower.visible = visible, shower.eta = eta, shower.own_share = share, shower.iou = iou;
    m.showers.push_back(shower);
  };
  put(5, -1.6, 0, 1);
  put(10, 1.75, 0.3, 0);
  put(19.9, 1.9, 0.9, 1);
  put(5000, 5, 1, 1);
  EXPECT_THAT(std::vector(shower_bins(ShowerAxis::own_share).begin(), shower_bins(ShowerAxis::own_share).end()),
              ElementsAre(0, 0.3, 0.6, 0.9, 1));
  for (const ShowerAxis axis : kShowerAxes) {
    Ratio sum;
    for (std::size_t bin = 0; bin + 1 < shower_bins(axis).size(); ++bin) {
      sum += m.efficiency({.axis = axis, .bin = static_cast<int>(bin)});
    }
    EXPECT_EQ(sum, (axis == ShowerAxis::own_share ? Ratio{3, 4} : Ratio{2, 3})) << "beyond the last bin is in none";
  }
  EXPECT_EQ(m.efficiency({.axis = ShowerAxis::own_share, .bin = 3}), (Ratio{2, 2})) << "1 is in the last bin";
  EXPECT_EQ(m.efficiency({.axis = ShowerAxis::own_share, .bin = 0}), (Ratio{1, 1})) << "0.3 is in the next one";
  EXPECT_EQ(m.efficiency({.axis = ShowerAxis::energy, .bin = 6}), (Ratio{1, 2})) << "10 to 20 GeV";
  EXPECT_EQ(m.efficiency({.axis = ShowerAxis::abs_eta, .bin = 7}), (Ratio{1, 2})) << "1.75 to 2";
  m.clusters = {{5.5, -1, true}, {7, 1.1, false}};
  EXPECT_EQ(m.fakes(ShowerAxis::energy, 5), (Ratio{1, 2}));
  EXPECT_EQ(m.fakes(ShowerAxis::abs_eta, 4), (Ratio{1, 2}));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { m.fakes(ShowerAxis::own_share, 0); }), HasSubstr("neighbourhood"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { m.efficiency({.axis = ShowerAxis::energy, .bin = 12}); }),
              HasSubstr("bin 12: expected one of 12 bins"));
}

TEST(ShowerMetrics, BadArguments) {
  const CalorimeterEvent event = three_showers();
  const auto refused = [&](const std::vector<std::int32_t>& of_hit, const std::vector<float>& energy) {
    return error_of(ErrorKind::usage, [&] { judged(event, of_hit, energy); });
  };
  EXPECT_THAT(refused({0, 0, 0}, {}), HasSubstr("of_hit has 3 entries, expected one for each of 6 hits"));
  EXPECT_THAT(refused({0, 0, 0, 0, 0, 6}, {}), HasSubstr("of_hit[5] = 6: expected -1 or one of 6 numbers"));
  EXPECT_THAT(refused({0, 0, 0, 0, 0, -2}, {}), HasSubstr("of_hit[5] = -2"));
  EXPECT_THAT(refused({0, 0, 0, 0, 0, 1}, {1.F}), HasSubstr("of_hit[5] = 1: expected -1 or one of 1 clusters"));
  CalorimeterEvent bad = event;
  bad.hits.energy[0] = -1;
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { judged(bad, {0, 0, 0, 0, 0, 0}); }), HasSubstr("energy[0] = -1"));
}

// Random events with shared hits, noise and several clusters, against a form of the definition that is plain and slow.
struct Random {
  CalorimeterEvent event;
  std::vector<std::int32_t> of_hit;
};

Random random_event(unsigned seed, int hits, int showers, int clusters) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(0, 1);
  Random made{no_hits(showers), {}};
  for (int i = 0; i < hits; ++i) {
    Entries entries;
    const int s = static_cast<int>(random() % static_cast<unsigned>(showers + 1));
    if (s < showers) {
      const float fraction = uniform(random) < 0.7F ? 1.F : uniform(random);
      entries.emplace_back(s, fraction);
      if (showers > 1) entries.emplace_back((s + 1) % showers, (1 - fraction) * uniform(random));
    }
    add_hit(made.event, 1000 * uniform(random), 1000 * uniform(random), 3000 + 1000 * uniform(random),
            10 * uniform(random), entries);
    // Mostly the cluster of the shower's number.
    const int c = uniform(random) < 0.85F ? s : static_cast<int>(random() % static_cast<unsigned>(clusters));
    made.of_hit.push_back(c < std::min(clusters, hits) ? c : -1);
  }
  return made;
}

TEST(ShowerMetrics, TheDefinitionWordByWord) {
  int found = 0, fakes = 0;
  for (unsigned seed = 0; seed < 50; ++seed) {
    const int hits = seed < 10 ? static_cast<int>(seed) : 200, showers = 1 + static_cast<int>(seed % 7), clusters = 5;
    const auto& [event, of_hit] = random_event(seed, hits, showers, clusters);
    ShowerMetrics m = judged(event, of_hit);
    std::size_t row = 0;
    std::vector<bool> finds(clusters, false);
    std::vector<double> cluster_energy(clusters, 0);
    for (int h = 0; h < hits; ++h) {
      if (of_hit[h] >= 0) cluster_energy[of_hit[h]] += event.hits.energy[h];
    }
    for (int s = 0; s < showers; ++s) {
      double visible = 0, best = 0;
      std::vector<double> shared(clusters, 0);
      for (int h = 0; h < hits; ++h) {
        for (int i = event.truth->row_splits[h]; i < event.truth->row_splits[h + 1]; ++i) {
          if (event.truth->shower[i] != s) continue;
          const double energy = double{event.truth->fraction[i]} * double{event.hits.energy[h]};
          visible += energy;
          if (of_hit[h] >= 0) shared[of_hit[h]] += energy;
        }
      }
      for (int c = 0; c < clusters; ++c) {
        if (shared[c] == 0) continue;
        const double iou = shared[c] / (cluster_energy[c] + visible - shared[c]);
        best = std::max(best, iou);
        if (iou > 0.5) finds[c] = true;
      }
      if (visible <= 5) continue;
      ASSERT_LT(row, m.showers.size());
      EXPECT_DOUBLE_EQ(m.showers[row].visible, visible);
      EXPECT_DOUBLE_EQ(m.showers[row].iou, best);
      found += m.showers[row++].found();
    }
    EXPECT_EQ(row, m.showers.size());
    Ratio fake;
    for (int c = 0; c < clusters; ++c) {
      if (cluster_energy[c] > 5) fake += Ratio{!finds[c], 1};
    }
    EXPECT_EQ(m.fakes(), fake) << seed;
    fakes += static_cast<int>(fake.passed);
    EXPECT_EQ(m.fakes().total - m.fakes().passed >= m.efficiency().passed, true) << "pairs are unique";
  }
  EXPECT_GT(found, 20);
  EXPECT_GT(fakes, 20);
}

TEST(ShowerMetrics, OrderOfHitsAndNumbersOfClustersDoNotMatter) {
  const auto& [event, of_hit] = random_event(7, 300, 6, 6);
  const ShowerMetrics plain = judged(event, of_hit);
  Random turned{no_hits(6), {}};
  for (int h = 299; h >= 0; --h) {
    Entries entries;
    for (int i = event.truth->row_splits[h]; i < event.truth->row_splits[h + 1]; ++i) {
      entries.emplace_back(event.truth->shower[i], event.truth->fraction[i]);
    }
    add_hit(turned.event, event.hits.x[h], event.hits.y[h], event.hits.z[h], event.hits.energy[h], entries);
    turned.of_hit.push_back(of_hit[h] < 0 ? -1 : 10 - of_hit[h]);
  }
  const ShowerMetrics other = judged(turned.event, turned.of_hit);
  EXPECT_EQ(other.efficiency(), plain.efficiency());
  EXPECT_EQ(other.fakes(), plain.fakes());
  ASSERT_EQ(other.showers.size(), plain.showers.size());
  for (std::size_t i = 0; i < plain.showers.size(); ++i) {
    EXPECT_DOUBLE_EQ(other.showers[i].own_share, plain.showers[i].own_share);
    EXPECT_DOUBLE_EQ(other.showers[i].iou, plain.showers[i].iou);
  }
}

TEST(ShowerMetrics, EventsAddUp) {
  ShowerMetrics at_once, sum;
  for (unsigned seed = 0; seed < 5; ++seed) {
    const auto& [event, of_hit] = random_event(seed, 200, 6, 6);
    at_once.add(event, {of_hit, {}});
    sum += judged(event, of_hit);
  }
  EXPECT_EQ(sum.events, 5);
  EXPECT_EQ(sum.efficiency(), at_once.efficiency());
  EXPECT_EQ(sum.fakes(), at_once.fakes());
  const Spread a = sum.response(ShowerRatio::cluster_to_visible), b = at_once.response(ShowerRatio::cluster_to_visible);
  EXPECT_EQ(a.mean.value, b.mean.value);
  EXPECT_EQ(a.resolution.error, b.resolution.error);
  const ShowerMetrics::F f = sum.f();
  EXPECT_LT(f.low, f.value);
  EXPECT_LT(f.value, f.high);
  const double e = sum.efficiency().value(), p = 1 - sum.fakes().value();
  EXPECT_DOUBLE_EQ(f.value, 2 / (1 / e + 1 / p));
}

// By derivatives, F of the first case was 0 [0, 1.68].
TEST(ShowerMetrics, IntervalOfFStaysBetween0And1) {
  for (int showers = 1; showers <= 4; ++showers) {
    for (int found = 0; found <= showers; ++found) {
      for (int fakes = 0; fakes <= 3; ++fakes) {
        ShowerMetrics m;
        m.showers.resize(static_cast<std::size_t>(showers));
        for (int s = 0; s < found; ++s) m.showers[static_cast<std::size_t>(s)].iou = 1;
        m.clusters.resize(3);
        for (int c = 0; c < fakes; ++c) m.clusters[static_cast<std::size_t>(c)].fake = true;
        const ShowerMetrics::F f = m.f();
        EXPECT_LE(0, f.low);
        EXPECT_LE(f.low, f.value);
        EXPECT_LE(f.value, f.high);
        EXPECT_LE(f.high, 1);
        const double e = m.efficiency().high(), p = 1 - m.fakes().value();
        if (found == 0 && fakes < 3) {
          EXPECT_DOUBLE_EQ(f.high, 2 * e * p / (e + p)) << "only the efficiency can move F";
        }
      }
    }
  }
}

TEST(Spread, OfFewValues) {
  EXPECT_THAT(spread_of({}).median.value, IsNan());
  const Spread one = spread_of(std::vector<double>{0.5});
  EXPECT_EQ(one.count, 1);
  EXPECT_EQ(one.mean.value, 0.5);
  EXPECT_THAT(one.resolution.value, IsNan()) << "one value has no width";
  EXPECT_THAT(one.mean.error, IsNan());
  // 7 of 10 values are the least that hold 68.27 %: the shortest interval is 1 to 1.6.
  const Spread ten = spread_of(std::vector<double>{1.6, 1, 1.1, 9, 1.2, 0.1, 1.3, 5, 1.4, 1.5});
  EXPECT_EQ(ten.median.value, (1.3 + 1.4) / 2);
  EXPECT_NEAR(ten.resolution.value, 0.3 / 1.35, 1e-12);
  EXPECT_THAT(error_of(ErrorKind::usage,
                       [] {
                         spread_of(std::vector<double>{1, std::nan("")});
                       }),
              HasSubstr("value 1 is NaN"));
}

TEST(Spread, OfANormalDistribution) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(2, 0.2);
  std::vector<double> values(20000);
  for (double& value : values) value = normal(random);
  const Spread spread = spread_of(values);
  // The standard errors of mean and median are known; that of the width is about σ / sqrt(n).
  EXPECT_NEAR(spread.mean.value, 2, 4 * 0.2 / std::sqrt(20000.));
  EXPECT_NEAR(spread.mean.error / (0.2 / std::sqrt(20000.)), 1, 0.6);
  EXPECT_NEAR(spread.median.error / (1.2533 * 0.2 / std::sqrt(20000.)), 1, 0.7);
  EXPECT_NEAR(spread.resolution.value, 0.1, 5 * spread.resolution.error);
  EXPECT_LT(spread.resolution.error, 0.005);
  EXPECT_GT(spread.resolution.error, 0.0002);
}

class ClustersFile : public testing::Test {
 protected:
  Clusters read(const std::string& clusters, const std::string& particles = "") {
    std::ofstream(folder_.path() / "event1-clusters.csv", std::ios::binary) << clusters;
    if (!particles.empty()) std::ofstream(folder_.path() / "event1-particles.csv", std::ios::binary) << particles;
    CalorimeterHits hits;
    hits.hit_id = {5, 7, 9};
    return read_clusters(folder_.path() / "event1", hits);
  }
  std::string error(const std::string& clusters, const std::string& particles = "") {
    const std::string message = error_of(ErrorKind::input, [&] { read(clusters, particles); });
    const std::string start = (folder_.path() / "event1-").string();
    EXPECT_EQ(message.substr(0, start.size()), start);
    return message.substr(std::min(message.size(), start.size()));
  }
  TemporaryFolder folder_;
};

TEST_F(ClustersFile, OfAnyProgram) {
  Clusters clusters = read("hit_id,cluster_id,beta\n9,70,0.5\n5,7,0.25\n7,70,0.9\n");
  EXPECT_THAT(clusters.of_hit, ElementsAre(0, 1, 1));
  EXPECT_THAT(clusters.energy, IsEmpty());
  clusters = read("cluster_id,hit_id\n12.0,9\nnan,5\n");
  EXPECT_THAT(clusters.of_hit, ElementsAre(-1, -1, 0));
  clusters = read("cluster_id,hit_id\n-1,9\n,5\n");
  EXPECT_THAT(clusters.of_hit, ElementsAre(-1, -1, -1));
  clusters = read("hit_id,cluster_id\n5,3\n7,1\n", "cluster_id,energy,class\n3,1.5,muon\n1,-2,\n");
  EXPECT_THAT(clusters.of_hit, ElementsAre(1, 0, -1));
  EXPECT_THAT(clusters.energy, ElementsAre(-2.F, 1.5F));
}

TEST_F(ClustersFile, BadOnesAreNamed) {
  EXPECT_EQ(error("hit_id,cluster_id\n5,1\n6,1\n"), "clusters.csv:3: hit_id = 6: expected one of the hits file");
  EXPECT_EQ(error("hit_id,cluster_id\n5,1\n5,-1\n"), "clusters.csv:3: hit_id = 5: expected once, appears again");
  EXPECT_THAT(error("hit_id,cluster_id\n5,-2\n"), HasSubstr("clusters.csv:2: cluster_id = -2: expected an integer"));
  EXPECT_THAT(error("hit_id,track_id\n5,2\n"), HasSubstr("clusters.csv:1: no column cluster_id"));
  const std::string good = "hit_id,cluster_id\n5,1\n7,2\n";
  EXPECT_EQ(error(good, "cluster_id,energy\n1,1\n3,1\n"),
            "particles.csv:3: cluster_id = 3: expected one of the clusters file");
  EXPECT_EQ(error(good, "cluster_id,energy\n1,1\n1,1\n"),
            "particles.csv:3: cluster_id = 1: expected once, appears again");
  EXPECT_EQ(error(good, "cluster_id,energy\n1,1\n"), "particles.csv: has 1 rows, expected one for each of 2 clusters");
  EXPECT_THAT(error(good, "cluster_id,energy\n1,nan\n"), HasSubstr("particles.csv:2: energy = nan"));
}

}  // namespace
