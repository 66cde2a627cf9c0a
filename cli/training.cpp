#include "command.h"
#include "console.h"
#include "ending.h"
#include "learn/tasks/train.h"
#include "training_options.h"

namespace starling::cli {
namespace {

class Training final : public Command {
 public:
  Training()
      : Command("train", "Train a network, of tracks or of showers, on simulated or given events.",
                {"starling train configs/quick.toml --set training.output=runs/quick"}) {}

  void declare(Options& options) override {
    options_.declare(options, "TOML file, see docs/training.md");
    options_.declare_resume(options);
  }

  void run() override {
    only_note_interrupts();  // the run is saved before it ends
    Console console;
    learn::TrainingRequest request = options_.request();
    request.run.monitor = &console;
    learn::train(request);
  }

 private:
  TrainingOptions options_;
};

}  // namespace

std::unique_ptr<Command> training_command() { return std::make_unique<Training>(); }

}  // namespace starling::cli
