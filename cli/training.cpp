#include "command.h"
#include "console.h"
#include "ending.h"
#include "learn/tasks/train.h"
#include "starling/device.h"

namespace starling::cli {
namespace {

class Training final : public Command {
 public:
  Training()
      : Command("train", "Train a network, of tracks or of showers, on simulated or given events.",
                {"starling train configs/quick.toml --set training.output=runs/quick"}) {}

  void declare(Options& options) override {
    options.path("CONFIG", "", request_.configuration, "TOML file, see docs/training.md").required();
    options.flag("--resume", request_.run.resume, "go on from the checkpoint in the output folder, if there is one");
    options.texts("--set", "KEY=VALUE", request_.assignments,
                  "section.key=value, over what the file says; may be given several times");
    options.text("--device", device_, "", {"cpu", "cuda"});
  }

  void run() override {
    only_note_interrupts();  // the run is saved before it ends
    Console console;
    request_.run.device = parse_device(device_);
    request_.run.monitor = &console;
    learn::train(request_);
  }

 private:
  learn::TrainingRequest request_;
  std::string device_ = "cpu";
};

}  // namespace

std::unique_ptr<Command> training_command() { return std::make_unique<Training>(); }

}  // namespace starling::cli
