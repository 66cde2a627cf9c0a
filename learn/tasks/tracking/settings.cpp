#include "learn/tasks/tracking/settings.h"

#include "learn/tasks/tracking/start.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn::tracking {
namespace {

InteractionNetworkShape read_network(Config& config, InteractionNetworkShape network) {
  std::string norm = to_string(network.norm);
  config.get("network.hidden", network.hidden, 1, 1024);
  config.get("network.steps", network.steps, 1, 64);
  config.get("network.recurrent", network.recurrent);
  config.get("network.norm", norm, {"layer", "batch", "none"});
  config.get("network.bias", network.bias);
  config.get("network.concat", network.concat);
  network.norm = parse_norm(norm);
  return network;
}

}  // namespace

TrackingSettings read_tracking_settings(Config& config) {
  TrackingSettings settings;
  std::string from;
  config.get("training.from", from);
  if (from.empty()) {
    settings.network = read_network(config, {});
  } else {
    settings.from = std::filesystem::path(config.name()).parent_path() / from;
    const InteractionNetworkShape shape = read_shape(settings.from);
    settings.network = read_network(config, shape);
    if (!(settings.network == shape)) {
      throw Error(ErrorKind::usage, config.name() + ": [network] is " + to_json(settings.network) +
                                        ": expected that of training.from, " + to_json(shape));
    }
  }
  settings.compact = read_compact_settings(config, settings.network);
  settings.windows = read_window_settings(config);
  settings.simulation = read_simulation_settings(config);
  settings.target = read_target_cuts(config);
  settings.tracks = read_track_cuts(config);

  std::string detector = "../detectors/trackml.toml";
  config.get("simulation.detector", detector);
  settings.detector = std::filesystem::path(config.name()).parent_path() / detector;

  std::vector<std::string> data;
  config.get("training.data", data);
  settings.data.assign(data.begin(), data.end());
  config.get("training.pileup", settings.pileup, 0, 1e4);
  if (!settings.pileup.empty() && (settings.pileup.size() != 2 || settings.pileup[0] > settings.pileup[1])) {
    throw Error(ErrorKind::usage, config.name() + ": training.pileup: expected [lowest, highest]");
  }
  config.get("training.overlap_fraction", settings.overlap_fraction, 0, 1);
  config.get("training.subset_volumes", settings.subset_volumes, 0, 1e6);
  config.get("training.subset_fraction", settings.subset_fraction, 0, 1);
  if (settings.subset_fraction > 0 && settings.subset_volumes.empty()) {
    throw Error(ErrorKind::usage,
                config.name() + ": training.subset_fraction: expected training.subset_volumes, a list of volume_ids");
  }
  config.get("training.seed", settings.seed);
  config.get("training.events", settings.events, 0, 1'000'000);
  config.get("training.validation_events", settings.validation_events, 1, 1'000'000'000);
  config.get("training.fake_weight", settings.fake_weight, 0, 1e6);
  config.get("training.target_weight", settings.target_weight, 0, 1e6);
  config.get("training.other_weight", settings.other_weight, 0, 1e6);
  return settings;
}

}  // namespace starling::learn::tracking
