#include "learn/tasks/tracking/train.h"

#include "learn/tasks/tracking/tracking.h"
#include "learn/train/torch_errors.h"
#include "starling/config.h"

namespace starling::learn::tracking {

void train(const TrainingRequest& request) {
  Config config = Config::load(request.configuration);
  for (const std::string& assignment : request.assignments) config.set(assignment);
  const TrackingSettings tracking = read_tracking_settings(config);
  const TrainerSettings trainer = read_trainer_settings(config);
  config.finish();
  const std::string configuration = config.resolved();
  with_torch_errors([&] {
    TrackingTask task(tracking, configuration);
    learn::train(task, trainer, configuration, request.run);
  });
}

}  // namespace starling::learn::tracking
