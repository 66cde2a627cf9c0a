#include "learn/tasks/train.h"

#include <functional>
#include <memory>
#include <string>

#include "learn/tasks/showers/showers.h"
#include "learn/tasks/tracking/tracking.h"
#include "learn/train/group.h"
#include "learn/train/processes.h"
#include "learn/train/torch_errors.h"
#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

using MakeTask = std::function<std::unique_ptr<Task>(const std::string& configuration)>;

// Ends the configuration before the task is made: a wrong key is told before anything is done.
void train_task(Config& config, const MakeTask& make, const RunOptions& run) {
  const TrainerSettings trainer = read_trainer_settings(config);
  config.finish();
  const std::string configuration = config.resolved();
  if (run.monitor == nullptr) throw Error(ErrorKind::usage, "train: expected a monitor");
  with_torch_errors([&] {
    const Processes processes = read_processes();
    Group group(processes, find_device(run.device, processes),
                {[&] { return run.monitor->interrupted(); }, [&](const Error& error) { run.monitor->end(error); }});
    group.run(
        [&] { with_torch_errors([&] { learn::train(*make(configuration), trainer, configuration, run, group); }); });
  });
}

}  // namespace

void train(const TrainingRequest& request) {
  Config config = Config::load(request.configuration);
  for (const std::string& assignment : request.assignments) config.set(assignment);
  std::string kind = "interaction_network";
  config.get("network.kind", kind, {"interaction_network", "gravnet"});
  if (kind == "gravnet") {
    const auto settings = showers::read_shower_training(config);
    train_task(
        config, [&](const auto&) { return std::make_unique<showers::ShowerTask>(settings); }, request.run);
    return;
  }
  const auto settings = tracking::read_tracking_settings(config);
  train_task(
      config,
      [&](const std::string& configuration) {
        return std::make_unique<tracking::TrackingTask>(settings, configuration);
      },
      request.run);
}

}  // namespace starling::learn
