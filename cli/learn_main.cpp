// starling-learn: what needs LibTorch. `starling train` runs it.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "learn/train/train.h"
#include "plot.h"
#include "starling/error.h"

namespace {

void draw(const starling::learn::TrainingCurves& curves, const std::filesystem::path& folder) {
  static bool drawable = true;  // gnuplot may not be installed: said once
  if (!drawable) return;
  starling::cli::Plot plot(1100, 480);
  plot << "$data << END\n";
  for (std::size_t i = 0; i < curves.epoch.size(); ++i) {
    plot << curves.epoch[i] << ' ' << curves.training_loss[i] << ' ' << curves.validation_loss[i] << ' '
         << curves.efficiency[i] << ' ' << curves.target_purity[i] << '\n';
  }
  plot << "END\n"
          "set multiplot layout 1,2\n"
          "set xlabel 'epoch'\nset grid\nset logscale y\nset ylabel 'loss'\n"
          "plot $data using 1:2 with lines title 'training', $data using 1:3 with lines title 'validation'\n"
          "unset logscale y\nset ylabel 'validation, score above 0.5'\nset key bottom right\n"
          "plot $data using 1:4 with lines title 'efficiency', $data using 1:5 with lines title 'target purity'\n"
          "unset multiplot\n";
  drawable = plot.save(folder / "training.png");
}

int run(int argc, char** argv) {
  CLI::App app("Training of Starling's networks; `starling train` runs this program.", "starling-learn");
  app.require_subcommand(1);
  starling::learn::TrainingRequest request;
  std::string device = "cpu";
  CLI::App* train = app.add_subcommand("train", "Learns windows and a network from simulated or given events.");
  train->footer("example: starling train configs/quick.toml --set training.output=runs/quick");
  train->add_option("CONFIG", request.configuration, "TOML file, see docs/training.md")->required();
  train->add_flag("--resume", request.resume, "go on from the checkpoint in the output folder, if there is one");
  train->add_option("--set", request.assignments, "section.key=value, over what the file says")
      ->allow_extra_args(false);
  train->add_option("--device", device, "cpu or cuda")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(starling::ErrorKind::usage);
  }
  request.device = starling::parse_device(device);
  request.draw = draw;
  starling::learn::train(request);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const starling::Error& error) {
    std::fprintf(stderr, "starling-learn: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "starling-learn: internal error: %s\n", error.what());
    return static_cast<int>(starling::ErrorKind::internal);
  }
}
