#pragma once

#include <random>
#include <vector>

#include "starling/shower_finder.h"
#include "starling/showers.h"

// What the benches of shower finding share.
namespace starling::bench {

/// About so many hits: one endcap of a simulated event with pile-up, cut where there are more.
inline CalorimeterHits simulated_hits(std::int32_t count) {
  const ShowerDetector detector = read_shower_detector(STARLING_SOURCE_DIR "/detectors/hgcal.toml");
  ShowerSettings settings;
  CalorimeterHits hits;
  for (std::uint64_t event = 0; hits.size() < count; ++event) {
    settings.pileup = std::min(200., count / 1500.);
    const CalorimeterHits more = simulate_showers(detector, settings, event).hits;
    const auto append = [&](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
    append(hits.hit_id, more.hit_id);
    append(hits.x, more.x);
    append(hits.y, more.y);
    append(hits.z, more.z);
    append(hits.energy, more.energy);
    append(hits.time, more.time);
    append(hits.layer, more.layer);
  }
  const auto cut = [&](auto& column) { column.resize(static_cast<std::size_t>(count)); };
  cut(hits.hit_id), cut(hits.x), cut(hits.y), cut(hits.z), cut(hits.energy), cut(hits.time), cut(hits.layer);
  return hits;
}

/// A finder of the seed model's widths with random weights. The residual coordinates make it a cone algorithm.
inline ShowerFinder random_finder() {
  ShowerFinder finder;
  finder.features.layer = 50;
  finder.outputs.classes = {"em", "charged_hadron", "neutral_hadron", "muon"};
  finder.cuts.t_beta = 0.5F;
  finder.network.shape = {.inputs = kShowerFeatures, .outputs = finder.outputs.columns()};
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (const DenseLayer& layer : layers(finder.network.shape)) {
    for (const ArrayShape& array : arrays(layer)) {
      for (std::int64_t i = 0; i < array.count(); ++i) {
        const float scale = array.shape.size() == 2 ? std::sqrt(1.5F / static_cast<float>(layer.in)) : 0.1F;
        finder.network.weights[array.name].push_back(scale * normal(random));
      }
    }
  }
  return finder;
}

}  // namespace starling::bench
