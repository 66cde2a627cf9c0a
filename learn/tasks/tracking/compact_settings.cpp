#include "learn/tasks/tracking/compact_settings.h"

#include <algorithm>

#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn::tracking {
namespace {

constexpr int kMostBits = 12, kMostBiasBits = 32;

std::filesystem::path read_path(Config& config, const char* key) {
  std::string path;
  config.get(key, path);
  return path.empty() ? std::filesystem::path() : std::filesystem::path(config.name()).parent_path() / path;
}

QuantizationSettings read_quantization(Config& config) {
  QuantizationSettings settings;
  int bits = settings.weights;
  config.get("quantization.bits", bits, 2, kMostBits);
  settings.weights = settings.activations = settings.inputs = bits;
  config.get("quantization.weights", settings.weights, 2, kMostBits);
  config.get("quantization.activations", settings.activations, 2, kMostBits);
  config.get("quantization.inputs", settings.inputs, 2, kMostBits);
  config.get("quantization.features", settings.features, 2, kMostBits);
  config.get("quantization.biases", settings.biases, 2, kMostBiasBits);
  config.get("quantization.per_channel", settings.per_channel);
  config.get("quantization.powers_of_two", settings.powers_of_two);
  config.get("quantization.percentile", settings.percentile, 1, 100);
  config.get("quantization.feature_percentile", settings.feature_percentile, 1, 100);
  config.get("quantization.collect_steps", settings.collect_steps, 1, 1'000'000);
  const int count = config.table_count("quantization.layer");
  for (int i = 0; i < count; ++i) {
    const std::string at = "quantization.layer[" + std::to_string(i) + "].";
    QuantizationSettings::Layer layer;
    config.get(at + "name", layer.name);
    const auto read = [&](const char* key, std::optional<int>& value, int most) {
      if (config.has(at + key)) config.get(at + key, value.emplace(2), 2, most);
    };
    read("weights", layer.weights, kMostBits);
    read("biases", layer.biases, kMostBiasBits);
    read("activations", layer.activations, kMostBits);
    read("inputs", layer.inputs, kMostBits);
    settings.layers.push_back(layer);
  }
  return settings;
}

PruningSettings read_pruning(Config& config, const InteractionNetworkShape& shape) {
  PruningSettings settings;
  config.get("pruning.kept", settings.kept, 0, 1);
  config.get("pruning.two_of_four", settings.two_of_four);
  config.get("pruning.block", settings.block, 1, 1024);
  const int count = config.table_count("pruning.floor");
  for (int i = 0; i < count; ++i) {
    const std::string at = "pruning.floor[" + std::to_string(i) + "].";
    std::pair<std::string, double> floor;
    config.get(at + "name", floor.first);
    config.get(at + "kept", floor.second, 0, 1);
    const std::vector<DenseLayer> all = layers(shape);
    if (std::none_of(all.begin(), all.end(), [&](const auto& layer) { return covers(floor.first, layer.name); })) {
      throw Error(ErrorKind::usage, config.name() + ": " + at + "name = \"" + floor.first +
                                        "\": expected a layer or an MLP of the network, such as edge_network.0.1");
    }
    settings.floors.push_back(floor);
  }
  settings.rewind = read_path(config, "pruning.rewind");
  return settings;
}

DistillationSettings read_distillation(Config& config) {
  DistillationSettings settings;
  settings.teacher = read_path(config, "distillation.teacher");
  config.get("distillation.alpha", settings.alpha, 0, 1);
  config.get("distillation.temperature", settings.temperature, 0.01, 1000);
  if (settings.teacher.empty()) {
    throw Error(ErrorKind::usage, config.name() + ": distillation.teacher: expected a model file");
  }
  return settings;
}

}  // namespace

double floor_of(const PruningSettings& settings, const std::string& layer) {
  std::size_t longest = 0;
  double kept = 0;
  for (const auto& [name, floor] : settings.floors) {
    if (!covers(name, layer) || name.size() < longest) continue;
    longest = name.size();
    kept = floor;
  }
  return kept;
}

CompactSettings read_compact_settings(Config& config, const InteractionNetworkShape& shape) {
  CompactSettings settings;
  if (config.has_section("quantization")) {
    settings.quantization = read_quantization(config);
    sites(*settings.quantization, shape);
  }
  if (config.has_section("pruning")) settings.pruning = read_pruning(config, shape);
  if (config.has_section("distillation")) settings.distillation = read_distillation(config);
  return settings;
}

}  // namespace starling::learn::tracking
