#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/metrics.h"
#include "starling/quantized_network.h"
#include "starling/track_finder.h"

namespace starling::cli {

/// Weights of edges in the loss, as of a training (docs/training.md).
struct LossWeights {
  double fake = 0.1, target = 1, other = 0;
};

/// How well a network in codes does, and what it costs.
struct Measured {
  double loss = 0;  ///< mean over the events
  EdgeCounts edges;
  double bops = 0;  ///< per event
};

/// Bits, and the part of the weights that is pruned, of one layer.
struct LayerSetting {
  int bits = 12;  ///< of the weights and of what the layer reads; features that an encoder reads keep 12
  double pruned = 0;
};

/// One layer otherwise than all others, which have 12 bits, the nearest to float that a QuantizedNetwork has.
struct Trial {
  std::string layer;
  LayerSetting setting;
  Measured measured;
  double layer_bops = 0;  ///< of this layer alone, per event
};

/// Graphs of events with truth, and a network in float whose layers are tried on them.
class SensitivityTrials {
 public:
  static constexpr int kMostBits = 12;

  /// Throws ErrorKind::usage for a model in codes, or without events.
  SensitivityTrials(const TrackFinder& finder, const LossWeights& weights);

  /// Builds the graph of an event and labels it. Throws ErrorKind::input for one without truth.
  void add(const Event& event, const TargetCuts& target);
  /// Sets the thresholds from the first `events` events; once, before measure().
  void calibrate(std::size_t events);

  std::size_t events() const { return samples_.size(); }
  /// The layers that run, in the order of the network.
  const std::vector<std::string>& layers() const { return layers_; }
  /// The bits of an MLP's input are set with its first layer, those of what leaves a ReLU with the layer that reads it.
  QuantizedNetwork network(const std::vector<std::pair<std::string, LayerSetting>>& settings) const;
  Measured measure(const QuantizedNetwork& network) const;
  /// Of the network in float.
  Measured measure_float() const;
  Trial measure(const std::string& layer, const LayerSetting& setting) const;
  double bops(const std::vector<LayerCost>& costs) const;  ///< per event
  double bops(const LayerCost& cost) const { return bops(std::vector{cost}); }
  /// Whether a layer reads codes of features, whose bits stay.
  static bool reads_features(const std::string& layer);

 private:
  struct Sample {
    HitGraph graph;
    EdgeTruth truth;
    std::vector<float> labels, weights;  ///< [E]
  };
  Measured measure(const std::shared_ptr<const EdgePlan>& plan, const std::vector<LayerCost>& costs) const;

  InteractionNetwork network_;
  Windows windows_;
  FeatureScales scales_;
  LossWeights weights_;
  std::vector<Sample> samples_;
  std::vector<std::string> layers_;
  LearnedQuantization thresholds_;  ///< of a network of 12 bits
  double nodes_ = 0, edges_ = 0;    ///< of all graphs, as far as the network computes them
};

/// Bits of each layer of lowest cost whose predicted loss stays within `most`: from 12 bits everywhere, steps down are
/// taken in the order of BOPs saved per loss added, as long as one fits. A prediction adds up what each layer alone
/// adds to `base`; a layer that loses nothing alone adds nothing.
struct BitAssignment {
  std::vector<std::pair<std::string, int>> bits;  ///< all layers
  double predicted_loss = 0;
};
/// `trials` without pruning; `full_bops`: those of each layer at 12 bits.
BitAssignment assign_bits(const std::vector<std::pair<std::string, double>>& full_bops,
                          const std::vector<Trial>& trials, double base_loss, double most);

/// As the section [quantization] of a configuration of `starling train`.
std::string to_toml(const BitAssignment& assignment, const InteractionNetworkShape& shape);

}  // namespace starling::cli
