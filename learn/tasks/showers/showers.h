#pragma once

#include <string>
#include <vector>

#include "learn/nn/gravnet.h"
#include "learn/tasks/showers/batch.h"
#include "learn/tasks/showers/events.h"
#include "learn/tasks/showers/settings.h"
#include "learn/train/task.h"

namespace starling::learn::showers {

/// Learns to cluster calorimeter hits into showers: a GravNet network with the loss of object condensation, on events
/// simulated on the fly. One batch is several events, its augmentation turns and mirrors them. Validation tries several
/// cuts and keeps the best ones, which the model's file then has.
class ShowerTask : public Task {
 public:
  explicit ShowerTask(const ShowerTrainingSettings& settings);

  torch::nn::Module& network() override { return *network_; }
  void prepare(const RunContext& run) override;
  void start_step() override { network_->start_step(); }
  Batch make_batch(std::uint64_t number) const override;
  Batch augment(const Batch& batch, std::uint64_t draw) const override;
  torch::Tensor loss(const Batch& batch) override;
  Validation validate() override;
  std::vector<std::string> shown_metrics() const override;
  std::string provenance() const override;
  void save_model(const std::filesystem::path& file, const std::string& provenance) override;

 private:
  struct Held {
    std::uint64_t number = 0;  ///< sample times validation_events, plus the event's number in it
    CalorimeterEvent event;
    ShowerBatch batch;
  };

  torch::Tensor loss_of(const torch::Tensor& outputs, const ShowerBatch& events) const;

  ShowerTrainingSettings settings_;
  Events events_;
  learn::GravNet network_;
  ShowerCuts cuts_;  ///< the best of the last validation
  torch::Device device_ = torch::kCPU;
  torch::ScalarType type_ = torch::kFloat;
  Group* group_ = nullptr;
  std::vector<Held> held_out_;                    ///< by this process: every world-th number, from its rank on
  std::int64_t held_events_ = 0, held_hits_ = 0;  ///< by all
};

}  // namespace starling::learn::showers
