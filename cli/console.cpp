#include "console.h"

#include "ending.h"
#include "plot.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

constexpr const char* kPicture = "training.png";

Plot plot(const learn::TrainingCurves& curves) {
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

}  // namespace

bool Console::interrupted() { return cli::interrupted(); }

void Console::end(const Error& error) { end_program(error); }

void Console::check_folder(const std::filesystem::path& folder) const { Plot::check_place(folder / kPicture); }

void Console::draw(const learn::TrainingCurves& curves, const std::filesystem::path& folder) {
  if (!drawable_) return;
  try {
    drawable_ = plot(curves).save(folder / kPicture);
  } catch (const Error& error) {
    progress_.say("warning: " + std::string(error.what()));
  }
}

}  // namespace starling::cli
