#pragma once

#include <filesystem>
#include <vector>

#include "learn/compress/compress.h"
#include "learn/train/monitor.h"

namespace starling::cli {

/// Pictures of a compression, where gnuplot is installed: compress.png, what the stages cost, and the curves of some of
/// them against pt and eta (Curves::write_all), with curves.csv.
class CompressPictures final : public learn::CompressPictures {
 public:
  /// `monitor` hears what cannot be drawn and how evaluating goes; it must stay as long as this.
  explicit CompressPictures(learn::Monitor& monitor) : monitor_(monitor) {}

  void check_folder(const std::filesystem::path& folder) const override;
  void draw(const std::vector<learn::StageResult>& results, const std::filesystem::path& folder) override;
  void draw_curves(const learn::CurveRequest& request) override;

 private:
  learn::Monitor& monitor_;
  bool drawable_ = true;  ///< gnuplot may not be installed: said once
};

}  // namespace starling::cli
