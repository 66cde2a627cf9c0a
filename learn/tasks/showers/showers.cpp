#include "learn/tasks/showers/showers.h"

#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "learn/train/prefetch.h"
#include "starling/error.h"
#include "starling/shower_metrics.h"

namespace starling::learn::showers {
namespace {

constexpr std::uint64_t kMaxBatchEvents = 256;

// At the start, the first layer looks at the features through these factors: a shower is a hundredth wide where the
// logarithm of an energy varies by one.
constexpr std::array<float, kShowerFeatures> kFirstScale = {1, 10, 10, 2, 2, 1, 1};

// Neighbours are near in direction (the unit vector) at the start: in turns within a layer and along the direction.
const std::vector<learn::GravNetImpl::Coordinate> kFirstCoordinates = {{kUnitVectorFeature, 6, 6},
                                                                       {kUnitVectorFeature + 1, 6, 6},
                                                                       {kUnitVectorFeature + 3, 10, 2},
                                                                       {kUnitVectorFeature + 2, 3, 3}};

// The cuts that a validation tries: all pairs.
constexpr std::array<float, 4> kTriedBeta = {0.2f, 0.4f, 0.6f, 0.8f};
constexpr std::array<float, 6> kTriedReach = {0.25f, 0.35f, 0.5f, 0.65f, 0.8f, 1.f};
constexpr std::size_t kTries = kTriedBeta.size() * kTriedReach.size();

ShowerCuts tried(ShowerCuts cuts, std::size_t i) {
  cuts.t_beta = kTriedBeta[i / kTriedReach.size()];
  cuts.t_d = kTriedReach[i % kTriedReach.size()];
  return cuts;
}

}  // namespace

ShowerTask::ShowerTask(const ShowerTrainingSettings& settings)
    : settings_(settings),
      events_(settings_),
      network_(settings.network, settings.seed, settings.batch_norm),
      cuts_(settings.cuts) {
  {
    const torch::NoGradGuard guard;
    const torch::Tensor factors = torch::tensor(std::vector<float>(kFirstScale.begin(), kFirstScale.end()));
    network_->weights()->split(network_->weights()->flat())["fc1.weight"].mul_(factors);
  }
  // As many of the coordinates as there is room for.
  const int room = std::min(
      {settings.network.space, settings.network.propagate, settings.network.width / 2, settings.network.hidden / 2});
  std::vector<learn::GravNetImpl::Coordinate> start = kFirstCoordinates;
  start.resize(std::min(start.size(), static_cast<std::size_t>(room)));
  network_->start_from(start);
}

void ShowerTask::prepare(const RunContext& run) {
  device_ = run.device;
  type_ = run.type;
  const auto per_sample = static_cast<std::uint64_t>(settings_.validation_events);
  const std::uint64_t count = per_sample * settings_.samples.size();
  Prefetcher<Held> events(
      [&](std::uint64_t i) {
        const auto sample = static_cast<std::size_t>(i / per_sample);
        CalorimeterEvent event = events_.validation(sample, i % per_sample);
        const ShowerBatch batch = to_tensors({make_sample(event, settings_.features)}, device_.is_cuda());
        return Held{sample, std::move(event), batch};
      },
      0, run.workers, run.workers, count);
  for (std::uint64_t i = 0; i < count; ++i) {
    held_out_.push_back(events.next());
    run.stop_if_interrupted("preparing validation");
  }
  double hits = 0;
  for (const Held& held : held_out_) hits += held.event.hits.size();
  char text[100];
  std::snprintf(text, sizeof text, "validation: %zu events, %.0f hits each", held_out_.size(),
                hits / static_cast<double>(held_out_.size()));
  run.monitor.say(text);
}

Batch ShowerTask::make_batch(std::uint64_t number) const {
  std::vector<Sample> samples;
  std::int64_t hits = 0;
  for (std::uint64_t i = 0; i < kMaxBatchEvents && hits < settings_.batch_hits; ++i) {
    samples.push_back(make_sample(events_.training(number * kMaxBatchEvents + i), settings_.features));
    hits += samples.back().num_hits;
  }
  return to_batch(to_tensors(samples, device_.is_cuda()));
}

Batch ShowerTask::augment(const Batch& batch, std::uint64_t draw) const {
  return to_batch(turned(from_batch(batch), draw));
}

torch::Tensor ShowerTask::loss(const Batch& batch) {
  const ShowerBatch events = from_batch(batch);
  if (events.features.size(0) == 0) return {};
  network_->train();
  return loss_of(network_->forward(events.features, events.labels.splits, type_), events);
}

torch::Tensor ShowerTask::loss_of(const torch::Tensor& outputs, const ShowerBatch& events) const {
  return shower_loss(outputs, events.features, events.labels, settings_.outputs, settings_.loss);
}

// The network on all events, then every cut on every event: each pair is a task of its own. The cuts with the largest
// mean F of the samples are kept.
Validation ShowerTask::validate() {
  network_->eval();
  torch::Tensor losses = torch::zeros({}, torch::device(device_));
  std::vector<torch::Tensor> outputs;
  for (const Held& held : held_out_) {
    const ShowerBatch batch = from_batch(to_batch(held.batch).to(device_));
    const torch::Tensor output = network_->forward(batch.features, batch.labels.splits, type_);
    if (held.event.hits.size() > 0) losses += loss_of(output, batch);
    outputs.push_back(output.cpu().contiguous());
  }

  std::vector<ShowerMetrics> judged(kTries * held_out_.size());
  oneapi::tbb::parallel_for(std::size_t{0}, judged.size(), [&](std::size_t i) {
    const Held& held = held_out_[i % held_out_.size()];
    const torch::Tensor& output = outputs[i % held_out_.size()];
    const FoundShowers found = find_showers(
        held.event.hits, std::span(output.const_data_ptr<float>(), static_cast<std::size_t>(output.numel())),
        settings_.outputs, tried(settings_.cuts, i / held_out_.size()));
    judged[i].add(held.event, {found.cluster, found.energy});
  });

  std::vector<std::vector<ShowerMetrics>> metrics(kTries, std::vector<ShowerMetrics>(settings_.samples.size()));
  for (std::size_t i = 0; i < judged.size(); ++i) {
    metrics[i / held_out_.size()][held_out_[i % held_out_.size()].sample] += judged[i];
  }
  const auto mean_f = [](const std::vector<ShowerMetrics>& samples) {
    double sum = 0;
    for (const ShowerMetrics& sample : samples) sum += std::isfinite(sample.f().value) ? sample.f().value : 0;
    return sum / static_cast<double>(samples.size());
  };
  std::vector<double> f;
  for (const std::vector<ShowerMetrics>& samples : metrics) f.push_back(mean_f(samples));
  const auto best = static_cast<std::size_t>(std::max_element(f.begin(), f.end()) - f.begin());
  cuts_ = tried(settings_.cuts, best);

  Validation result;
  result.loss = losses.item<double>() / static_cast<double>(held_out_.size());
  ShowerMetrics all;
  for (std::size_t i = 0; i < settings_.samples.size(); ++i) {
    result.metrics.emplace_back("F_" + settings_.samples[i].name, metrics[best][i].f().value);
    all += metrics[best][i];
  }
  const Spread response = all.response(ShowerRatio::reconstructed_to_generated);
  result.metrics.emplace_back("efficiency", all.efficiency().value());
  result.metrics.emplace_back("fakes", all.fakes().value());
  result.metrics.emplace_back("response", response.median.value);
  result.metrics.emplace_back("resolution", response.resolution.value);
  result.metrics.emplace_back("t_beta", double{cuts_.t_beta});
  result.metrics.emplace_back("t_d", double{cuts_.t_d});
  return result;
}

std::vector<std::string> ShowerTask::shown_metrics() const {
  std::vector<std::string> names;
  for (const SampleSettings& sample : settings_.samples) names.push_back("F_" + sample.name);
  for (const char* const name : {"efficiency", "fakes", "response", "resolution"}) names.emplace_back(name);
  return names;
}

std::string ShowerTask::provenance() const {
  std::size_t hits = 0;
  for (const Held& held : held_out_) hits += static_cast<std::size_t>(held.event.hits.size());
  nlohmann::ordered_json json;
  json["validation_sample"] = {{"events", held_out_.size()}, {"hits", hits}};
  return json.dump();
}

void ShowerTask::save_model(const std::filesystem::path& file, const std::string& provenance) {
  ShowerFinder model;
  model.network = network_->folded();
  model.features = settings_.features;
  model.outputs = settings_.outputs;
  model.cuts = cuts_;
  model.provenance = provenance;
  model.save(file);
}

}  // namespace starling::learn::showers
