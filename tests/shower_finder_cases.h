#pragma once

#include <cmath>
#include <random>

#include "starling/shower_finder.h"

// Hits and a model that tests of shower finding share.
namespace starling {

/// Clouds of hits around five directions, in 20 layers.
inline CalorimeterHits made_hits(int count, unsigned seed) {
  CalorimeterHits hits;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int i = 0; i < count; ++i) {
    const int shower = i % 5, layer = i / 5 % 20;
    const float z = 3200.F + 10.F * static_cast<float>(layer);
    hits.hit_id.push_back(1000 + i);
    hits.x.push_back(z * (0.1F + 0.05F * static_cast<float>(shower)) + 10.F * normal(random));
    hits.y.push_back(z * 0.2F + 10.F * normal(random));
    hits.z.push_back(z);
    hits.energy.push_back(0.01F * std::abs(normal(random)));
    hits.time.push_back(10.F + 0.1F * normal(random));
    hits.layer.push_back(layer);
  }
  return hits;
}

/// A model with random weights whose residual coordinates make it a cone algorithm.
inline ShowerFinder made_finder() {
  ShowerFinder finder;
  finder.features.layer = 20;
  finder.outputs.classes = {"em", "hadron"};
  finder.cuts.t_beta = 0.1F;
  finder.network.shape = {.inputs = kShowerFeatures,
                          .hidden = 12,
                          .width = 10,
                          .blocks = 2,
                          .space = 3,
                          .propagate = 4,
                          .k = 8,
                          .outputs = finder.outputs.columns(),
                          .concat = true};
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (const DenseLayer& layer : layers(finder.network.shape)) {
    for (const ArrayShape& array : arrays(layer)) {
      for (std::int64_t i = 0; i < array.count(); ++i) {
        finder.network.weights[array.name].push_back(0.3F * normal(random) / std::sqrt(static_cast<float>(layer.in)));
      }
    }
  }
  finder.provenance = R"({"data": "random weights"})";
  return finder;
}

}  // namespace starling
