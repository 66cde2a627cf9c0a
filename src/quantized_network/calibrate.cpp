#include <algorithm>
#include <cmath>

#include "interaction_network/reference.h"
#include "starling/error.h"
#include "starling/quantized_network.h"

namespace starling {
namespace {

struct Mean {
  double sum = 0.;
  int count = 0;
};

// Of n magnitudes in order number p / 100 · n, rounded, counted from 1: as training takes it.
double percentile_of(std::span<const double> values, double percent) {
  std::vector<double> sizes;
  sizes.reserve(values.size());
  for (const double value : values) sizes.push_back(std::abs(value));
  const double place = std::floor(percent / 100. * static_cast<double>(sizes.size()) + 0.5);
  const auto at = sizes.begin() + static_cast<std::ptrdiff_t>(std::max(place, 1.)) - 1;
  std::nth_element(sizes.begin(), at, sizes.end());
  return *at;
}

template <class Site>
Site& site(std::map<std::string, Site>& sites, const std::string& name, const char* what) {
  const auto found = sites.find(name);
  if (found == sites.end()) throw Error(ErrorKind::usage, std::string(what) + " " + name + " is missing");
  return found->second;
}

void check(double percent) {
  if (percent >= 0. && percent <= 100.) return;
  throw Error(ErrorKind::usage, "percentile " + std::to_string(percent) + ": expected 0..100");
}

}  // namespace

void calibrate(const InteractionNetwork& network, std::span<const GraphView> graphs, LearnedQuantization& learned,
               const CalibrationPercentiles& percentiles) {
  check(percentiles.features);
  check(percentiles.others);
  std::map<std::string, float*> thresholds;  // by the name that the reference gives to what they are for
  for (const std::string& mlp : mlps(network.shape)) {
    thresholds[mlp + ".in"] = &site(learned.inputs, mlp, "input of").threshold;
  }
  for (const DenseLayer& layer : layers(network.shape)) {
    float& threshold = site(learned.layers, layer.name, "layer").threshold;
    if (layer.relu) thresholds[layer.name] = &threshold;
  }
  std::map<std::string, Mean> means;
  for (const GraphView& graph : graphs) {
    interaction_network::reference(network, graph, [&](const std::string& name, std::span<const double> values) {
      if (values.empty() || !thresholds.contains(name)) return;
      Mean& mean = means[name];
      mean.sum += percentile_of(values, name.ends_with("_encoder.in") ? percentiles.features : percentiles.others);
      ++mean.count;
    });
  }
  for (const auto& [name, mean] : means) *thresholds.at(name) = static_cast<float>(mean.sum / mean.count);
}

}  // namespace starling
