#include "learn/tasks/showers/showers.h"

#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>

#include "learn/tasks/showers/metrics_bytes.h"
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
  group_ = &run.group;
  const auto rank = static_cast<std::uint64_t>(run.group.rank()), world = static_cast<std::uint64_t>(run.group.world());
  const auto per_sample = static_cast<std::uint64_t>(settings_.validation_events);
  const std::uint64_t count = per_sample * settings_.samples.size();
  const std::uint64_t own = count > rank ? (count - rank + world - 1) / world : 0;
  Prefetcher<Held> events(
      [&](std::uint64_t i) {
        const std::uint64_t number = rank + i * world;
        CalorimeterEvent event = events_.validation(static_cast<std::size_t>(number / per_sample), number % per_sample);
        const ShowerBatch batch = to_tensors({make_sample(event, settings_.features)}, device_.is_cuda());
        return Held{number, std::move(event), batch};
      },
      0, run.workers, run.workers, own);
  std::array<std::int64_t, 2> sizes = {};
  for (std::uint64_t i = 0; i < own; ++i) {
    held_out_.push_back(events.next());
    ++sizes[0];
    sizes[1] += held_out_.back().event.hits.size();
    run.stop_if_interrupted("preparing validation");
  }
  run.group.sum(sizes);
  held_events_ = sizes[0];
  held_hits_ = sizes[1];
  char text[100];
  std::snprintf(text, sizeof text, "validation: %d events, %.0f hits each", static_cast<int>(held_events_),
                static_cast<double>(held_hits_) / static_cast<double>(held_events_));
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

// The network on all events that this process holds, then every cut on each of them: each pair is a task of its own.
// All processes then have the metrics of all, in the order of the events, and keep the cuts with the largest mean F of
// the samples.
Validation ShowerTask::validate() {
  network_->eval();
  std::vector<double> losses(static_cast<std::size_t>(held_events_), 0.);
  std::vector<torch::Tensor> outputs;
  for (const Held& held : held_out_) {
    const ShowerBatch batch = from_batch(to_batch(held.batch).to(device_));
    const torch::Tensor output = network_->forward(batch.features, batch.labels.splits, type_);
    if (held.event.hits.size() > 0) losses[held.number] = loss_of(output, batch).item<double>();
    outputs.push_back(output.cpu().contiguous());
  }
  group_->sum(losses);

  std::vector<ShowerMetrics> judged(kTries * held_out_.size());  // of each event, all tries
  oneapi::tbb::parallel_for(std::size_t{0}, judged.size(), [&](std::size_t i) {
    const Held& held = held_out_[i / kTries];
    const torch::Tensor& output = outputs[i / kTries];
    const FoundShowers found = find_showers(
        held.event.hits, std::span(output.const_data_ptr<float>(), static_cast<std::size_t>(output.numel())),
        settings_.outputs, tried(settings_.cuts, i % kTries));
    judged[i].add(held.event, {found.cluster, found.energy});
  });

  std::vector<std::vector<ShowerMetrics>> of_process;
  for (const std::string& bytes : group_->gather(to_bytes(judged))) of_process.push_back(from_bytes(bytes));
  std::vector<std::vector<ShowerMetrics>> metrics(kTries, std::vector<ShowerMetrics>(settings_.samples.size()));
  for (std::size_t number = 0; number < losses.size(); ++number) {
    const std::vector<ShowerMetrics>& from = of_process[number % of_process.size()];
    const std::size_t event = number / of_process.size(),
                      sample = number / static_cast<std::size_t>(settings_.validation_events);
    for (std::size_t i = 0; i < kTries; ++i) metrics[i][sample] += from[event * kTries + i];
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
  result.loss = std::accumulate(losses.begin(), losses.end(), 0.) / static_cast<double>(losses.size());
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
  nlohmann::ordered_json json;
  json["validation_sample"] = {{"events", held_events_}, {"hits", held_hits_}};
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
