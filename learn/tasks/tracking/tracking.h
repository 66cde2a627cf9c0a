#pragma once

#include <memory>
#include <string>
#include <vector>

#include "learn/tasks/tracking/events.h"
#include "learn/tasks/tracking/labelled_graph.h"
#include "learn/tasks/tracking/network.h"
#include "learn/tasks/tracking/settings.h"
#include "learn/train/kept_batches.h"
#include "learn/train/task.h"

namespace starling::learn::tracking {

/// Learns to score the edges of hit graphs: windows first, then an interaction network with a weighted cross-entropy.
/// One batch is the graph of one event, its augmentation turns and mirrors the event.
///
/// The network is in float or trained with fake quantisation; it may begin with a model, have pruned weights, and learn
/// from a teacher (CompactSettings). A run that begins with a model takes the model's windows.
class TrackingTask : public Task {
 public:
  /// Finds the events and reads the models. `configuration` is the resolved one: what the windows are kept for. `kept`
  /// holds the graphs of events that come again.
  TrackingTask(const TrackingSettings& settings, std::string configuration, std::shared_ptr<KeptBatches> kept);

  torch::nn::Module& network() override { return network_->module(); }
  /// Refuses a windows.safetensors that find_windows did not write, or that is damaged.
  void check_folder(const std::filesystem::path& folder) const override;
  /// Learns the windows, or takes them from the run's folder where all that they depend on is the same.
  void prepare(const RunContext& run) override;
  Batch make_batch(std::uint64_t number) const override;
  Batch augment(const Batch& batch, std::uint64_t draw) const override;
  void start_step() override { network_->start_step(); }
  torch::Tensor loss(const Batch& batch) override;
  Validation validate() override;
  /// Of the tracks that the cuts make of the events held out.
  Metrics final_metrics() override;
  std::vector<std::string> shown_metrics() const override;
  std::string provenance() const override;
  void save_model(const std::filesystem::path& file, const std::string& provenance) override;

 private:
  struct Held {
    std::uint64_t number;  ///< of the event
    LabelledGraph graph;
    EdgeTruth truth;
    GraphCounts counts;
    std::vector<std::string> skipped_cuts;
  };

  void make_network();
  torch::Tensor teacher_logits(const GraphTensors& graph);
  std::string window_key() const;
  std::string graph_key() const;
  void share_windows(const RunContext& run);
  void find_windows(const RunContext& run);
  void hold_out(const RunContext& run);

  TrackingSettings settings_;
  std::string configuration_;
  std::shared_ptr<KeptBatches> kept_;
  Events events_;
  FeatureScales scales_;
  Windows windows_;
  std::unique_ptr<EdgeNetwork> network_, teacher_;
  torch::Device device_ = torch::kCPU;
  torch::ScalarType type_ = torch::kFloat;
  int workers_ = 1;
  Group* group_ = nullptr;
  std::vector<Held> held_out_;  ///< by this process
  GraphCounts counts_;          ///< of the events held out by all
  std::int64_t nodes_ = 0;      ///< of their graphs, as the network gets them
};

}  // namespace starling::learn::tracking
