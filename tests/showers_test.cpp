#include "starling/showers.h"

#include <gmock/gmock.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "showers/cells.h"
#include "showers/electromagnetic.h"
#include "starling/error.h"

namespace starling {
namespace {

using ::testing::HasSubstr;

const ShowerDetector& hgcal() {
  static const ShowerDetector detector =
      read_shower_detector(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "hgcal.toml");
  return detector;
}

enum class Kind { photon, charged, neutral, muon };

/// One particle of this energy at eta 2, and nothing else.
ShowerSettings only(Kind kind, double energy) {
  ShowerSettings settings;
  settings.showers = 1;
  settings.grouped = 0;
  settings.min_eta = settings.max_eta = 2;
  settings.min_energy = settings.max_energy = energy;
  settings.photons = kind == Kind::photon;
  settings.electrons = 0;
  settings.charged_hadrons = kind == Kind::charged;
  settings.neutral_hadrons = kind == Kind::neutral;
  settings.muons = kind == Kind::muon;
  settings.vertex_sigma_z = 0;
  settings.noise = 0;
  settings.min_hits = 1;
  settings.min_visible = 0;
  return settings;
}

struct Means {
  double response = 0, resolution = 0, hits = 0, radius = 0;  ///< radius: mm around the axis, holds 90 % of the energy
};

Means measure(const ShowerSettings& settings, int count) {
  Means means;
  double squares = 0;
  for (int number = 0; number < count; ++number) {
    const CalorimeterEvent event = simulate_showers(hgcal(), settings, static_cast<std::uint64_t>(number));
    const Showers& showers = *event.showers;
    double sum = 0;
    std::vector<std::pair<double, double>> around;
    for (std::size_t i = 0; i < event.hits.x.size(); ++i) {
      const double radius = event.hits.z[i] / std::sinh(showers.eta[0]);
      around.emplace_back(std::hypot(event.hits.x[i] - radius * std::cos(showers.phi[0]),
                                     event.hits.y[i] - radius * std::sin(showers.phi[0])),
                          event.hits.energy[i]);
      sum += event.hits.energy[i];
    }
    std::sort(around.begin(), around.end());
    double inside = 0;
    for (const auto& [radius, energy] : around) {
      if ((inside += energy) < 0.9 * sum) continue;
      means.radius += radius / count;
      break;
    }
    const double response = sum / settings.min_energy;
    means.response += response / count;
    squares += response * response / count;
    means.hits += event.hits.size() / static_cast<double>(count);
  }
  means.resolution = std::sqrt(squares - means.response * means.response) / means.response;
  return means;
}

void expect_same(const CalorimeterEvent& a, const CalorimeterEvent& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.hits.hit_id, b.hits.hit_id);
  EXPECT_EQ(a.hits.x, b.hits.x);
  EXPECT_EQ(a.hits.y, b.hits.y);
  EXPECT_EQ(a.hits.z, b.hits.z);
  EXPECT_EQ(a.hits.energy, b.hits.energy);
  EXPECT_EQ(a.hits.time, b.hits.time);
  EXPECT_EQ(a.hits.layer, b.hits.layer);
  EXPECT_EQ(a.truth->row_splits, b.truth->row_splits);
  EXPECT_EQ(a.truth->shower, b.truth->shower);
  EXPECT_EQ(a.truth->fraction, b.truth->fraction);
  EXPECT_EQ(a.showers->energy, b.showers->energy);
  EXPECT_EQ(a.showers->eta, b.showers->eta);
  EXPECT_EQ(a.showers->pdg, b.showers->pdg);
}

// The figures of the prototype that the reference of this simulation holds, and their spread.
TEST(Showers, PhotonsLookAsMeasured) {
  const double hits[] = {94, 290, 870, 2059};
  int i = 0;
  for (const double energy : {2., 10., 50., 200.}) {
    const Means means = measure(only(Kind::photon, energy), 200);
    EXPECT_NEAR(means.response, 1, 0.04) << energy;
    EXPECT_NEAR(means.resolution * std::sqrt(energy), 0.225, 0.04) << energy;
    EXPECT_NEAR(means.radius, 34.5, 4) << energy;
    EXPECT_NEAR(means.hits / hits[i++], 1, 0.12) << energy;
  }
}

TEST(Showers, MuonsLeaveAHitPerLayer) {
  const Means means = measure(only(Kind::muon, 20), 50);
  EXPECT_NEAR(means.hits, 52, 1);
}

TEST(Showers, TheSameBytesOnAnyNumberOfThreads) {
  ShowerSettings settings;
  settings.pileup = {0, 10};
  settings.endcaps = 2;
  constexpr int count = 8;
  std::vector<CalorimeterEvent> alone, together(count);
  for (int i = 0; i < count; ++i) alone.push_back(simulate_showers(hgcal(), settings, static_cast<std::uint64_t>(i)));
  tbb::parallel_for(0, count, [&](int i) {
    together[static_cast<std::size_t>(i)] = simulate_showers(hgcal(), settings, static_cast<std::uint64_t>(i));
  });
  for (std::size_t i = 0; i < count; ++i) expect_same(alone[i], together[i]);
  EXPECT_NE(alone[0].hits.energy, alone[1].hits.energy);
  settings.seed = 2;
  EXPECT_NE(alone[0].hits.energy, simulate_showers(hgcal(), settings, 0).hits.energy);
}

TEST(Showers, TruthFitsTheHits) {
  ShowerSettings settings;
  settings.pileup = 20;
  const CalorimeterEvent event = simulate_showers(hgcal(), settings, 3);
  event.truth->check(event.hits.size(), event.showers->size());
  CalorimeterHitsView(event.hits).check();
  event.showers->check();
  const std::vector<double> visible = visible_energy(*event.truth, event.hits.energy, event.showers->size());
  const std::vector<std::int32_t> dominant = dominant_shower(*event.truth);
  std::vector<int> hits(visible.size());
  for (const std::int32_t shower : dominant) {
    if (shower >= 0) ++hits[static_cast<std::size_t>(shower)];
  }
  for (std::size_t i = 0; i < visible.size(); ++i) {
    EXPECT_GE(visible[i], event.showers->hard[i] == 1 ? settings.min_visible : settings.min_pileup_visible);
    EXPECT_GE(hits[i], settings.min_hits);
  }
}

}  // namespace
}  // namespace starling
