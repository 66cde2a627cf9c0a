#include "command.h"
#include "compress_pictures.h"
#include "console.h"
#include "ending.h"
#include "learn/compress/compress.h"
#include "training_options.h"

namespace starling::cli {
namespace {

class Compressing final : public Command {
 public:
  Compressing()
      : Command("compress", "Make a network of tracks compact: distil, quantise and prune it, and say what it costs.",
                {"starling compress configs/compress-quick.toml --set training.output=runs/compress"}) {}

  void declare(Options& options) override {
    options_.declare(options, "TOML file, see docs/compress.md");
    options_.declare_resume(options);
  }

  void run() override {
    only_note_interrupts();  // the run is saved before it ends
    Console console;
    CompressPictures pictures(console);
    learn::TrainingRequest request = options_.request();
    request.run.monitor = &console;
    learn::compress(request, pictures);
  }

 private:
  TrainingOptions options_;
};

}  // namespace

std::unique_ptr<Command> compressing_command() { return std::make_unique<Compressing>(); }

}  // namespace starling::cli
