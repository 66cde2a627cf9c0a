#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "learn/tasks/tracking/compact_settings.h"
#include "starling/hit_graph.h"
#include "starling/interaction_network.h"
#include "starling/metrics.h"
#include "starling/simulate.h"
#include "starling/tracks.h"

namespace starling {
class Config;
}

namespace starling::learn::tracking {

/// What training a tracker depends on beside the trainer's own settings; the sections of its configuration
/// (docs/training.md).
struct TrackingSettings {
  InteractionNetworkShape network;          ///< [network]; of a run that begins with a model, the model's
  CompactSettings compact;                  ///< [quantization], [pruning], [distillation]
  std::filesystem::path from;               ///< training.from: a model or a run's folder to begin with; or empty
  WindowSettings windows;                   ///< [graph]
  SimulationSettings simulation;            ///< [simulation]
  std::filesystem::path detector;           ///< simulation.detector; relative paths start at the configuration file
  TargetCuts target;                        ///< [target]
  TrackCuts tracks;                         ///< [tracks]: what the model's file will say
  std::vector<std::filesystem::path> data;  ///< events, or folders of events; none: simulated on the fly
  int events = 0;  ///< distinct events to train on: these come again and again; 0: simulated without end, or all files
  int validation_events = 20;
  bool keep_isolated = false;   ///< nodes without edges stay in the graphs: a teacher's normalisation counts them
  std::vector<double> pileup;   ///< simulated events: pile-up uniform in [low, high] instead of simulation.pileup
  double overlap_fraction = 1;  ///< chance that a simulated event keeps its overlap hits
  std::vector<double> subset_volumes;  ///< volume_ids that hits are left in by the chance subset_fraction
  double subset_fraction = 0;
  std::uint64_t seed = 1;                                             ///< initial weights, order, variations
  float fake_weight = 0.1f, target_weight = 1.f, other_weight = 0.f;  ///< of edges, in the loss
};

/// Reads every section. Throws ErrorKind::usage.
TrackingSettings read_tracking_settings(Config& config);

}  // namespace starling::learn::tracking
