#pragma once

#include <filesystem>
#include <string>

#include "learn/train/monitor.h"
#include "progress.h"

namespace starling::cli {

/// What starling-learn says of a training on the terminal, and the picture of its curves.
class Console final : public learn::Monitor {
 public:
  bool interrupted() override;
  bool due() override { return progress_.due(); }
  void show(double fraction, const std::string& text) override { progress_.show(fraction, text); }
  void say(const std::string& text) override { progress_.say(text); }
  [[noreturn]] void end(const Error& error) override;
  void check_folder(const std::filesystem::path& folder) const override;
  void draw(const learn::TrainingCurves& curves, const std::filesystem::path& folder) override;

 private:
  Progress progress_{Progress::Elsewhere::lines};
  bool drawable_ = true;  ///< gnuplot may not be installed: said once
};

}  // namespace starling::cli
