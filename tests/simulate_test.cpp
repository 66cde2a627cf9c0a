#include "starling/simulate.h"

#include <gmock/gmock.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "data.h"
#include "random/random.h"
#include "simulate/tracker.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling {
namespace {

using ::testing::HasSubstr;

const Detector& trackml() {
  static const Detector detector =
      read_detector(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml");
  return detector;
}

SimulationSettings quiet() {
  SimulationSettings settings;
  settings.pileup = 20;
  return settings;
}

void expect_same(const Event& a, const Event& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.hits.hit_id, b.hits.hit_id);
  EXPECT_EQ(a.hits.x, b.hits.x);
  EXPECT_EQ(a.hits.y, b.hits.y);
  EXPECT_EQ(a.hits.z, b.hits.z);
  EXPECT_EQ(a.hits.module_id, b.hits.module_id);
  EXPECT_EQ(a.truth->particle_id, b.truth->particle_id);
  EXPECT_EQ(a.particles->px, b.particles->px);
  EXPECT_EQ(a.particles->vz, b.particles->vz);
  EXPECT_EQ(a.particles->nhits, b.particles->nhits);
}

double pt(const Particles& p, std::size_t i) { return std::hypot(p.px[i], p.py[i]); }

// Known answers of the generator's authors (the file kat_vectors of Random123).
TEST(Random, PhiloxGivesItsKnownAnswers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(random::philox({0, 0, 0, 0}, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(random::philox({ones, ones, ones, ones}, ~0ull), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(random::philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822ull),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, DrawsHaveTheirMeansAndWidths) {
  random::Random random(7, 0, 0);
  constexpr int count = 200'000;
  double sum[4] = {}, squares[4] = {};
  for (int i = 0; i < count; ++i) {
    const double draws[] = {random.uniform(), random.normal(), random.exponential(), random.gamma(0.8)};
    for (int k = 0; k < 4; ++k) {
      sum[k] += draws[k] / count;
      squares[k] += draws[k] * draws[k] / count;
    }
  }
  const double means[] = {0.5, 0, 1, 0.8}, variances[] = {1. / 12, 1, 1, 0.8};
  for (int k = 0; k < 4; ++k) {
    EXPECT_NEAR(sum[k], means[k], 0.01) << k;
    EXPECT_NEAR(squares[k] - sum[k] * sum[k], variances[k], 0.03) << k;
  }
  for (const double mean : {0., 0.3, 5., 29., 31., 500.}) {
    double total = 0;
    for (int i = 0; i < 20'000; ++i) total += random.poisson(mean) / 20'000.;
    EXPECT_NEAR(total, mean, 5 * std::sqrt(mean / 20'000) + 1e-12);
  }
}

TEST(Simulate, SameBytesOnManyThreadsAndInAnyOrder) {
  constexpr int count = 6;
  std::vector<Event> forward(count), parallel(count);
  for (int i = 0; i < count; ++i) forward[i] = simulate_event(trackml(), quiet(), i);
  tbb::parallel_for(0, count, [&](int i) {
    parallel[count - 1 - i] = simulate_event(trackml(), quiet(), static_cast<std::uint64_t>(count - 1 - i));
  });
  for (int i = 0; i < count; ++i) expect_same(forward[i], parallel[i]);
}

TEST(Simulate, SeedAndEventNumberChangeTheEvent) {
  SimulationSettings other = quiet();
  other.seed = 2;
  const Event event = simulate_event(trackml(), quiet(), 5);
  EXPECT_EQ(event.name, "event000000005");
  EXPECT_NE(event.hits.x, simulate_event(trackml(), quiet(), 6).hits.x);
  EXPECT_NE(event.hits.x, simulate_event(trackml(), other, 5).hits.x);
  EXPECT_NE(event.hits.x, simulate_event(trackml(), quiet(), 5 + (1ull << 32)).hits.x);
}

TEST(Simulate, OneParticleDoesNotChangeAnother) {
  SimulationSettings without = quiet(), with = quiet();
  without.hard_particles = 0;
  without.noise = 0;
  const Event less = simulate_event(trackml(), without, 3), more = simulate_event(trackml(), with, 3);
  const auto rows = [](const Event& event) {
    std::multiset<std::array<float, 5>> set;
    const Particles& p = *event.particles;
    for (std::size_t i = 0; i < p.px.size(); ++i) {
      set.insert({p.px[i], p.py[i], p.pz[i], p.vx[i], static_cast<float>(p.nhits[i])});
    }
    return set;
  };
  const auto few = rows(less), many = rows(more);
  EXPECT_GT(few.size(), 100u);
  EXPECT_GT(many.size(), few.size());
  EXPECT_TRUE(std::includes(many.begin(), many.end(), few.begin(), few.end()));
}

TEST(Simulate, TruthIsConsistent) {
  const Event event = simulate_event(trackml(), SimulationSettings{}, 0);
  const Particles& p = *event.particles;
  const auto n = static_cast<std::size_t>(event.hits.size());
  ASSERT_EQ(event.truth->particle_id.size(), n);
  for (const auto* column : {&event.hits.x, &event.hits.y, &event.hits.z}) {
    ASSERT_EQ(column->size(), n);
    EXPECT_TRUE(std::all_of(column->begin(), column->end(), [](float v) { return std::isfinite(v); }));
  }
  for (const auto* column : {&p.vx, &p.vy, &p.vz, &p.px, &p.py, &p.pz}) {
    ASSERT_EQ(column->size(), p.particle_id.size());
    EXPECT_TRUE(std::all_of(column->begin(), column->end(), [](float v) { return std::isfinite(v); }));
  }
  std::vector<std::int64_t> ids(n);
  std::iota(ids.begin(), ids.end(), 1);
  EXPECT_EQ(event.hits.hit_id, ids);

  std::map<std::int64_t, int> hits;
  for (const std::int64_t id : event.truth->particle_id) ++hits[id];
  std::int64_t listed = hits[kNoise];
  std::set<std::int64_t> unique;
  for (std::size_t i = 0; i < p.particle_id.size(); ++i) {
    EXPECT_TRUE(unique.insert(p.particle_id[i]).second);
    ASSERT_GT(p.particle_id[i], 0);
    ASSERT_EQ(p.nhits[i], hits[p.particle_id[i]]);
    ASSERT_EQ(std::abs(p.q[i]), 1);
    ASSERT_TRUE(p.primary[i] == 0 || p.primary[i] == 1);
    const std::set<int> known = {11, 211, 321, 2212};
    ASSERT_TRUE(known.contains(std::abs(p.particle_type[i]))) << p.particle_type[i];
    ASSERT_EQ(p.particle_type[i] > 0 ? 1 : -1, std::abs(p.particle_type[i]) == 11 ? -p.q[i] : p.q[i]);
    listed += p.nhits[i];
  }
  EXPECT_EQ(listed, event.hits.size()) << "every hit is noise or a listed particle's";
}

TEST(Simulate, HitsLieOnTheirLayers) {
  const Event event = simulate_event(trackml(), quiet(), 1);
  std::map<std::pair<int, int>, const DetectorLayer*> layers;
  for (const DetectorLayer& layer : trackml().layers) layers[{layer.volume_id, layer.layer_id}] = &layer;
  std::tuple<int, int, int> last{};
  for (std::size_t i = 0; i < event.hits.x.size(); ++i) {
    const auto place = std::tuple(event.hits.volume_id[i], event.hits.layer_id[i], event.hits.module_id[i]);
    EXPECT_LE(last, place);
    last = place;
    ASSERT_TRUE(layers.contains({event.hits.volume_id[i], event.hits.layer_id[i]}));
    const DetectorLayer& layer = *layers[{event.hits.volume_id[i], event.hits.layer_id[i]}];
    const double r = std::hypot(event.hits.x[i], event.hits.y[i]), z = event.hits.z[i];
    const bool barrel = layer.shape == DetectorLayer::Shape::barrel;
    ASSERT_NEAR(barrel ? r : z, layer.position, 6.5) << "of layer " << layer.volume_id << " " << layer.layer_id;
    ASSERT_LT(std::abs(z), 2960);
    int modules = 0;
    for (const ModuleRing& ring : layer.rings) modules += ring.modules;
    ASSERT_GE(event.hits.module_id[i], 1);
    ASSERT_LE(event.hits.module_id[i], modules);
  }
}

/// Perfect layers without material.
Detector ideal(double field) {
  Detector detector = trackml();
  detector.field = field;
  detector.solenoid_length = 0;
  detector.cylinders.clear();
  for (DetectorLayer& layer : detector.layers) {
    layer.radiation_lengths = layer.interaction_lengths = 0;
    layer.resolution_rphi = layer.resolution_rz = layer.strip_length = layer.noise = 0;
    layer.efficiency = 1;
    layer.max_incidence = 1e9;
  }
  return detector;
}

TEST(Simulate, WithoutMaterialHitsLieOnTheHelix) {
  for (const double field : {2.0, -0.5}) {
    const Event event = simulate_event(ideal(field), quiet(), 2);
    const Particles& p = *event.particles;
    int checked = 0;
    for (std::size_t i = 0; i < event.hits.x.size(); ++i) {
      const auto k = static_cast<std::size_t>(event.truth->particle_id[i] - 1);
      // Centre of the circle: to the right of the momentum for a positive charge in a positive field.
      const double radius = pt(p, k) / (2.99792458e-4 * field * p.q[k]);
      const double ux = p.px[k] / pt(p, k), uy = p.py[k] / pt(p, k);
      const double cx = p.vx[k] + radius * uy, cy = p.vy[k] - radius * ux;
      const double dx = event.hits.x[i] - cx, dy = event.hits.y[i] - cy;
      // Positions and momenta are floats: relative 6e-8 of radii up to tens of metres, and of the way along z. The
      // last millimetres to a module go along a parabola, 20 micrometres off along z at most.
      ASSERT_NEAR(std::hypot(dx, dy), std::abs(radius), 1e-3 + 3e-7 * std::abs(radius));
      double turned = std::atan2(-(p.vx[k] - cx) * dy + (p.vy[k] - cy) * dx, (p.vx[k] - cx) * dx + (p.vy[k] - cy) * dy);
      if (radius < 0) turned = -turned;
      if (turned < -1e-3) turned += 2 * std::numbers::pi;
      const double z = p.vz[k] + p.pz[k] / pt(p, k) * turned * std::abs(radius);
      ASSERT_NEAR(event.hits.z[i], z, 0.03 + 1e-5 * std::abs(radius)) << "pt " << pt(p, k);
      ++checked;
    }
    EXPECT_GT(checked, 5000);
  }
}

TEST(Simulate, WithoutFieldTracksAreStraight) {
  SimulationSettings settings = quiet();
  settings.overlaps = false;
  const Event event = simulate_event(ideal(0), settings, 2);
  const Particles& p = *event.particles;
  std::set<std::tuple<std::int64_t, int, int>> seen;
  for (std::size_t i = 0; i < event.hits.x.size(); ++i) {
    const auto k = static_cast<std::size_t>(event.truth->particle_id[i] - 1);
    const double dx = event.hits.x[i] - p.vx[k], dy = event.hits.y[i] - p.vy[k];
    ASSERT_NEAR((dx * p.py[k] - dy * p.px[k]) / pt(p, k), 0, 1e-3);
    ASSERT_NEAR(event.hits.z[i], p.vz[k] + p.pz[k] / pt(p, k) * std::hypot(dx, dy), 0.01);
    EXPECT_TRUE(seen.insert({event.truth->particle_id[i], event.hits.volume_id[i], event.hits.layer_id[i]}).second)
        << "two hits on one layer without overlaps";
  }
  EXPECT_GT(seen.size(), 5000u);
}

TEST(Simulate, InefficiencyLosesItsShareOfHits) {
  SimulationSettings settings = quiet();
  settings.noise = 0;
  Detector detector = ideal(2);
  const double all = simulate_event(detector, settings, 0).hits.size();
  for (DetectorLayer& layer : detector.layers) layer.efficiency = 0.9;
  EXPECT_NEAR(simulate_event(detector, settings, 0).hits.size() / all, 0.9, 0.015);
}

TEST(Tracker, TheSolenoidBendsAsItsFieldDoes) {
  Detector detector = trackml();
  detector.field = 2;
  detector.solenoid_length = 5000;
  detector.solenoid_radius = 1000;
  detector.solenoid_center = {10, 20, 30};
  const simulate::Tracker tracker(detector, 1, true);
  const auto field = [&](double x, double y, double z, double tx, double ty, double cot) {
    return tracker.bending_field({x, y, z, tx, ty, cot, 0});
  };
  EXPECT_NEAR(field(10, 20, 30, 1, 0, 0), 2, 1e-12) << "in the middle";
  EXPECT_NEAR(field(10, 20, 30 + 2500, 1, 0, 0), field(10, 20, 30 - 2500, 1, 0, 0), 1e-12) << "the same at both ends";
  // There the formula of the axis has one term.
  EXPECT_NEAR(field(10, 20, 30 + 2500, 1, 0, 0), std::hypot(2500, 1000) / 2500 * 5000 / std::hypot(5000, 1000), 1e-12);
  EXPECT_LT(field(10, 20, 30 + 20'000, 1, 0, 0), 0.01) << "far away";
  // Off the axis the radial field is −(r/2) dBz/dz, and bends what flies outwards by −cot times it.
  const double step = 1e-3,
               slope = (field(10, 20, 2000 + step, 1, 0, 0) - field(10, 20, 2000 - step, 1, 0, 0)) / (2 * step);
  EXPECT_NEAR(field(110, 20, 2000, 1, 0, 3) - field(110, 20, 2000, 1, 0, 0), 3 * 50 * slope, 1e-6);
  EXPECT_NEAR(field(110, 20, 2000, 0, 1, 3) - field(110, 20, 2000, 0, 1, 0), 0, 1e-12);
}

// What the events of the challenge have, and the issue of this simulation asks for.
TEST(Simulate, FullPileupLooksLikeTrackml) {
  constexpr int count = 5;
  double hits = 0, particles = 0, targets = 0, displaced = 0;
  std::vector<double> pts;
  for (int number = 0; number < count; ++number) {
    const Event event = simulate_event(trackml(), SimulationSettings{}, static_cast<std::uint64_t>(number));
    const Particles& p = *event.particles;
    hits += event.hits.size() / double{count};
    particles += p.size() / double{count};
    for (std::size_t i = 0; i < p.px.size(); ++i) {
      if (p.nhits[i] > 0) pts.push_back(pt(p, i));
      if (pt(p, i) < 1 || p.nhits[i] < 3) continue;
      ++targets;
      displaced += std::hypot(p.vx[i], p.vy[i]) > 0.1;
    }
  }
  EXPECT_GT(hits, 90e3);
  EXPECT_LT(hits, 115e3);
  EXPECT_NEAR(particles, 10e3, 1.5e3);
  std::nth_element(pts.begin(), pts.begin() + pts.size() / 2, pts.end());
  EXPECT_NEAR(pts[pts.size() / 2], 0.41, 0.02);
  EXPECT_NEAR(displaced / targets, 0.1, 0.025);
}

TEST(Simulate, LayersAreFilledLikeThoseOfRealEvents) {
  STARLING_NEEDS_DATA("trackml_full");
  using Counts = std::map<std::pair<int, int>, double>;
  const auto add = [](const Event& event, Counts& counts) {
    for (std::size_t i = 0; i < event.hits.x.size(); ++i) {
      counts[{event.hits.volume_id[i], event.hits.layer_id[i]}] += 1. / event.hits.size();
    }
  };
  Counts real, made;
  for (const char* name : {"event000001001", "event000001005"}) {
    add(read_event(data_folder() / "trackml_full" / name, {.truth = false}), real);
  }
  for (std::uint64_t number = 0; number < 2; ++number) add(simulate_event(trackml(), {}, number), made);
  EXPECT_EQ(real.size(), 48u);
  for (const auto& [layer, share] : real) {
    EXPECT_NEAR(made[layer] / share, 1, 0.35) << "volume " << layer.first << ", layer " << layer.second;
  }
}

TEST(Simulate, EdgesOfTheSettings) {
  SimulationSettings settings;
  settings.pileup = 0;
  const Event alone = simulate_event(trackml(), settings, 0);
  EXPECT_GT(alone.particles->size(), 50);
  EXPECT_LT(alone.hits.size(), 25'000);

  settings.hard_particles = 0;
  settings.noise = 0;
  const Event empty = simulate_event(trackml(), settings, 0);
  EXPECT_EQ(empty.hits.size(), 0);
  EXPECT_EQ(empty.particles->size(), 0);
  EXPECT_TRUE(empty.truth.has_value());

  settings = quiet();
  settings.max_abs_eta = 0;
  settings.vertex_sigma_z = 0;
  EXPECT_GT(simulate_event(trackml(), settings, 0).hits.size(), 0);
  settings.max_turn = 0;
  settings.noise = 0;
  EXPECT_EQ(simulate_event(trackml(), settings, 0).hits.size(), 0) << "nothing is followed";

  EXPECT_THROW(simulate_event(Detector{}, quiet(), 0), Error);
  for (const double pileup : {-1., std::numeric_limits<double>::quiet_NaN(), 1e18}) {
    settings = quiet();
    settings.pileup = pileup;
    EXPECT_THAT([&] { simulate_event(trackml(), settings, 0); },
                testing::ThrowsMessage<Error>(HasSubstr("simulation.pileup = ")));
  }
  settings = quiet();
  settings.hard_median_pt = settings.min_pt;
  EXPECT_THAT([&] { simulate_event(trackml(), settings, 0); },
              testing::ThrowsMessage<Error>(HasSubstr("simulation.hard_median_pt = 0.15: expected more than min_pt")));
}

TEST(Simulate, ARangeOfPileUpIsDrawnPerEvent) {
  SimulationSettings settings = quiet();
  settings.noise = 0;
  settings.pileup = {0, 40};
  double least = 1e9, most = 0;
  for (std::uint64_t number = 0; number < 12; ++number) {
    const double hits = simulate_event(trackml(), settings, number).hits.size();
    least = std::min(least, hits);
    most = std::max(most, hits);
  }
  EXPECT_GT(most, 4 * least) << "not all of mean pile-up 20";
  settings.pileup = {20, 20};
  expect_same(simulate_event(trackml(), settings, 1), [&] {
    settings.pileup = 20;
    return simulate_event(trackml(), settings, 1);
  }());
  settings.pileup = {30, 20};
  EXPECT_THAT([&] { simulate_event(trackml(), settings, 0); },
              testing::ThrowsMessage<Error>(HasSubstr("simulation.pileup = 30: expected at most the other end, 20")));
}

TEST(SimulationSettings, ComeFromTheSectionSimulation) {
  Config config = Config::parse("[simulation]\npileup = 40\nvertex_sigma_z = 45\noverlaps = false\nseed = 9\n");
  const SimulationSettings settings = read_simulation_settings(config);
  config.finish();
  EXPECT_EQ(settings.pileup, 40);
  EXPECT_EQ(settings.vertex_sigma_z, 45);
  EXPECT_FALSE(settings.overlaps);
  EXPECT_EQ(settings.seed, 9u);
  EXPECT_EQ(settings.median_pt, SimulationSettings{}.median_pt);
}

TEST(SimulationSettings, BadValuesAreUsageErrors) {
  for (const char* const bad :
       {"pileup = -1", "pileup = \"many\"", "pileup = nan", "max_abs_eta = 20", "pt_power = 2", "min_pt = 0",
        "median_pt = 0.1", "hard_median_pt = 0.15", "electron_fraction = -0.1", "noise = 1e9", "overlaps = 3"}) {
    Config config = Config::parse(std::string("[simulation]\n") + bad + "\n", "settings.toml");
    try {
      read_simulation_settings(config);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr(std::string(bad).substr(0, std::string(bad).find(' '))));
    }
  }
}

}  // namespace
}  // namespace starling
