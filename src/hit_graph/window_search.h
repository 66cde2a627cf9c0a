#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace starling {

/// One true or false candidate: its absolute observables (unused ones 0) and |cot θ|.
struct Candidate {
  std::array<float, 3> value;
  float abs_cot;
};

/// Finds the box [0, w0] × [0, w1] × [0, w2] that maximises S − λB in every cell of every group (a layer pair or
/// triple). S and B are counted on a grid whose steps are quantiles of the signal's tail, so its widest box is the
/// signal's own range.
class WindowSearch {
 public:
  /// A group gets up to `cells` cells of equal signal. Only the first `observables` entries of a candidate count; each
  /// is divided into `steps`.
  WindowSearch(const std::vector<std::vector<Candidate>>& signal_of_group, int observables, int steps, int cells);

  /// Counts a candidate of unlabelled background. May be called from several threads.
  void add_background(std::int32_t group, const Candidate& candidate);

  struct Windows {
    std::vector<std::int32_t> cells;  ///< [groups + 1] row splits
    std::vector<float> cot;           ///< [cells] upper bounds
    std::array<std::vector<float>, 3> width;
  };
  /// Windows as wide as the signal: what background must be counted in.
  Windows widest() const;
  /// λ: signal given up per background candidate. Counts are divided by the number of events that they come from.
  Windows best(double lambda, double signal_events, double background_events) const;

 private:
  std::int64_t bin(std::int32_t cell, const Candidate& candidate) const;  // −1 = outside the widest box

  int observables_, steps_;
  std::int64_t bins_per_cell_ = 1;
  std::vector<std::int32_t> cells_;
  std::vector<float> cot_;
  std::vector<float> edges_;  ///< [cells, observables, steps] ascending
  std::vector<std::int32_t> signal_;
  std::unique_ptr<std::atomic<std::int32_t>[]> background_;
};

}  // namespace starling
