#include "learn/tasks/tracking/tracking.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "files/files.h"
#include "learn/tasks/tracking/distillation.h"
#include "learn/train/prefetch.h"
#include "starling/config.h"
#include "starling/error.h"
#include "starling/track_finder.h"

namespace starling::learn::tracking {
namespace {

nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

// The size of a part of an event and the 64-bit FNV-1a hash of its bytes, "120:cbf29ce484222325"; "-" where it is
// absent.
std::string fingerprint(const std::filesystem::path& event, const char* end) {
  const auto file = files::find(event.string() + end);
  if (!file) return "-";
  const files::Bytes content = files::read(*file);
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char byte : content.text()) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  char text[48];
  std::snprintf(text, sizeof text, "%zu:%016llx", content.size(), static_cast<unsigned long long>(hash));
  return text;
}

constexpr const char* kWindowsFile = "windows.safetensors";
constexpr const char* kLearnedFrom = "learned_from";  // metadata: the key that the windows are kept under

}  // namespace

TrackingTask::TrackingTask(const TrackingSettings& settings, std::string configuration,
                           std::shared_ptr<KeptBatches> kept)
    : settings_(settings), configuration_(std::move(configuration)), kept_(std::move(kept)), events_(settings_) {
  make_network();
}

// Everything here is a function of the configuration and of the models that it names: a run that goes on makes the same
// and then fills it with what it saved.
void TrackingTask::make_network() {
  const CompactSettings& compact = settings_.compact;
  std::optional<Start> start;
  if (!settings_.from.empty()) {
    start = read_start(settings_.from);
    windows_ = start->finder.windows;
    scales_ = start->finder.scales;
  }
  const bool masked = compact.pruning || (start && !start->kept.empty());
  const auto quantization = start && !compact.quantization ? bits_of(*start) : compact.quantization;
  network_ = std::make_unique<EdgeNetwork>(settings_.network, quantization, settings_.seed, masked);
  if (start) network_->begin_with(*start);
  if (masked)
    prune(*network_, settings_.network, compact.pruning.value_or(PruningSettings{}), start ? &*start : nullptr);
  if (compact.pruning && !compact.pruning->rewind.empty()) {
    const Start rewind = read_start(compact.pruning->rewind);
    if (!(rewind.network.shape == settings_.network)) {
      throw Error(ErrorKind::usage, "pruning.rewind = " + compact.pruning->rewind.string() + ": has the network " +
                                        to_json(rewind.network.shape) + ": expected " + to_json(settings_.network));
    }
    network_->begin_with(rewind);
  }
  if (!compact.distillation) return;
  const Start teacher = read_start(compact.distillation->teacher);
  const auto scales = [](const FeatureScales& all) { return std::array{all.r, all.phi, all.z, all.eta}; };
  if (!start) scales_ = teacher.finder.scales;
  if (scales(teacher.finder.scales) != scales(scales_)) {
    throw Error(ErrorKind::usage, "distillation.teacher = " + compact.distillation->teacher.string() +
                                      ": its features have other scales: expected those of training.from");
  }
  if (!start) windows_ = teacher.finder.windows;
  teacher_ = std::make_unique<EdgeNetwork>(teacher);
  settings_.keep_isolated = teacher.network.shape.norm == Norm::batch;
}

void TrackingTask::check_folder(const std::filesystem::path& folder) const {
  const std::filesystem::path file = folder / kWindowsFile;
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::symlink_status(file, ignored))) return;
  const char* const instead = "; choose another training.output";
  TensorFile kept;
  try {
    kept = read_safetensors(file);
    if (kept.metadata.contains(kLearnedFrom)) Windows::from_file(kept);
  } catch (const Error& error) {
    throw Error(ErrorKind::usage, error.what() + std::string(instead));
  }
  if (!kept.metadata.contains(kLearnedFrom)) {
    throw Error(ErrorKind::usage, file.string() + ": is there and is not of an earlier run" + instead);
  }
}

void TrackingTask::prepare(const RunContext& run) {
  device_ = run.device;
  type_ = run.type;
  workers_ = run.workers;
  group_ = &run.group;
  if (teacher_) {
    teacher_->module().to(device_);
    const std::int64_t own = parameter_count(settings_.network), others = parameter_count(teacher_->shape());
    if (own > others) {
      run.monitor.say("the student is wider than its teacher: " + std::to_string(own) + " parameters, " +
                      std::to_string(others));
    }
  }
  if (!settings_.from.empty()) {
    run.monitor.say("windows: those of " + settings_.from.string());
  } else if (teacher_) {
    run.monitor.say("windows: those of " + settings_.compact.distillation->teacher.string());
  } else {
    share_windows(run);
  }
  kept_->made_of(graph_key(), KeptBatches::eighth_of_memory() / static_cast<std::size_t>(run.group.local_world()));
  hold_out(run);
}

// All that the windows depend on, so that they are learned anew only where one of these changes. Of events given as
// files, their content is among them, and those held out are not.
std::string TrackingTask::window_key() const {
  std::string key = select_keys(configuration_, [&](std::string_view name) {
    return name.starts_with("graph.") || (settings_.data.empty() && name.starts_with("simulation."));
  });
  if (settings_.data.empty()) return key + std::string(files::read(settings_.detector).text());
  for (const std::filesystem::path& event : events_.window_files()) {
    key += event.string();
    for (const char* const end : {"-hits.csv", "-truth.csv", "-particles.csv"}) key += ' ' + fingerprint(event, end);
    key += '\n';
  }
  return key;
}

// The first process finds the windows; the others take what it has in its file.
void TrackingTask::share_windows(const RunContext& run) {
  std::string bytes;
  if (run.group.first()) {
    find_windows(run);
    if (!run.group.alone()) bytes = files::read(run.folder / kWindowsFile).text();
  }
  bytes = run.group.gather(bytes)[0];
  if (run.group.first()) return;
  windows_ = Windows::from_file(
      parse_safetensors(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), kWindowsFile));
}

void TrackingTask::find_windows(const RunContext& run) {
  const std::filesystem::path file = run.folder / kWindowsFile;
  const std::string key = window_key();
  if (std::filesystem::exists(file)) {
    const TensorFile kept = read_safetensors(file);
    const auto found = kept.metadata.find(kLearnedFrom);
    if (found != kept.metadata.end() && found->second == key) {
      windows_ = Windows::from_file(kept);
      return;
    }
  }
  const auto start = std::chrono::steady_clock::now();
  windows_ = learn_windows([this](std::uint64_t i) { return events_.window(i); }, settings_.windows,
                           [&run](double fraction) {
                             run.stop_if_interrupted("learning windows");
                             if (run.monitor.due()) run.monitor.show(fraction, "learning windows");
                           });
  TensorFile content;
  windows_.to_file(content);
  content.metadata[kLearnedFrom] = key;
  write_safetensors(file, content);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  run.monitor.say("windows: " + std::to_string(windows_.layer_pairs()) + " layer pairs, " +
                  std::to_string(windows_.layer_triples()) + " triples, learned in " + duration(seconds.count()));
}

// Of the events held out, those whose number is this process's rank modulo their number.
void TrackingTask::hold_out(const RunContext& run) {
  const auto rank = static_cast<std::uint64_t>(run.group.rank()), world = static_cast<std::uint64_t>(run.group.world());
  const auto events = static_cast<std::uint64_t>(settings_.validation_events);
  const std::uint64_t own = events > rank ? (events - rank + world - 1) / world : 0;
  Prefetcher<Held> graphs(
      [&, this](std::uint64_t i) {
        const std::uint64_t number = rank + i * world;
        Sample sample = make_sample(events_.validation(number), windows_, scales_, settings_, /*counted=*/true);
        return Held{number, to_tensors(sample, device_.is_cuda()), std::move(sample.truth), sample.counts,
                    std::move(sample.skipped_cuts)};
      },
      0, run.workers, std::max(1, static_cast<int>(own)), own);
  std::set<std::string> said;
  for (std::uint64_t i = 0; i < own; ++i) {
    held_out_.push_back(graphs.next());
    counts_ += held_out_.back().counts;
    nodes_ += held_out_.back().graph.graph.nodes.size(0);
    for (const std::string& cut : held_out_.back().skipped_cuts) {
      if (said.insert(cut).second) run.monitor.say("target cut skipped: " + cut);
    }
    run.stop_if_interrupted("preparing validation");
  }
  std::array<std::int64_t, 8> counts = {counts_.segments.passed,
                                        counts_.segments.total,
                                        counts_.prompt_segments.passed,
                                        counts_.prompt_segments.total,
                                        counts_.purity.passed,
                                        counts_.purity.total,
                                        counts_.edges,
                                        nodes_};
  run.group.sum(counts);
  counts_ = {{counts[0], counts[1]}, {counts[2], counts[3]}, {counts[4], counts[5]}, counts[6]};
  nodes_ = counts[7];
  char text[200];
  std::snprintf(text, sizeof text, "validation: %d events, %.0f edges each, %.2f %% of true segments, purity %.1f %%",
                settings_.validation_events, static_cast<double>(counts_.edges) / settings_.validation_events,
                100 * counts_.segments.value(), 100 * counts_.purity.value());
  run.monitor.say(text);
}

// All that the graphs to train on depend on, beside the files that the settings name.
std::string TrackingTask::graph_key() const {
  std::string key = select_keys(configuration_, [](std::string_view name) {
    for (const char* const start : {"simulation.", "target.", "training.data", "training.fake_weight",
                                    "training.other_weight", "training.overlap_fraction", "training.pileup",
                                    "training.seed", "training.subset_", "training.target_weight"}) {
      if (name.starts_with(start)) return true;
    }
    return false;
  });
  for (const float scale : {scales_.r, scales_.phi, scales_.z, scales_.eta}) key += std::to_string(scale) + ' ';
  key += keeps_isolated(settings_) ? '1' : '0';
  key += device_.is_cuda() ? '1' : '0';  // pinned memory
  TensorFile windows;
  windows_.to_file(windows);
  for (const auto& [name, tensor] : windows.tensors) {
    key += name + ' ' + std::to_string(tensor.bytes.size()) + ' ';
    key.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  }
  return key;
}

Batch TrackingTask::make_batch(std::uint64_t number) const {
  const std::uint64_t event = events_.in_sequence(number);
  const auto make = [&] {
    return to_batch(to_tensors(make_sample(events_.training(event), windows_, scales_, settings_), device_.is_cuda()));
  };
  return events_.come_again() ? kept_->get(event, make) : make();
}

Batch TrackingTask::augment(const Batch& batch, std::uint64_t draw) const {
  return to_batch(turned(from_batch(batch), draw, scales_));
}

torch::Tensor TrackingTask::teacher_logits(const GraphTensors& graph) {
  const torch::NoGradGuard guard;
  return teacher_->logits(graph, type_);
}

torch::Tensor TrackingTask::loss(const Batch& batch) {
  const LabelledGraph graph = from_batch(batch);
  if (graph.labels.size(0) == 0) return {};  // an event without edges teaches nothing
  network_->module().train();
  const torch::Tensor logits = network_->logits(graph.graph, type_);
  const torch::Tensor loss = edge_loss(logits, graph.labels, graph.weights);
  if (!teacher_) return loss;
  const DistillationSettings& distillation = *settings_.compact.distillation;
  return distilled_loss(loss, logits, teacher_logits(graph.graph), distillation.alpha, distillation.temperature);
}

// Each process judges the events that it holds; counts add up, and losses are added in the order of the events.
Validation TrackingTask::validate() {
  network_->module().eval();
  EdgeCounts edges;
  std::vector<double> losses(static_cast<std::size_t>(settings_.validation_events), 0.);
  for (const Held& held : held_out_) {
    const LabelledGraph graph = from_batch(to_batch(held.graph).to(device_));
    const torch::Tensor logits = network_->logits(graph.graph, type_);
    if (logits.size(0) == 0) continue;
    losses[held.number] = edge_loss(logits, graph.labels, graph.weights).item<double>();
    const torch::Tensor scores = torch::sigmoid(logits).cpu().contiguous();
    edges += count_edges(held.truth, {scores.const_data_ptr<float>(), static_cast<std::size_t>(scores.numel())}, 0.5f);
  }
  group_->sum(losses);
  std::array<std::int64_t, 4> counts = {edges.target, edges.predicted, edges.predicted_target,
                                        edges.predicted_same_particle};
  group_->sum(counts);
  edges = {counts[0], counts[1], counts[2], counts[3]};
  return {std::accumulate(losses.begin(), losses.end(), 0.) / settings_.validation_events,
          {{"efficiency", edges.efficiency().value()},
           {"target_purity", edges.target_purity().value()},
           {"total_purity", edges.total_purity().value()},
           {"masked_purity", edges.masked_purity().value()},
           {"target_edges", edges.target},
           {"predicted_edges", edges.predicted}}};
}

// Events and graphs are made anew: kept through the training, they would take far more memory than what the loss needs.
Metrics TrackingTask::final_metrics() {
  struct Made {
    Event event;
    HitGraph graph;
  };
  Prefetcher<Made> events(
      [this](std::uint64_t i) {
        Event event = events_.validation(held_out_[i].number);
        HitGraph graph = build_hit_graph(event.hits, windows_, scales_);
        return Made{std::move(event), std::move(graph)};
      },
      0, workers_, 2 * workers_, held_out_.size());
  TrackCounts counts;
  for (const Held& held : held_out_) {
    const Made made = events.next();
    const LabelledGraph graph = from_batch(to_batch(held.graph).to(device_));
    const torch::Tensor scores = torch::sigmoid(network_->logits(graph.graph, type_)).cpu().contiguous();
    const Tracks tracks = build_tracks(
        made.graph, {scores.const_data_ptr<float>(), static_cast<std::size_t>(scores.numel())}, settings_.tracks);
    const TruthTable truth = truth_table(made.event, settings_.target);
    counts += count_tracks(made.event, truth, tracks, match_tracks(truth, tracks));
  }
  std::array<std::int64_t, 4> sums = {counts.efficiency.passed, counts.efficiency.total, counts.fakes.passed,
                                      counts.fakes.total};
  group_->sum(sums);
  return {{"track_efficiency", Ratio{sums[0], sums[1]}.value()}, {"track_fakes", Ratio{sums[2], sums[3]}.value()}};
}

std::vector<std::string> TrackingTask::shown_metrics() const { return {"efficiency", "target_purity", "total_purity"}; }

std::string TrackingTask::provenance() const {
  nlohmann::ordered_json json;
  json["validation_graph"] = {{"events", settings_.validation_events},
                              {"nodes", nodes_},
                              {"edges", counts_.edges},
                              {"segment_efficiency", number(counts_.segments.value())},
                              {"prompt_segment_efficiency", number(counts_.prompt_segments.value())},
                              {"purity", number(counts_.purity.value())}};
  return json.dump();
}

void TrackingTask::save_model(const std::filesystem::path& file, const std::string& provenance) {
  TrackFinder model;
  model.network = network_->network();
  model.windows = windows_;
  model.scales = scales_;
  model.cuts = settings_.tracks;
  model.provenance = provenance;
  model.save(file);
}

}  // namespace starling::learn::tracking
