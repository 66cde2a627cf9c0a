#include "learn/tasks/showers/settings.h"

#include <algorithm>
#include <cctype>
#include <numbers>
#include <string>

#include "starling/calorimeter.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn::showers {
namespace {

GravNetShape read_network(Config& config, bool& batch_norm) {
  GravNetShape network;
  network.concat = true;
  network.k = 40;
  config.get("network.hidden", network.hidden, 1, 1024);
  config.get("network.width", network.width, 1, 1024);
  config.get("network.blocks", network.blocks, 1, 64);
  config.get("network.space", network.space, 1, 16);
  config.get("network.propagate", network.propagate, 1, 512);
  config.get("network.k", network.k, 1, 1024);
  config.get("network.factor", network.factor, 0, 1e6);
  config.get("network.subtract", network.subtract);
  config.get("network.concat", network.concat);
  config.get("network.batch_norm", batch_norm);
  return network;
}

ShowerFeatures read_features(Config& config) {
  ShowerFeatures features;
  config.get("features.energy", features.energy, 1e-9, 1e9);
  config.get("features.distance", features.distance, 1e-3, 1e9);
  config.get("features.layer", features.layer, 0, 1e6);
  config.get("features.time", features.time, 0, 1e6);
  return features;
}

ShowerOutputs read_outputs(Config& config) {
  ShowerOutputs outputs;
  bool classes = true;
  outputs.position = 10;
  config.get("outputs.coordinates", outputs.coordinates, 3, kMaxCondensationDimensions);
  config.get("outputs.residual", outputs.residual, 0, 1e6);
  config.get("outputs.scale", outputs.scale);
  config.get("outputs.energy", outputs.energy);
  config.get("outputs.position", outputs.position, 0, 1e6);
  config.get("outputs.classes", classes);
  if (classes) {
    for (const ShowerKind kind : kShowerKinds) outputs.classes.push_back(to_string(kind));
  }
  return outputs;
}

ShowerCuts read_cuts(Config& config) {
  ShowerCuts cuts;
  std::string assign = to_string(cuts.assign);
  config.get("cuts.assign", assign, {"collect", "nearest"});
  cuts.assign = parse_condense_assign(assign);
  config.get("cuts.min_hits", cuts.min_hits, 1, 1'000'000);
  config.get("cuts.min_energy", cuts.min_energy, 0, 1e6);
  return cuts;
}

LossSettings read_loss(Config& config) {
  LossSettings loss;
  config.get("loss.form", loss.form, {"slide", "paper"});
  config.get("loss.q_min", loss.q_min, 1e-3, 10);
  config.get("loss.repulsion", loss.repulsion, 0, 1e6);
  config.get("loss.repulsion_hits", loss.repulsion_hits, 0, 1e9);
  config.get("loss.noise", loss.noise, 0, 1e6);
  config.get("loss.energy", loss.energy, 0, 1e6);
  config.get("loss.class", loss.kind, 0, 1e6);
  config.get("loss.position", loss.position, 0, 1e6);
  return loss;
}

std::vector<SampleSettings> read_samples(Config& config, const ShowerSettings& common) {
  std::vector<SampleSettings> samples;
  const int count = config.table_count("sample");
  for (int i = 0; i < count; ++i) {
    const std::string at = "sample[" + std::to_string(i) + "].";
    SampleSettings sample{.name = std::to_string(i), .showers = common};
    config.get(at + "name", sample.name);
    const auto of_metric = [](char c) { return c == '_' || std::isalnum(static_cast<unsigned char>(c)) != 0; };
    if (sample.name.empty() || !std::all_of(sample.name.begin(), sample.name.end(), of_metric) ||
        std::any_of(samples.begin(), samples.end(), [&](const auto& other) { return other.name == sample.name; })) {
      throw Error(ErrorKind::usage, config.name() + ": " + at + "name = \"" + sample.name +
                                        "\": expected letters, digits and _, and no name twice");
    }
    config.get(at + "share", sample.share, 0, 1e6);
    config.get(at + "showers", sample.showers.showers, 0, 10000);
    config.get(at + "grouped", sample.showers.grouped, 0, 1);
    config.get(at + "separation", sample.showers.separation, 0, 10);
    config.get(at + "pileup", sample.showers.pileup, 0, 10000);
    config.get(at + "max_abs_phi", sample.showers.max_abs_phi, 0.01, std::numbers::pi);
    samples.push_back(sample);
  }
  double shares = 0;
  for (const SampleSettings& sample : samples) shares += sample.share;
  if (!samples.empty() && shares <= 0) {
    throw Error(ErrorKind::usage, config.name() + ": sample[0].share = 0: expected one sample with a share above 0");
  }
  if (samples.empty()) samples.push_back({.name = "showers", .showers = common});
  return samples;
}

}  // namespace

ShowerTrainingSettings read_shower_training(Config& config) {
  ShowerTrainingSettings settings;
  settings.network = read_network(config, settings.batch_norm);
  settings.features = read_features(config);
  settings.outputs = read_outputs(config);
  settings.cuts = read_cuts(config);
  settings.loss = read_loss(config);
  settings.samples = read_samples(config, read_shower_settings(config));
  settings.network.inputs = kShowerFeatures;
  settings.network.outputs = settings.outputs.columns();

  std::string detector = "../detectors/hgcal.toml";
  config.get("showers.detector", detector);
  settings.detector = std::filesystem::path(config.name()).parent_path() / detector;
  config.get("training.seed", settings.seed);
  config.get("training.batch_hits", settings.batch_hits, 1, 100'000'000);
  config.get("training.validation_events", settings.validation_events, 1, 1'000'000);
  return settings;
}

}  // namespace starling::learn::showers
