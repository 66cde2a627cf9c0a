#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "starling/hit_graph.h"
#include "starling/interaction_network.h"
#include "starling/metrics.h"
#include "starling/simulate.h"
#include "starling/tracks.h"

namespace starling {
class Config;
}

namespace starling::learn {

/// Everything that a training run depends on; the sections of its configuration (docs/training.md).
struct TrainingSettings {
  InteractionNetworkShape architecture;     ///< [network]
  WindowSettings windows;                   ///< [graph]
  SimulationSettings simulation;            ///< [simulation]
  std::filesystem::path detector;           ///< simulation.detector; relative paths start at the configuration file
  TargetCuts target;                        ///< [target]
  TrackCuts tracks;                         ///< [tracks]: what the model's file will say
  std::filesystem::path output;             ///< the run's folder; relative to the current folder
  std::vector<std::filesystem::path> data;  ///< events, or folders of events; none: simulated on the fly
  std::vector<double> pileup;   ///< simulated events: pile-up uniform in [low, high] instead of simulation.pileup
  double overlap_fraction = 1;  ///< chance that a simulated event keeps its overlap hits
  std::vector<double> subset_volumes;  ///< volume_ids that hits are left in by the chance subset_fraction
  double subset_fraction = 0;
  std::uint64_t seed = 1;  ///< initial weights, order, variations
  int epochs = 100, events_per_epoch = 500, validation_events = 20;
  int reuse = 1, reuse_window = 256;  ///< steps per new graph, drawn from this many latest ones
  double learning_rate = 5e-4, min_learning_rate = 5e-6, decay = 0.9, weight_decay = 0.01;
  int warmup_epochs = 5, decay_epochs = 15;
  bool amsgrad = true, mixed_precision = false;
  float fake_weight = 0.1f, target_weight = 1.f, other_weight = 0.f;
  int threads = 1;  ///< of the step on a CPU; small graphs gain nothing from more
  int workers = 0;  ///< threads that make events and graphs; 0 = all cores but one

  /// The rate of an epoch (counted from 0): linear warm-up, step decay, floor (definitions, section 2).
  double rate(int epoch) const;
};

/// Reads every section. Relative detector paths start at the folder of the configuration. Throws ErrorKind::usage.
TrainingSettings read_training_settings(Config& config);

}  // namespace starling::learn
