#include "learn/tasks/train.h"

#include <functional>
#include <memory>
#include <string>

#include "learn/tasks/showers/showers.h"
#include "learn/tasks/tracking/tracking.h"
#include "learn/train/group.h"
#include "learn/train/processes.h"
#include "learn/train/torch_errors.h"
#include "learn/train/trainer.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

/// What a request asks for.
struct Training {
  TrainerSettings trainer;
  std::string configuration;  ///< resolved
  std::function<std::unique_ptr<Task>()> make_task;
};

// The configuration is ended before the task is made: a wrong key is told before anything is done.
Training read(const TrainingRequest& request) {
  Config config = Config::load(request.configuration);
  for (const std::string& assignment : request.assignments) config.set(assignment);
  for (const std::string& section : request.left_out) config.leave_to_others(section);
  for (const std::string& assignment : request.overrides) config.set(assignment);
  config.leave_to_others("sweep");
  std::string kind = "interaction_network";
  config.get("network.kind", kind, {"interaction_network", "gravnet"});
  using MakeTask = std::function<std::unique_ptr<Task>(const std::string& configuration)>;
  const MakeTask make = kind == "gravnet"
                            ? MakeTask([settings = showers::read_shower_training(config)](const std::string&) {
                                return std::make_unique<showers::ShowerTask>(settings);
                              })
                            : MakeTask([settings = tracking::read_tracking_settings(config),
                                        kept = request.kept](const std::string& text) {
                                return std::make_unique<tracking::TrackingTask>(settings, text, kept);
                              });
  const TrainerSettings trainer = read_trainer_settings(config);
  config.finish();
  const std::string configuration = config.resolved();
  return {trainer, configuration, [make, configuration] { return make(configuration); }};
}

}  // namespace

std::string assignment(const std::string& key, const std::filesystem::path& path) {
  std::string text = key + "=\"";
  for (const char c : std::filesystem::absolute(path).lexically_normal().string()) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

std::string resolve(const TrainingRequest& request) { return read(request).configuration; }

void train(const TrainingRequest& request) {
  const Training training = read(request);
  const RunOptions& run = request.run;
  if (run.monitor == nullptr) throw Error(ErrorKind::usage, "train: expected a monitor");
  with_torch_errors([&] {
    const Processes processes = read_processes();
    Group group(processes, find_device(run.device, processes),
                {[&] { return run.monitor->interrupted(); }, [&](const Error& error) { run.monitor->end(error); }});
    group.run([&] {
      with_torch_errors(
          [&] { learn::train(*training.make_task(), training.trainer, training.configuration, run, group); });
    });
  });
}

}  // namespace starling::learn
