#include "learn/train/train.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <set>
#include <thread>
#include <utility>

#include "files/files.h"
#include "learn/nn/interaction_network.h"
#include "learn/train/adamw.h"
#include "learn/train/checkpoint.h"
#include "learn/train/events.h"
#include "learn/train/graph_stream.h"
#include "learn/train/record.h"
#include "starling/config.h"
#include "starling/error.h"
#include "starling/track_finder.h"

namespace starling::learn {
namespace {

using Clock = std::chrono::steady_clock;

// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration(double seconds) {
  const auto whole = static_cast<long>(std::min(std::max(seconds, 0.0), 1e9));
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
  } else if (whole >= 60) {
    std::snprintf(text, sizeof text, "%ld min %02ld s", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld s", whole);
  }
  return text;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

torch::Device find_device(Device device) {
  if (device == Device::cpu) return torch::kCPU;
  if (!torch::cuda::is_available()) throw Error(ErrorKind::device, "--device cuda: LibTorch finds no CUDA device here");
  return torch::kCUDA;
}

// A run of one configuration, from windows to model.
class Run {
 public:
  explicit Run(const TrainingRequest& request);
  void go();

 private:
  struct ValidationGraph {
    LabelledGraph graph;
    EdgeTruth truth;
    GraphCounts counts;
    std::vector<std::string> skipped_cuts;
  };

  std::filesystem::path file(const char* name) const { return settings_.output / name; }
  void prepare_folder() const;
  void find_windows();
  std::string window_key() const;
  void load_validation();
  template <class Make>
  auto worker(Make make) const;
  void train_epoch(GraphStream& stream, AdamW& optimiser);
  void train_step(const LabelledGraph& graph, AdamW& optimiser, double rate);
  void validate();
  void finish_epoch(AdamW& optimiser);
  void report(std::uint64_t steps_done);
  void save(AdamW& optimiser);
  void save_model() const;
  [[noreturn]] void stop(AdamW& optimiser);

  Config config_;
  TrainingSettings settings_;
  bool resume_;
  Monitor& monitor_;
  std::string configuration_;
  torch::Device device_;
  torch::ScalarType type_;
  int workers_;
  Events events_;
  FeatureScales scales_;
  Windows windows_;
  InteractionNetwork network_{nullptr};
  std::vector<ValidationGraph> validation_;
  GraphCounts validation_counts_;
  EpochRecord record_;
  Progress progress_;
  torch::Tensor loss_sum_;
  Clock::time_point start_;
  double seconds_before_ = 0;
  std::uint64_t steps_before_ = 0;
};

Config load_config(const TrainingRequest& request) {
  Config config = Config::load(request.configuration);
  for (const std::string& assignment : request.assignments) config.set(assignment);
  return config;
}

TrainingSettings read_settings(Config& config) {
  TrainingSettings settings = read_training_settings(config);
  config.finish();
  return settings;
}

Run::Run(const TrainingRequest& request)
    : config_(load_config(request)),
      settings_(read_settings(config_)),
      resume_(request.resume),
      monitor_(*request.monitor),
      configuration_(config_.resolved()),
      device_(find_device(request.device)),
      type_(settings_.mixed_precision && device_.is_cuda() ? torch::kBFloat16 : torch::kFloat),
      events_(settings_) {
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  workers_ = settings_.workers > 0 ? settings_.workers : std::max(1, cores - 1);
  at::set_num_threads(device_.is_cuda() ? 1 : settings_.threads);
  if (settings_.mixed_precision && !device_.is_cuda())
    monitor_.say("training.mixed_precision: only on a GPU; using float");
}

void Run::prepare_folder() const {
  files::make_folder(settings_.output);
  if (!resume_ && std::filesystem::exists(file("checkpoint.safetensors"))) {
    throw Error(ErrorKind::usage,
                file("checkpoint.safetensors").string() +
                    ": a run is here already; go on with --resume, or choose another training.output");
  }
  files::write(file("config.toml"), configuration_);
}

// All that the windows depend on, so that they are learned anew only where one of these changes.
std::string Run::window_key() const {
  std::string key;
  bool kept = false;
  std::size_t from = 0;
  while (from < configuration_.size()) {
    const std::size_t end = std::min(configuration_.find('\n', from), configuration_.size());
    const std::string text = configuration_.substr(from, end - from);
    from = end + 1;
    if (text.starts_with('[')) kept = text == "[graph]" || text == "[simulation]";
    if (kept || text.starts_with("data = ")) key += text + '\n';
  }
  return settings_.data.empty() ? key + std::string(files::read(settings_.detector).text()) : key;
}

void Run::find_windows() {
  const std::string key = window_key();
  if (std::filesystem::exists(file("windows.safetensors"))) {
    const TensorFile cached = read_safetensors(file("windows.safetensors"));
    const auto found = cached.metadata.find("learned_from");
    if (found != cached.metadata.end() && found->second == key) {
      windows_ = Windows::from_file(cached);
      return;
    }
  }
  const Clock::time_point start = Clock::now();
  windows_ = learn_windows([this](std::uint64_t i) { return events_.window(i); }, settings_.windows,
                           [this](double fraction) {
                             if (monitor_.interrupted())
                               throw Error(ErrorKind::interrupted, "stopped while learning windows");
                             if (monitor_.due()) monitor_.show(fraction, "learning windows");
                           });
  TensorFile content;
  windows_.to_file(content);
  content.metadata["learned_from"] = key;
  write_safetensors(file("windows.safetensors"), content);
  monitor_.say("windows: " + std::to_string(windows_.layer_pairs()) + " layer pairs, " +
               std::to_string(windows_.layer_triples()) + " triples, learned in " + duration(seconds_since(start)));
}

// Workers are the parallelism: inside one, an event is made by one thread.
template <class Make>
auto Run::worker(Make make) const {
  return [make](std::uint64_t number) {
    thread_local tbb::task_arena arena(1);
    return arena.execute([&] { return make(number); });
  };
}

void Run::load_validation() {
  Prefetcher<ValidationGraph> graphs(
      worker([this](std::uint64_t i) {
        Sample sample = make_sample(events_.validation(i), windows_, scales_, settings_);
        return ValidationGraph{to_tensors(sample, device_.is_cuda()), std::move(sample.truth), sample.counts,
                               std::move(sample.skipped_cuts)};
      }),
      0, workers_, settings_.validation_events, static_cast<std::uint64_t>(settings_.validation_events));
  std::set<std::string> said;
  for (int i = 0; i < settings_.validation_events; ++i) {
    validation_.push_back(graphs.next());
    validation_counts_ += validation_.back().counts;
    for (const std::string& cut : validation_.back().skipped_cuts) {
      if (said.insert(cut).second) monitor_.say("target cut skipped: " + cut);
    }
    if (monitor_.interrupted()) throw Error(ErrorKind::interrupted, "stopped while preparing validation");
  }
  char text[200];
  std::snprintf(text, sizeof text, "validation: %d events, %.0f edges each, %.2f %% of true segments, purity %.1f %%",
                settings_.validation_events,
                static_cast<double>(validation_counts_.edges) / settings_.validation_events,
                100 * validation_counts_.segments.value(), 100 * validation_counts_.purity.value());
  monitor_.say(text);
}

void Run::train_step(const LabelledGraph& graph, AdamW& optimiser, double rate) {
  if (graph.labels.size(0) == 0) return;  // an event without edges teaches nothing
  network_->flat().mutable_grad().reset();
  const torch::Tensor loss = edge_loss(network_->forward(graph.graph, type_), graph.labels, graph.weights);
  loss.backward();
  optimiser.step(rate);
  loss_sum_ += loss.detach();
}

void Run::report(std::uint64_t steps_done) {
  const double rate = static_cast<double>(steps_done - steps_before_) / seconds_since(start_);
  const auto all = static_cast<double>(settings_.epochs) * settings_.events_per_epoch;
  char text[200];
  std::snprintf(text, sizeof text, "epoch %d/%d, step %d/%d, loss %.5f, %.1f events/s, %s left", progress_.epoch + 1,
                settings_.epochs, progress_.step, settings_.events_per_epoch,
                loss_sum_.item<float>() / static_cast<float>(progress_.step), rate,
                duration((all - static_cast<double>(steps_done)) / rate).c_str());
  monitor_.show(static_cast<double>(steps_done) / all, text);
}

void Run::train_epoch(GraphStream& stream, AdamW& optimiser) {
  const double rate = settings_.rate(progress_.epoch);
  while (progress_.step < settings_.events_per_epoch) {
    train_step(stream.next(device_), optimiser, rate);
    ++progress_.step;
    // Reading the loss waits for the device: only now and then.
    if (monitor_.due()) {
      report(static_cast<std::uint64_t>(progress_.epoch) * static_cast<std::uint64_t>(settings_.events_per_epoch) +
             static_cast<std::uint64_t>(progress_.step));
    }
    if (monitor_.interrupted()) stop(optimiser);
  }
}

void Run::validate() {
  const torch::NoGradGuard guard;
  record_.edges = {};
  torch::Tensor losses = torch::zeros({}, torch::device(device_));
  for (const ValidationGraph& held : validation_) {
    const LabelledGraph graph = held.graph.to(device_);
    const torch::Tensor logits = network_->forward(graph.graph, type_);
    if (logits.size(0) == 0) continue;
    losses += edge_loss(logits, graph.labels, graph.weights);
    const torch::Tensor scores = torch::sigmoid(logits).cpu().contiguous();
    record_.edges +=
        count_edges(held.truth, {scores.const_data_ptr<float>(), static_cast<std::size_t>(scores.numel())}, 0.5f);
  }
  record_.validation_loss = losses.item<double>() / static_cast<double>(validation_.size());
}

void Run::save(AdamW& optimiser) {
  progress_.loss_sum = loss_sum_.item<float>();
  progress_.seconds = seconds_before_ + seconds_since(start_);
  save_checkpoint(file("checkpoint.safetensors"), progress_, network_, optimiser);
}

void Run::stop(AdamW& optimiser) {
  save(optimiser);
  throw Error(ErrorKind::interrupted, "stopped in epoch " + std::to_string(progress_.epoch + 1) + ", step " +
                                          std::to_string(progress_.step) + "; saved, go on with --resume");
}

void Run::save_model() const {
  TrackFinder model;
  model.network = {settings_.architecture, network_->weights()};
  model.windows = windows_;
  model.scales = scales_;
  model.cuts = settings_.tracks;
  model.provenance =
      provenance(settings_, configuration_, progress_.metrics, validation_counts_,
                 device_.is_cuda() ? type_ == torch::kBFloat16 ? "cuda, bfloat16" : "cuda, float" : "cpu");
  model.save(file("model.safetensors"));
}

// The checkpoint comes last: where the run is killed before it, the epoch's other files are written anew.
void Run::finish_epoch(AdamW& optimiser) {
  record_.epoch = progress_.epoch + 1;
  record_.learning_rate = settings_.rate(progress_.epoch);
  record_.training_loss = static_cast<double>(loss_sum_.item<float>()) / settings_.events_per_epoch;
  if (!std::isfinite(record_.training_loss)) {
    throw Error(ErrorKind::usage, "epoch " + std::to_string(record_.epoch) +
                                      ": the loss is not finite; expected a smaller training.learning_rate than " +
                                      std::to_string(settings_.learning_rate));
  }
  validate();
  record_.seconds = seconds_before_ + seconds_since(start_);
  const auto steps = static_cast<std::uint64_t>(record_.epoch) * static_cast<std::uint64_t>(settings_.events_per_epoch);
  record_.events_per_second = static_cast<double>(steps - steps_before_) / seconds_since(start_);
  progress_.metrics += to_json(record_) + '\n';
  ++progress_.epoch;
  progress_.step = 0;
  loss_sum_.zero_();
  files::write(file("metrics.jsonl"), progress_.metrics);
  monitor_.draw(curves(progress_.metrics), settings_.output);
  save_model();
  save(optimiser);
  char text[200];
  std::snprintf(text, sizeof text,
                "epoch %d: loss %.5f, validation loss %.5f, efficiency %.4f, target purity %.4f, total purity %.4f, %s",
                record_.epoch, record_.training_loss, record_.validation_loss, record_.edges.efficiency().value(),
                record_.edges.target_purity().value(), record_.edges.total_purity().value(),
                duration(record_.seconds).c_str());
  monitor_.say(text);
}

void Run::go() {
  prepare_folder();
  network_ = InteractionNetwork(settings_.architecture, settings_.seed);
  network_->to(device_);
  AdamW optimiser(network_->flat(), settings_.weight_decay, settings_.amsgrad);
  progress_.configuration = configuration_;
  if (resume_ && std::filesystem::exists(file("checkpoint.safetensors"))) {
    progress_ = load_checkpoint(file("checkpoint.safetensors"), configuration_, network_, optimiser);
    monitor_.say("going on from epoch " + std::to_string(progress_.epoch + 1) + ", step " +
                 std::to_string(progress_.step));
  }
  loss_sum_ = torch::full({}, progress_.loss_sum, torch::device(device_));
  if (progress_.epoch < settings_.epochs) {
    find_windows();
    load_validation();
    seconds_before_ = progress_.seconds;
    steps_before_ =
        static_cast<std::uint64_t>(progress_.epoch) * static_cast<std::uint64_t>(settings_.events_per_epoch) +
        static_cast<std::uint64_t>(progress_.step);
    start_ = Clock::now();
    GraphStream stream(worker([this](std::uint64_t number) {
                         return to_tensors(make_sample(events_.training(number), windows_, scales_, settings_),
                                           device_.is_cuda());
                       }),
                       settings_, scales_, steps_before_, workers_);
    while (progress_.epoch < settings_.epochs) {
      train_epoch(stream, optimiser);
      finish_epoch(optimiser);
      if (monitor_.interrupted() && progress_.epoch < settings_.epochs) stop(optimiser);
    }
  }
  std::fputs(summary(progress_.metrics).c_str(), stdout);
  std::printf("model: %s\n", file("model.safetensors").c_str());
}

}  // namespace

void train(const TrainingRequest& request) {
  if (request.monitor == nullptr) throw Error(ErrorKind::usage, "train: expected a monitor");
  try {
    Run(request).go();
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::internal, std::string("LibTorch: ") + error.what_without_backtrace());
  }
}

}  // namespace starling::learn
