#include "training_options.h"

#include "starling/device.h"

namespace starling::cli {

void TrainingOptions::declare(Options& options, const std::string& file) {
  options.path("CONFIG", "", request_.configuration, file).required();
  options.texts("--set", "KEY=VALUE", request_.assignments,
                "section.key=value, over what the file says; may be given several times");
  options.text("--device", device_, "", {"cpu", "cuda"});
}

void TrainingOptions::declare_resume(Options& options) {
  options.flag("--resume", request_.run.resume, "go on where the run in the output folder stands, if there is one");
}

learn::TrainingRequest TrainingOptions::request() const {
  learn::TrainingRequest request = request_;
  request.run.device = parse_device(device_);
  return request;
}

}  // namespace starling::cli
