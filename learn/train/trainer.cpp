#include "learn/train/trainer.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "files/files.h"
#include "learn/train/adamw.h"
#include "learn/train/checkpoint.h"
#include "learn/train/folder.h"
#include "learn/train/step.h"
#include "learn/train/stream.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kCheckpoint = "checkpoint.safetensors";

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// What a process that is not the first one says: nothing.
class Silent final : public Monitor {
 public:
  explicit Silent(Monitor& monitor) : monitor_(monitor) {}
  bool interrupted() override { return monitor_.interrupted(); }
  bool due() override { return false; }
  void show(double, const std::string&) override {}
  void say(const std::string&) override {}
  void end(const Error& error) override { monitor_.end(error); }
  void draw(const TrainingCurves&, const std::filesystem::path&) override {}

 private:
  Monitor& monitor_;
};

// A run of one configuration, from the first step to the model.
class Run {
 public:
  Run(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options,
      Group& group);
  void go();

 private:
  std::filesystem::path file(const char* name) const { return settings_.output / name; }
  std::uint64_t steps_in(int epochs) const {
    return static_cast<std::uint64_t>(epochs) * static_cast<std::uint64_t>(settings_.steps_per_epoch());
  }
  std::uint64_t steps_done() const { return steps_in(state_.epoch) + static_cast<std::uint64_t>(state_.step); }

  void check_configurations() const;
  void load();
  bool is_complete() const { return flat_ || state_.epoch >= settings_.epochs; }
  void validate(EpochRecord& record);
  void validate_alone();
  void train_epochs();
  void train_epoch(BatchStream& stream);
  void train_step(BatchStream& stream, double rate);
  void finish_epoch();
  double batches_per_second() const;
  void report();
  void save();
  void save_model() const;
  [[noreturn]] void stop();

  Task& task_;
  const TrainerSettings& settings_;
  const std::string& configuration_;
  const RunOptions& options_;
  Group& group_;
  Silent silent_;
  Monitor& monitor_;
  RunContext context_;
  torch::nn::Module& network_;
  AdamW optimiser_;
  Step step_;
  RunState state_;
  bool flat_ = false;  ///< in all processes
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

RunContext context_of(const TrainerSettings& settings, Monitor& monitor, Group& group) {
  const torch::Device device = group.device();
  return {settings.output,
          device,
          settings.mixed_precision && device.is_cuda() ? torch::kBFloat16 : torch::kFloat,
          settings.worker_threads(group.local_world()),
          monitor,
          group};
}

Run::Run(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options,
         Group& group)
    : task_(task),
      settings_(settings),
      configuration_(configuration),
      options_(options),
      group_(group),
      silent_(*options.monitor),
      monitor_(group.first() ? *options.monitor : silent_),
      context_(context_of(settings, monitor_, group)),
      network_(on_device(task.network(), context_.device)),
      optimiser_(flat_parameter(network_), settings.weight_decay, settings.amsgrad),
      step_(network_, group, settings.batch) {
  at::set_num_threads(context_.device.is_cuda() ? 1 : settings_.step_threads(group_.local_world()));
  if (settings_.mixed_precision && !context_.device.is_cuda()) {
    monitor_.say("training.mixed_precision: only on a GPU; using float");
  }
  const auto say_fewer = [&](const std::string& key, int asked, int used) {
    if (asked <= used) return;
    monitor_.say(key + " = " + std::to_string(asked) + ": using " + std::to_string(used) + ", one per processor" +
                 (group_.local_world() > 1 ? " of this process's part" : ""));
  };
  say_fewer("training.workers", settings_.workers, context_.workers);
  say_fewer("training.threads", settings_.threads, settings_.step_threads(group_.local_world()));
}

// A file that differs from host to host would be trained on in part.
void Run::check_configurations() const {
  const std::vector<std::string> all = group_.gather(configuration_);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    const auto differ = difference(all[0], all[rank], {"training.output", "training.workers"});
    if (!differ) continue;
    throw Error(ErrorKind::usage, "process 0 has the configuration `" + differ->first + "`, process " +
                                      std::to_string(rank) + " `" + differ->second + "`: expected the same");
  }
}

// The first process reads, so that the folder need not be one that all hosts see.
void Run::load() {
  if (group_.first() && options_.resume && std::filesystem::exists(file(kCheckpoint))) {
    state_ = load_checkpoint(file(kCheckpoint), configuration_, network_, optimiser_);
    if (settings_.epochs > 0) {
      if (state_.epoch == 0) state_.metrics.clear();  // those of the network as it began are of no epoch
      monitor_.say("going on from epoch " + std::to_string(state_.epoch + 1) + ", step " + std::to_string(state_.step));
    }
  }
  state_.configuration = configuration_;
  std::vector<torch::Tensor> tensors;
  for (const auto& [name, tensor] : state_tensors(network_, optimiser_)) tensors.push_back(tensor);
  group_.copy_from_first(tensors);
  std::array<std::int64_t, 3> position = {};
  double loss_sum = 0;
  if (group_.first()) {
    position = {state_.epoch, state_.step, is_flat(state_.metrics, settings_.flat_epochs, settings_.flat_spread)};
    loss_sum = state_.loss_sum;
  }
  group_.sum(position);
  group_.sum({&loss_sum, 1});
  state_.epoch = static_cast<int>(position[0]);
  state_.step = static_cast<int>(position[1]);
  flat_ = state_.step == 0 && position[2] > 0;
  state_.loss_sum = static_cast<float>(loss_sum);
  loss_sum_ = torch::full({}, state_.loss_sum, torch::device(context_.device));
}

void Run::train_step(BatchStream& stream, double rate) {
  task_.start_step();
  step_.begin();
  for (std::size_t i = 0; i < stream.per_step(); ++i) step_.add(task_.loss(stream.next(context_.device)));
  step_.end(optimiser_, rate, monitor_.interrupted());
  loss_sum_ += step_.loss();
}

double Run::batches_per_second() const {
  return static_cast<double>((steps_done() - steps_before_) * static_cast<std::uint64_t>(settings_.batch)) /
         seconds_since(start_);
}

// Reading the loss waits for the device: only now and then.
void Run::report() {
  const double rate = batches_per_second();
  const auto done = static_cast<double>(steps_done()), all = static_cast<double>(steps_in(settings_.epochs));
  char text[200];
  std::snprintf(text, sizeof text, "epoch %d/%d, step %d/%d, loss %.5f, %.1f events/s, %s left", state_.epoch + 1,
                settings_.epochs, state_.step, settings_.steps_per_epoch(),
                loss_sum_.item<float>() / static_cast<float>(state_.step * settings_.batch), rate,
                duration((all - done) * settings_.batch / rate).c_str());
  monitor_.show(done / all, text);
}

void Run::train_epoch(BatchStream& stream) {
  const double rate = settings_.schedule.rate(state_.epoch);
  if (state_.step == 0) task_.start_epoch(state_.epoch);
  while (state_.step < settings_.steps_per_epoch()) {
    train_step(stream, rate);
    ++state_.step;
    if (monitor_.due()) report();
    if (step_.stops()) stop();
  }
}

void Run::save() {
  state_.loss_sum = loss_sum_.item<float>();
  state_.seconds = seconds_before_ + seconds_since(start_);
  save_checkpoint(file(kCheckpoint), state_, network_, optimiser_);
}

// Nobody goes before the run is saved: a launcher ends all where one is gone.
void Run::stop() {
  if (group_.first()) save();
  group_.wait_for_all();
  throw Error(ErrorKind::interrupted, "stopped in epoch " + std::to_string(state_.epoch + 1) + ", step " +
                                          std::to_string(state_.step) + "; saved, go on with --resume");
}

void Run::save_model() const {
  Provenance provenance;
  provenance.device = !context_.device.is_cuda()          ? "cpu"
                      : context_.type == torch::kBFloat16 ? "cuda, bfloat16"
                                                          : "cuda, float";
  provenance.seed = settings_.seed;
  provenance.steps_per_epoch = settings_.steps_per_epoch();
  provenance.task = task_.provenance();
  provenance.configuration = configuration_;
  provenance.metrics = state_.metrics;
  task_.save_model(file("model.safetensors"), to_json(provenance));
}

// Of all processes together. The last epoch's record has more.
void Run::validate(EpochRecord& record) {
  const torch::NoGradGuard guard;
  record.validation = task_.validate();
  std::array<std::int64_t, 1> flat = {
      group_.first() && is_flat(state_.metrics + to_json(record) + '\n', settings_.flat_epochs, settings_.flat_spread)};
  group_.sum(flat);
  flat_ = flat[0] > 0;
  if (!flat_ && record.epoch < settings_.epochs) return;
  const Metrics more = task_.final_metrics();
  record.validation.metrics.insert(record.validation.metrics.end(), more.begin(), more.end());
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
  validate(record);
  record.seconds = seconds_before_ + seconds_since(start_);
  record.events_per_second = batches_per_second();
  ++state_.epoch;
  state_.step = 0;
  loss_sum_.zero_();
  if (!group_.first()) return;
  state_.metrics += to_json(record) + '\n';
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
                     steps_before_, steps_in(settings_.epochs), context_.workers, {group_.rank(), group_.world()});
  while (!is_complete()) {
    train_epoch(stream);
    finish_epoch();
    std::array<std::int64_t, 1> interrupted = {monitor_.interrupted() ? 1 : 0};
    group_.sum(interrupted);
    if (interrupted[0] > 0 && !is_complete()) stop();
  }
}

// Leaves a checkpoint too, with the one line of metrics: what tells that it is done, and what it was done with.
void Run::validate_alone() {
  std::array<std::int64_t, 1> done = {!state_.metrics.empty()};
  group_.sum(done);
  if (done[0] > 0) return;
  start_ = Clock::now();
  task_.prepare(context_);
  EpochRecord record;
  record.training_loss = NAN;
  validate(record);
  if (!group_.first()) return;
  state_.metrics = to_json(record) + '\n';
  files::write(file("metrics.jsonl"), state_.metrics);
  save_model();
  save();
}

void Run::go() {
  check_configurations();
  if (group_.first()) {
    files::make_folder(settings_.output);
    check_folder(settings_.output, {"config.toml", kCheckpoint, {"metrics.jsonl", "model.safetensors"}},
                 options_.resume);
    task_.check_folder(settings_.output);
    monitor_.check_folder(settings_.output);
  }
  load();
  if (group_.first()) files::write(file("config.toml"), configuration_);
  if (settings_.epochs == 0) {
    validate_alone();
  } else if (!is_complete()) {
    train_epochs();
  }
  group_.wait_for_all();
  if (!group_.first() || options_.quiet || state_.metrics.empty()) return;
  std::fputs(summary(state_.metrics, task_.shown_metrics()).c_str(), stdout);
  std::printf("model: %s\n", file("model.safetensors").c_str());
}

}  // namespace

void RunContext::stop_if_interrupted(const std::string& doing) const {
  if (monitor.interrupted()) throw Error(ErrorKind::interrupted, "stopped while " + doing);
}

torch::Device find_device(Device device, const Processes& processes) {
  if (device == Device::cpu) return torch::kCPU;
  if (!torch::cuda::is_available()) throw Error(ErrorKind::device, "--device cuda: LibTorch finds no CUDA device here");
  if (processes.world == 1) return torch::kCUDA;
  const auto devices = static_cast<int>(torch::cuda::device_count());
  if (processes.local_rank >= devices) {
    throw Error(ErrorKind::device, "--device cuda: LOCAL_RANK = " + std::to_string(processes.local_rank) +
                                       ": expected less than the " + std::to_string(devices) +
                                       " CUDA devices of this host, one for each process");
  }
  const torch::Device own(torch::kCUDA, static_cast<torch::DeviceIndex>(processes.local_rank));
  c10::impl::VirtualGuardImpl(torch::kCUDA).setDevice(own);
  return own;
}

void train(Task& task, const TrainerSettings& settings, const std::string& configuration, const RunOptions& options,
           Group& group) {
  if (options.monitor == nullptr) throw Error(ErrorKind::usage, "train: expected a monitor");
  Run(task, settings, configuration, options, group).go();
}

}  // namespace starling::learn
