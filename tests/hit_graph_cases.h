#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <numbers>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "hit_graph/windows.h"
#include "starling/detector.h"
#include "starling/hit_graph.h"
#include "starling/simulate.h"

// Hits and windows whose graphs every backend builds alike.
namespace starling::hit_graph_cases {

inline constexpr float kPi = std::numbers::pi_v<float>;
inline constexpr float kMost = std::numeric_limits<float>::max();

inline void add_hit(Hits& hits, float x, float y, float z, std::int32_t volume = 1, std::int32_t layer = 1,
                    std::int32_t module = 1) {
  hits.hit_id.push_back(hits.size() + 1);
  hits.x.push_back(x);
  hits.y.push_back(y);
  hits.z.push_back(z);
  hits.volume_id.push_back(volume);
  hits.layer_id.push_back(layer);
  hits.module_id.push_back(module);
}

inline const Detector& trackml() {
  static const Detector detector =
      read_detector(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml");
  return detector;
}

inline Event simulated(double pileup, std::uint64_t number) {
  SimulationSettings settings;
  settings.pileup = pileup;
  return simulate_event(trackml(), settings, number);
}

/// Windows between all pairs of `layers` layers with random widths and cells.
inline Windows random_windows(int layers, std::mt19937& random, bool overlaps) {
  std::uniform_real_distribution<float> uniform(0.f, 1.f);
  auto content = std::make_unique<Windows::Content>();
  auto& c = *content;
  c.min_pt = 1.;
  c.pair_cells = c.triple_cells = {0};
  for (int l = 0; l < layers; ++l) {
    c.volume_id.push_back(1 + l / 3);
    c.layer_id.push_back(2 * l);
    c.overlap_distance.push_back(overlaps ? 60.f * uniform(random) : 0.f);
    c.overlap_rphi.push_back(overlaps ? 20.f * uniform(random) : 0.f);
  }
  for (int a = 0; a < layers; ++a) {
    for (int b = 0; b < layers; ++b) {
      if (a == b) continue;
      c.pair_src.push_back(a);
      c.pair_dst.push_back(b);
      const int cells = 1 + static_cast<int>(3 * uniform(random));
      for (int k = 0; k < cells; ++k) {
        c.pair_cot.push_back(k + 1 == cells ? kMost : static_cast<float>(k) + uniform(random));
        c.pair_k.push_back(std::pow(10.f, -4.f + 2.5f * uniform(random)));
        c.pair_z0.push_back(200.f * uniform(random));
      }
      c.pair_cells.push_back(static_cast<std::int32_t>(c.pair_cot.size()));
    }
  }
  for (std::int32_t p = 0; p < c.pairs(); ++p) {
    for (std::int32_t q = 0; q < c.pairs(); ++q) {
      if (c.pair_dst[p] != c.pair_src[q] || c.pair_src[p] == c.pair_dst[q] || uniform(random) < 0.3f) continue;
      c.triple_first.push_back(p);
      c.triple_second.push_back(q);
      for (const float bound : {1.f, kMost}) {
        c.triple_cot.push_back(bound);
        c.triple_k.push_back(0.01f * uniform(random));
        c.triple_d0.push_back(100.f * uniform(random));
        c.triple_bend.push_back(0.5f * uniform(random));
      }
      c.triple_cells.push_back(static_cast<std::int32_t>(c.triple_cot.size()));
    }
  }
  c.index();
  return Windows(std::move(content));
}

/// Hits of random_windows' layers: cylinders, discs, and layers that are neither.
inline void add_random_hits(Hits& hits, int count, int layers, std::mt19937& random) {
  std::uniform_real_distribution<float> uniform(0.f, 1.f);
  for (int i = 0; i < count; ++i) {
    const int layer = static_cast<int>(static_cast<float>(layers) * uniform(random));
    const float phi = kPi * (2.f * uniform(random) - 1.f);
    float r = 30.f + 80.f * static_cast<float>(layer) + 2.f * uniform(random), z = 1000.f * (uniform(random) - 0.5f);
    if (layer % 3 == 1) {
      r = 30.f + 300.f * uniform(random);
      z = (layer % 2 ? 1.f : -1.f) * (200.f + 50.f * static_cast<float>(layer) + uniform(random));
    } else if (layer % 3 == 2) {
      r = 500.f * uniform(random);
    }
    add_hit(hits, r * std::cos(phi), r * std::sin(phi), z, 1 + layer / 3, 2 * layer, static_cast<int>(phi * 3.f));
  }
}

struct Case {
  std::string name;
  Windows windows;
  Hits hits;
  std::int32_t hits_outside = 0;
  bool has_edges = false;
};

/// Duplicates, angles at the wrap, hits near and beyond all bounds and on no layer among random ones.
inline Case awkward_case() {
  std::mt19937 random(6);
  Case test{"awkward", random_windows(5, random, true), {}, 5, true};
  Hits& hits = test.hits;
  add_random_hits(hits, 200, 5, random);
  for (int k = 0; k < 30; ++k) {  // duplicates, on the same and on other layers
    add_hit(hits, hits.x[k], hits.y[k], hits.z[k], hits.volume_id[k], hits.layer_id[k], 77);
    add_hit(hits, hits.x[k], hits.y[k], hits.z[k], hits.volume_id[k + 1], hits.layer_id[k + 1]);
    add_hit(hits, hits.x[k], hits.y[k], hits.z[k], hits.volume_id[k], hits.layer_id[k], hits.module_id[k]);
  }
  for (const float y : {0.f, -0.f, 1e-6f, -1e-6f}) {  // where the angle wraps
    for (int layer = 0; layer < 5; ++layer) {
      add_hit(hits, -100.f * static_cast<float>(layer + 1), y, 3.f, 1 + layer / 3, 2 * layer);
    }
  }
  add_hit(hits, 1e-20f, 0.f, 1.f, 1, 0);
  add_hit(hits, 9e5f, 9e4f, -9e5f, 1, 2);
  add_hit(hits, 0.f, 0.f, 100.f, 1, 2);    // on the beam line
  add_hit(hits, 3e38f, 3e38f, 1.f, 1, 2);  // beyond all bounds
  add_hit(hits, 10.f, 1.f, -3e38f, 1, 2);
  add_hit(hits, 50.f, 1.f, 2.f, 1, 1);  // on no layer
  add_hit(hits, 50.f, 1.f, 2.f, -2000000000, 2000000000);
  return test;
}

/// Three layers of hits at one angle, each pair a doublet of very wide windows and most pairs of these a triplet: rows
/// far longer than those of an event.
inline Case crowded_case(int hits_per_layer) {
  auto content = std::make_unique<Windows::Content>();
  auto& c = *content;
  c.min_pt = 1.;
  c.volume_id = {1, 1, 1};
  c.layer_id = {0, 2, 4};
  c.overlap_distance = {5.f, 0.f, 5.f};
  c.overlap_rphi = {5.f, 0.f, 5.f};
  c.pair_src = {0, 1};
  c.pair_dst = {1, 2};
  c.pair_cells = {0, 1, 2};
  c.pair_cot = {kMost, kMost};
  c.pair_k = {0.01f, 0.01f};
  c.pair_z0 = {1e4f, 1e4f};
  c.triple_first = {0};
  c.triple_second = {1};
  c.triple_cells = {0, 1};
  c.triple_cot = {kMost};
  c.triple_k = {0.02f};
  c.triple_d0 = {1e3f};
  c.triple_bend = {0.4f};
  c.index();
  Case test{"crowded", Windows(std::move(content)), {}, 0, true};
  std::mt19937 random(9);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  for (int i = 0; i < 3 * hits_per_layer; ++i) {
    const int layer = i % 3;
    add_hit(test.hits, 40.f + 40.f * static_cast<float>(layer), uniform(random), 20.f * uniform(random), 1, 2 * layer,
            i % 5);
  }
  return test;
}

/// Small enough for the reference, which tests every pair.
inline std::vector<Case> table() {
  std::mt19937 random(7);
  std::vector<Case> cases;
  const Windows windows = random_windows(4, random, true);
  cases.push_back({"no hits", windows, {}});
  Case one{"one hit", windows, {}};
  add_hit(one.hits, 30.f, 1.f, 2.f, 1, 0);
  cases.push_back(one);
  Case layer{"one layer", windows, {}}, place{"one place", windows, {}}, outside{"all outside", windows, {}, 300};
  for (int k = 0; k < 100; ++k) {
    add_hit(layer.hits, 30.f * std::cos(0.1f * static_cast<float>(k)), 30.f * std::sin(0.1f * static_cast<float>(k)),
            static_cast<float>(k), 1, 2, k);
    add_hit(place.hits, 10.f, 20.f, 30.f, 1, 2 * (k % 3), k);
  }
  std::uniform_real_distribution<float> uniform(-1e3f, 1e3f);
  for (int k = 0; k < 300; ++k) {
    add_hit(outside.hits, std::floor(uniform(random) / 300.f), uniform(random), uniform(random), 7, k % 3, k % 2);
  }
  cases.push_back(layer);
  cases.push_back(place);
  cases.push_back(outside);
  Case none{"windows of nothing", Windows(), {}, 60};
  add_random_hits(none.hits, 60, 4, random);
  cases.push_back(none);
  for (int trial = 1; trial < 6; ++trial) {
    Case test{"random " + std::to_string(trial), random_windows(6, random, trial % 2 == 1), {}, 0, true};
    add_random_hits(test.hits, 300 + 97 * trial, 6, random);
    cases.push_back(test);
  }
  cases.push_back(awkward_case());
  cases.push_back(crowded_case(90));
  return cases;
}

}  // namespace starling::hit_graph_cases
