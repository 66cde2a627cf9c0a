#include "command.h"
#include "ending.h"
#include "learn/tasks/train.h"
#include "plot.h"
#include "progress.h"
#include "starling/device.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

class Console final : public learn::Monitor {
 public:
  bool interrupted() override { return cli::interrupted(); }
  bool due() override { return progress_.due(); }
  void show(double fraction, const std::string& text) override { progress_.show(fraction, text); }
  void say(const std::string& text) override { progress_.say(text); }

  [[noreturn]] void end(const Error& error) override { end_program(error); }

  void check_folder(const std::filesystem::path& folder) const override { Plot::check_place(folder / kPicture); }

  void draw(const learn::TrainingCurves& curves, const std::filesystem::path& folder) override {
    if (!drawable_) return;
    try {
      drawable_ = plot(curves).save(folder / kPicture);
    } catch (const Error& error) {
      progress_.say("warning: " + std::string(error.what()));
    }
  }

 private:
  static constexpr const char* kPicture = "training.png";

  static Plot plot(const learn::TrainingCurves& curves) {
    Plot plot(1100, 480);
    plot << "$data << END\n";
    for (std::size_t i = 0; i < curves.epoch.size(); ++i) {
      plot << curves.epoch[i] << ' ' << curves.training_loss[i] << ' ' << curves.validation_loss[i];
      for (const auto& [name, column] : curves.metrics) plot << ' ' << column[i];
      plot << '\n';
    }
    plot << "END\n"
            "set multiplot layout 1,2\n"
            "set xlabel 'epoch'\nset grid\nset logscale y\nset ylabel 'loss'\n"
            "plot $data using 1:2 with lines title 'training', $data using 1:3 with lines title 'validation'\n"
            "unset logscale y\nset ylabel 'validation'\nset key bottom right\n";
    for (std::size_t i = 0; i < curves.metrics.size(); ++i) {
      plot << (i == 0 ? "plot " : ", ") << "$data using 1:" << i + 4 << " with lines title "
           << Plot::quoted(learn::title(curves.metrics[i].first));
    }
    plot << "\nunset multiplot\n";
    return plot;
  }

  Progress progress_{Progress::Elsewhere::lines};
  bool drawable_ = true;  ///< gnuplot may not be installed: said once
};

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
