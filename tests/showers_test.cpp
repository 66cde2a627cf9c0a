#include "starling/showers.h"

#include <gmock/gmock.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <numbers>
#include <set>
#include <tuple>

#include "showers/cells.h"
#include "showers/electromagnetic.h"
#include "starling/detector.h"
#include "starling/error.h"
#include "temporary_folder.h"

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
    const Means means = measure(only(Kind::photon, energy), energy < 100 ? 200 : 60);
    EXPECT_NEAR(means.response, 1, 0.04) << energy;
    EXPECT_NEAR(means.resolution * std::sqrt(energy), 0.225, 0.045) << energy;
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

TEST(Showers, HadronsLookAsMeasured) {
  const struct {
    double energy, response, resolution, hits;
  } cases[] = {{2, 0.77, 0.30, 61}, {10, 0.77, 0.165, 184}, {50, 0.77, 0.105, 516}, {200, 0.77, 0.095, 1180}};
  for (const auto& expected : cases) {
    const Means means = measure(only(Kind::charged, expected.energy), expected.energy < 20 ? 250 : 100);
    EXPECT_NEAR(means.response, expected.response, 0.04) << expected.energy;
    EXPECT_NEAR(means.resolution / expected.resolution, 1, 0.25) << expected.energy;
    EXPECT_NEAR(means.hits / expected.hits, 1, 0.1) << expected.energy;
    EXPECT_GT(means.radius, 80) << expected.energy;
    EXPECT_LT(means.radius, 210) << expected.energy;
  }
  const Means neutral = measure(only(Kind::neutral, 50), 100);
  EXPECT_NEAR(neutral.response, 0.77, 0.05);
}

TEST(Showers, ANeutralHadronLeavesNothingBeforeItInteracts) {
  double charged = 0, neutral = 0;
  for (std::uint64_t number = 0; number < 100; ++number) {
    for (const Kind kind : {Kind::charged, Kind::neutral}) {
      const CalorimeterEvent event = simulate_showers(hgcal(), only(kind, 20), number);
      const bool touched = std::count(event.hits.layer.begin(), event.hits.layer.end(), 1) > 0;
      (kind == Kind::charged ? charged : neutral) += touched / 100.;
    }
  }
  EXPECT_GT(charged, 0.85);
  EXPECT_LT(neutral, 0.4) << "slow neutrons come back";
}

// ∫ of the density over the layers: what is deposited adds up to the energy wherever the shower ends inside.
TEST(Showers, GammaBelowIsTheIncompleteGammaFunction) {
  using showers::gamma_below;
  for (const double x : {0.01, 0.3, 1., 2.5, 10., 40.}) {
    EXPECT_NEAR(gamma_below(1, x), 1 - std::exp(-x), 1e-8) << x;
    EXPECT_NEAR(gamma_below(0.5, x), std::erf(std::sqrt(x)), 1e-8) << x;
    EXPECT_NEAR(gamma_below(4, x), 1 - std::exp(-x) * (1 + x + x * x / 2 + x * x * x / 6), 1e-8) << x;
    EXPECT_NEAR(gamma_below(6.3, x) - gamma_below(7.3, x), std::exp(6.3 * std::log(x) - x - std::lgamma(7.3)), 1e-8);
  }
  EXPECT_EQ(gamma_below(3, 0), 0);
  EXPECT_NEAR(gamma_below(3, 1000), 1, 1e-12);
}

TEST(Showers, ACellIsTheOneOfTheNearestCentre) {
  const showers::Cells cells(hgcal());
  random::Random random(1, 2, 3);
  for (int i = 0; i < 20'000; ++i) {
    const auto layer = static_cast<std::int32_t>(random.uniform(0, static_cast<double>(hgcal().layers.size())));
    const bool back = random.uniform() < 0.5;
    const double x = random.uniform(-2800, 2800), y = random.uniform(-2800, 2800), r = std::hypot(x, y);
    const CalorimeterLayer& geometry = hgcal().layers[static_cast<std::size_t>(layer)];
    const showers::CellKey key = cells.find(layer, back, x, y);
    if (r < geometry.inner_radius || r >= geometry.outer_radius) {
      EXPECT_EQ(key, showers::kNoCell);
      continue;
    }
    ASSERT_NE(key, showers::kNoCell);
    EXPECT_EQ(showers::Cells::layer_of(key), layer);
    EXPECT_EQ(showers::Cells::is_back(key), back);
    std::size_t region = geometry.cells.size() - 1;
    while (r < geometry.cells[region].inner_radius) --region;
    const CellRegion& shape = geometry.cells[region];
    const bool hexagon = shape.shape == CellRegion::Shape::hexagon;
    const double pitch = std::sqrt(hexagon ? shape.area * 2 / std::sqrt(3.) : shape.area);
    const showers::Cells::Place center = cells.center(key);
    EXPECT_LE(std::hypot(center.x - x, center.y - y), pitch * (hexagon ? 1 / std::sqrt(3.) : std::sqrt(0.5)) + 1e-9);
    // No place on the way to a neighbour's centre is nearer to this one than half of it.
    for (int side = 0; side < 6; ++side) {
      const double angle = hexagon ? side * std::numbers::pi / 3 : side * std::numbers::pi / 2;
      const double dx = pitch * std::cos(angle), dy = pitch * std::sin(angle);
      EXPECT_LE((x - center.x) * dx + (y - center.y) * dy, 0.5 * pitch * pitch + 1e-6);
    }
  }
}

TEST(Showers, NeverTwoHitsInOneCell) {
  ShowerSettings settings;
  settings.pileup = 30;
  settings.endcaps = 2;
  const CalorimeterEvent event = simulate_showers(hgcal(), settings, 5);
  std::set<std::tuple<float, float, float>> seen;
  for (std::size_t i = 0; i < event.hits.x.size(); ++i) {
    EXPECT_TRUE(seen.insert({event.hits.x[i], event.hits.y[i], event.hits.z[i]}).second) << i;
    const float layer = static_cast<float>(hgcal().layers[static_cast<std::size_t>(event.hits.layer[i] - 1)].position);
    EXPECT_EQ(std::abs(event.hits.z[i]), layer);
  }
  EXPECT_LT(event.hits.z.back(), 0);
  EXPECT_GT(event.hits.z.front(), 0);
}

// A particle is the same whatever is beside it: its own random numbers, its own deposits.
TEST(Showers, PileUpChangesNoShower) {
  ShowerSettings settings;
  settings.showers = 4;
  settings.noise = 0;
  const CalorimeterEvent alone = simulate_showers(hgcal(), settings, 6);
  settings.pileup = 10;
  const CalorimeterEvent among = simulate_showers(hgcal(), settings, 6);
  ASSERT_EQ(alone.showers->size(), 4);
  ASSERT_GT(among.showers->size(), 4);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(alone.showers->energy[i], among.showers->energy[i]);
    EXPECT_EQ(alone.showers->eta[i], among.showers->eta[i]);
  }
  const auto before = visible_energy(*alone.truth, alone.hits.energy, 4);
  const auto after = visible_energy(*among.truth, among.hits.energy, among.showers->size());
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_GE(after[i], 0.99 * before[i]) << "cells that others lift over the threshold";
    EXPECT_LE(after[i], 1.2 * before[i]);
  }
}

TEST(Showers, TimesAreThoseOfLight) {
  ShowerSettings settings = only(Kind::photon, 100);
  settings.vertex_sigma_time = 0;
  const CalorimeterEvent event = simulate_showers(hgcal(), settings, 0);
  double sum = 0, weight = 0;
  for (std::size_t i = 0; i < event.hits.x.size(); ++i) {
    const double flight = std::hypot(event.hits.x[i], event.hits.y[i], event.hits.z[i]) / 299.792458;
    sum += event.hits.energy[i] * (event.hits.time[i] - flight);
    weight += event.hits.energy[i];
  }
  EXPECT_NEAR(sum / weight, 0, 0.02);
}

TEST(Showers, SamplesAreAsTheirSettingsSay) {
  ShowerSettings settings;
  settings.showers = {1, 100};
  settings.grouped = 0;
  settings.separation = 0.2;
  settings.noise = 0;
  std::set<std::int32_t> counts;
  for (std::uint64_t number = 0; number < 6; ++number) {
    const CalorimeterEvent event = simulate_showers(hgcal(), settings, number);
    const Showers& s = *event.showers;
    counts.insert(s.size());
    EXPECT_LE(s.size(), 100);
    if (s.size() > 40) continue;  // there may be no room for more
    for (std::size_t i = 0; i < s.eta.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) {
        const double phi = std::remainder(s.phi[i] - s.phi[k], 2 * std::numbers::pi);
        // Seen from the origin, which is not the vertex, directions differ a little.
        EXPECT_GT(std::hypot(s.eta[i] - s.eta[k], phi), 0.19);
      }
    }
  }
  EXPECT_GT(counts.size(), 3u);

  settings = {};
  settings.grouped = 1;
  settings.group_spread = 0.01;
  settings.showers = 20;
  settings.vertex_sigma_z = 0;
  const Showers groups = *simulate_showers(hgcal(), settings, 0).showers;
  for (std::size_t i = 0; i < groups.eta.size(); ++i) {
    int near = 0;
    for (std::size_t k = 0; k < groups.eta.size(); ++k) near += std::abs(groups.eta[i] - groups.eta[k]) < 0.06;
    EXPECT_GE(near, 3) << i;
  }

  settings = {};
  settings.endcaps = 2;
  settings.max_abs_phi = 0.5;
  settings.pileup = 20;
  const CalorimeterEvent wedge = simulate_showers(hgcal(), settings, 1);
  int front = 0;
  for (std::size_t i = 0; i < wedge.showers->eta.size(); ++i) {
    EXPECT_LE(std::abs(wedge.showers->phi[i]), 0.5);
    front += wedge.showers->eta[i] > 0;
  }
  EXPECT_GT(front, 5);
  EXPECT_LT(front, wedge.showers->size() - 5);
  settings.max_abs_phi = std::numbers::pi;
  settings.showers = 0;
  const double whole = simulate_showers(hgcal(), settings, 1).hits.size();
  settings.max_abs_phi = std::numbers::pi / 4;
  EXPECT_NEAR(simulate_showers(hgcal(), settings, 1).hits.size() / whole, 0.25, 0.06) << "the same density";
}

TEST(Showers, EdgesOfTheSettings) {
  ShowerSettings settings;
  settings.showers = 0;
  const CalorimeterEvent noise = simulate_showers(hgcal(), settings, 0);
  EXPECT_EQ(noise.showers->size(), 0);
  EXPECT_TRUE(noise.truth->shower.empty());
  EXPECT_EQ(noise.truth->row_splits.size(), noise.hits.x.size() + 1);
  EXPECT_NEAR(noise.hits.size(), 500, 100);
  settings.noise = 0;
  const CalorimeterEvent empty = simulate_showers(hgcal(), settings, 0);
  EXPECT_EQ(empty.hits.size(), 0);
  EXPECT_EQ(empty.truth->row_splits, std::vector<std::int32_t>{0});

  settings.showers = 3;
  settings.min_visible = 7000;
  const CalorimeterEvent nobody = simulate_showers(hgcal(), settings, 0);
  EXPECT_GT(nobody.hits.size(), 20);
  EXPECT_EQ(nobody.showers->size(), 0) << "what is too small is noise";

  settings = {};
  settings.pileup = 140;
  const CalorimeterEvent full = simulate_showers(hgcal(), settings, 0);
  EXPECT_GT(full.hits.size(), 200'000);
  full.truth->check(full.hits.size(), full.showers->size());

  EXPECT_THAT([] { simulate_showers(ShowerDetector{}, {}, 0); }, testing::ThrowsMessage<Error>(HasSubstr("0 layers")));
  ShowerDetector broken = hgcal();
  broken.layers[3].position = 1;
  EXPECT_THAT([&] { simulate_showers(broken, {}, 0); },
              testing::ThrowsMessage<Error>(HasSubstr("layer 4: position = 1: expected a number from")));
  broken = hgcal();
  broken.layers[1].outer_radius = broken.layers[1].inner_radius;
  EXPECT_THAT([&] { simulate_showers(broken, {}, 0); },
              testing::ThrowsMessage<Error>(HasSubstr("layer 2: outer_radius = 300: expected more than 300")));
  broken = hgcal();
  broken.layers[0].cells[1].inner_radius = 0;
  EXPECT_THAT([&] { simulate_showers(broken, {}, 0); },
              testing::ThrowsMessage<Error>(HasSubstr("layer 1: inner_radius of cells = 0: expected more than 0")));
  broken = hgcal();
  broken.readout.noise = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT([&] { simulate_showers(broken, {}, 0); },
              testing::ThrowsMessage<Error>(HasSubstr("readout.noise = nan")));
}

TEST(ShowerSettings, BadValuesAreUsageErrors) {
  for (const char* const bad :
       {"pileup = -1", "pileup = [1]", "pileup = [3, 2]", "pileup = nan", "showers = 1.5", "showers = [0, 2000]",
        "grouped = 2", "group_size = 0", "min_energy = 500", "max_energy = 0", "min_eta = 3", "endcaps = 3",
        "max_abs_phi = 4", "pileup_tail_power = 1", "min_hits = 0", "noise = -1", "seed = -1", "photons = -1",
        "photons = 0\nelectrons = 0\ncharged_hadrons = 0\nneutral_hadrons = 0\nmuons = 0"}) {
    const std::string text = bad;
    try {
      Config config = Config::parse("[showers]\n" + text + "\n", "settings.toml");
      read_shower_settings(config);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr("settings.toml"));
      EXPECT_THAT(error.what(), HasSubstr("showers." + text.substr(0, text.find(' '))));
    }
  }
  Config config = Config::parse("[showers]\nshowers = [2, 5]\npileup = 7\nendcaps = 2\nseed = 3\n");
  const ShowerSettings settings = read_shower_settings(config);
  config.finish();
  EXPECT_EQ(settings.showers, Range(2, 5));
  EXPECT_EQ(settings.pileup, Range(7));
  EXPECT_EQ(settings.endcaps, 2);
  EXPECT_THAT(config.resolved(), HasSubstr("pileup = 7.0\n"));
  EXPECT_THAT(config.resolved(), HasSubstr("showers = [2.0, 5.0]\n"));
}

TEST(ShowerDetector, BadFilesAreUsageErrors) {
  const TemporaryFolder folder;
  std::ifstream file(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "hgcal.toml");
  const std::string good{std::istreambuf_iterator<char>(file), {}};
  const auto failure = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    text.replace(at, from.size(), to);
    const std::filesystem::path path = folder.path() / "detector.toml";
    std::ofstream(path) << text;
    try {
      read_shower_detector(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr("detector.toml"));
      return std::string(error.what());
    }
    return std::string("nothing was wrong");
  };
  EXPECT_THAT(failure("\"calorimeter\"", "\"tracker\""), HasSubstr("kind = 'tracker': expected one of calorimeter"));
  EXPECT_THAT(failure("kind = \"calorimeter\"", ""), HasSubstr("kind: missing"));
  EXPECT_THAT(failure("absorber = 9.0", ""), HasSubstr("section[0].absorber: missing"));
  EXPECT_THAT(failure("absorber = 9.0", "absorber = -9"), HasSubstr("section[0].absorber = -9"));
  EXPECT_THAT(failure("3222.3", "3198"), HasSubstr("3198, expected more than 3207"));
  EXPECT_THAT(failure("cell_radii = [0, 700]", "cell_radii = [700, 0]"), HasSubstr("cell_radii: 700 first"));
  EXPECT_THAT(failure("cell_radii = [0, 700]", "cell_radii = [0, 0]"), HasSubstr("ascending"));
  EXPECT_THAT(failure("cell_radii = [0, 700]", "cell_radii = []"), HasSubstr("0 values, expected 1 to 8"));
  EXPECT_THAT(failure("cell_areas = [52, 118]", "cell_areas = [52]"), HasSubstr("1 values, expected 2"));
  EXPECT_THAT(failure("\"hexagon\"", "\"octagon\""), HasSubstr("octagon"));
  EXPECT_THAT(failure("outer_radius = 1650.0", "outer_radius = 200"), HasSubstr("outer_radius = 200: expected more"));
  EXPECT_THAT(failure("charged = 0.50", "chraged = 0.50"), HasSubstr("hadrons.charged"));
  EXPECT_THAT(failure("noise_hits = 500", "noise_hits = -500"), HasSubstr("readout.noise_hits = -500"));
  EXPECT_EQ(detector_kind(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "hgcal.toml"),
            DetectorKind::calorimeter);
  EXPECT_EQ(detector_kind(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml"),
            DetectorKind::tracker);
  EXPECT_THAT([] { read_detector(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "hgcal.toml"); },
              testing::ThrowsMessage<Error>(HasSubstr("kind = 'calorimeter'")));
}

}  // namespace
}  // namespace starling
