#include "learn/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "files/files.h"
#include "learn/train/adamw.h"
#include "learn/train/checkpoint.h"
#include "learn/train/stream.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

torch::Device find_device(Device device) {
  if (device == Device::cpu) return torch::kCPU;
  if (!torch::cuda::is_available()) throw Error(ErrorKind::device, "--device cuda: LibTorch finds no CUDA device here");
  return torch::kCUDA;
}

// Whether a file is a configuration in the form of Config::resolved().
bool is_resolved(const std::filesystem::path& file) {
  try {
    const files::Bytes content = files::read(file);
    return select_keys(content.text(), [](std::string_view) { return true; }) == content.text();
  } catch (const Error&) {
    return false;
  }
}

// A run of one configuration, from the first step to the model.
class Run {
 public:
  Run(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options);
  void go();

 private:
  std::filesystem::path file(const char* name) const { return settings_.output / name; }
  std::uint64_t steps_in(int epochs) const {
    return static_cast<std::uint64_t>(epochs) * static_cast<std::uint64_t>(settings_.events_per_epoch);
  }
  std::uint64_t steps_done() const { return steps_in(state_.epoch) + static_cast<std::uint64_t>(state_.step); }

  void check_folder() const;
  void load();
  void train_epochs();
  void train_epoch(BatchStream& stream);
  void train_step(const Batch& batch, double rate);
  void finish_epoch();
  void report();
  void save();
  void save_model() const;
  [[noreturn]] void stop();

  Task& task_;
  const TrainerSettings& settings_;
  const std::string& configuration_;
  const RunOptions& options_;
  Monitor& monitor_;
  RunContext context_;
  torch::nn::Module& network_;
  AdamW optimiser_;
  RunState state_;
  torch::Tensor loss_sum_;
  Clock::time_point start_;
  double seconds_before_ = 0;
  std::uint64_t steps_before_ = 0;
};

// The network lies on the run's device before the optimiser takes its parameter.
torch::nn::Module& on_device(torch::nn::Module& network, torch::Device device) {
  network.to(device);
  return network;
}

RunContext context_of(const TrainerSettings& settings, const RunOptions& options) {
  const torch::Device device = find_device(options.device);
  return {settings.output, device, settings.mixed_precision && device.is_cuda() ? torch::kBFloat16 : torch::kFloat,
          settings.worker_threads(), *options.monitor};
}

Run::Run(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options)
    : task_(task),
      settings_(settings),
      configuration_(configuration),
      options_(options),
      monitor_(*options.monitor),
      context_(context_of(settings, options)),
      network_(on_device(task.network(), context_.device)),
      optimiser_(flat_parameter(network_), settings.weight_decay, settings.amsgrad) {
  at::set_num_threads(context_.device.is_cuda() ? 1 : settings_.step_threads());
  if (settings_.mixed_precision && !context_.device.is_cuda()) {
    monitor_.say("training.mixed_precision: only on a GPU; using float");
  }
  const auto say_fewer = [&](const std::string& key, int asked, int used) {
    if (asked <= used) return;
    monitor_.say(key + " = " + std::to_string(asked) + ": using " + std::to_string(used) + ", one per processor");
  };
  say_fewer("training.workers", settings_.workers, settings_.worker_threads());
  say_fewer("training.threads", settings_.threads, settings_.step_threads());
}

// A run's files are told by its configuration: a resolved one, which somebody who writes a configuration does not spell
// like that. Nothing else is replaced, least of all the configuration that this run was started with.
void Run::check_folder() const {
  std::error_code ignored;
  const auto is_there = [&](const char* name) { return std::filesystem::exists(file(name), ignored); };
  if (!options_.resume && is_there("checkpoint.safetensors")) {
    throw Error(ErrorKind::usage,
                file("checkpoint.safetensors").string() +
                    ": a run is here already; go on with --resume, or choose another training.output");
  }
  task_.check_folder(settings_.output);
  monitor_.check_folder(settings_.output);
  if (is_there("config.toml") && is_resolved(file("config.toml"))) return;
  for (const char* const name : {"config.toml", "metrics.jsonl", "model.safetensors"}) {
    if (is_there(name)) {
      throw Error(ErrorKind::usage,
                  file(name).string() + ": is there and is not of an earlier run; choose another training.output");
    }
  }
}

void Run::load() {
  state_.configuration = configuration_;
  if (options_.resume && std::filesystem::exists(file("checkpoint.safetensors"))) {
    state_ = load_checkpoint(file("checkpoint.safetensors"), configuration_, network_, optimiser_);
    monitor_.say("going on from epoch " + std::to_string(state_.epoch + 1) + ", step " + std::to_string(state_.step));
  }
  loss_sum_ = torch::full({}, state_.loss_sum, torch::device(context_.device));
}

void Run::train_step(const Batch& batch, double rate) {
  torch::Tensor parameter = flat_parameter(network_);
  parameter.mutable_grad().reset();
  const torch::Tensor loss = task_.loss(batch);
  if (!loss.defined()) return;
  loss.backward();
  optimiser_.step(rate);
  loss_sum_ += loss.detach();
}

// Reading the loss waits for the device: only now and then.
void Run::report() {
  const double rate = static_cast<double>(steps_done() - steps_before_) / seconds_since(start_);
  const auto done = static_cast<double>(steps_done()), all = static_cast<double>(steps_in(settings_.epochs));
  char text[200];
  std::snprintf(text, sizeof text, "epoch %d/%d, step %d/%d, loss %.5f, %.1f events/s, %s left", state_.epoch + 1,
                settings_.epochs, state_.step, settings_.events_per_epoch,
                loss_sum_.item<float>() / static_cast<float>(state_.step), rate, duration((all - done) / rate).c_str());
  monitor_.show(done / all, text);
}

void Run::train_epoch(BatchStream& stream) {
  const double rate = settings_.schedule.rate(state_.epoch);
  if (state_.step == 0) task_.start_epoch(state_.epoch);
  while (state_.step < settings_.events_per_epoch) {
    train_step(stream.next(context_.device), rate);
    ++state_.step;
    if (monitor_.due()) report();
    if (monitor_.interrupted()) stop();
  }
}

void Run::save() {
  state_.loss_sum = loss_sum_.item<float>();
  state_.seconds = seconds_before_ + seconds_since(start_);
  save_checkpoint(file("checkpoint.safetensors"), state_, network_, optimiser_);
}

void Run::stop() {
  save();
  throw Error(ErrorKind::interrupted, "stopped in epoch " + std::to_string(state_.epoch + 1) + ", step " +
                                          std::to_string(state_.step) + "; saved, go on with --resume");
}

void Run::save_model() const {
  Provenance provenance;
  provenance.device = !context_.device.is_cuda()          ? "cpu"
                      : context_.type == torch::kBFloat16 ? "cuda, bfloat16"
                                                          : "cuda, float";
  provenance.seed = settings_.seed;
  provenance.events_per_epoch = settings_.events_per_epoch;
  provenance.task = task_.provenance();
  provenance.configuration = configuration_;
  provenance.metrics = state_.metrics;
  task_.save_model(file("model.safetensors"), to_json(provenance));
}

// The checkpoint comes after the model and the metrics: where the run is killed before it, these are written anew. The
// picture comes last: nothing is lost with it.
void Run::finish_epoch() {
  EpochRecord record;
  record.epoch = state_.epoch + 1;
  record.learning_rate = settings_.schedule.rate(state_.epoch);
  record.training_loss = static_cast<double>(loss_sum_.item<float>()) / settings_.events_per_epoch;
  if (!std::isfinite(record.training_loss)) {
    throw Error(ErrorKind::usage, "epoch " + std::to_string(record.epoch) +
                                      ": the loss is not finite; expected a smaller training.learning_rate than " +
                                      std::to_string(settings_.schedule.learning_rate));
  }
  {
    const torch::NoGradGuard guard;
    record.validation = task_.validate();
  }
  record.seconds = seconds_before_ + seconds_since(start_);
  record.events_per_second = static_cast<double>(steps_in(record.epoch) - steps_before_) / seconds_since(start_);
  state_.metrics += to_json(record) + '\n';
  ++state_.epoch;
  state_.step = 0;
  loss_sum_.zero_();
  files::write(file("metrics.jsonl"), state_.metrics);
  const TrainingCurves all = curves(state_.metrics, task_.shown_metrics());
  save_model();
  save();
  monitor_.draw(all, settings_.output);

  char number[64];
  const auto shown = [&](const char* format, double value) {
    std::snprintf(number, sizeof number, format, value);
    return std::string(number);
  };
  std::string text = "epoch " + std::to_string(record.epoch) + ": loss " + shown("%.5f", record.training_loss) +
                     ", validation loss " + shown("%.5f", record.validation.loss);
  for (const auto& [name, values] : all.metrics) text += ", " + title(name) + ' ' + shown("%.4f", values.back());
  monitor_.say(text + ", " + duration(record.seconds));
}

void Run::train_epochs() {
  task_.prepare(context_);
  seconds_before_ = state_.seconds;
  steps_before_ = steps_done();
  start_ = Clock::now();
  BatchStream stream([this](std::uint64_t number) { return task_.make_batch(number); },
                     [this](const Batch& batch, std::uint64_t draw) { return task_.augment(batch, draw); }, settings_,
                     steps_before_, steps_in(settings_.epochs), context_.workers);
  while (state_.epoch < settings_.epochs) {
    train_epoch(stream);
    finish_epoch();
    if (monitor_.interrupted() && state_.epoch < settings_.epochs) stop();
  }
}

void Run::go() {
  files::make_folder(settings_.output);
  check_folder();
  load();
  files::write(file("config.toml"), configuration_);
  if (state_.epoch < settings_.epochs) train_epochs();
  std::fputs(summary(state_.metrics, task_.shown_metrics()).c_str(), stdout);
  std::printf("model: %s\n", file("model.safetensors").c_str());
}

}  // namespace

void RunContext::stop_if_interrupted(const std::string& doing) const {
  if (monitor.interrupted()) throw Error(ErrorKind::interrupted, "stopped while " + doing);
}

void train(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options) {
  if (options.monitor == nullptr) throw Error(ErrorKind::usage, "train: expected a monitor");
  Run(task, settings, configuration, options).go();
}

}  // namespace starling::learn
