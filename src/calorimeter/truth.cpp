#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "numbers/numbers.h"
#include "starling/calorimeter.h"
#include "starling/error.h"

namespace starling {
namespace {

[[noreturn]] void refuse_truth(const std::string& what) { throw Error(ErrorKind::usage, "shower truth: " + what); }

// Row splits that fit the entries, and fractions in range; which showers they are of is not looked at.
void check_fractions(const ShowerTruth& truth) {
  const std::vector<std::int32_t>& splits = truth.row_splits;
  if (splits.empty() || splits.front() != 0 || static_cast<std::size_t>(splits.back()) != truth.shower.size()) {
    refuse_truth("row_splits: expected to begin with 0 and to end with the " + std::to_string(truth.shower.size()) +
                 " entries");
  }
  if (truth.fraction.size() != truth.shower.size()) {
    refuse_truth("fraction has " + std::to_string(truth.fraction.size()) + " entries, expected " +
                 std::to_string(truth.shower.size()) + " as in shower");
  }
  for (std::size_t hit = 0; hit + 1 < splits.size(); ++hit) {
    if (splits[hit + 1] < splits[hit]) {
      refuse_truth("row_splits[" + std::to_string(hit + 1) + "] = " + std::to_string(splits[hit + 1]) +
                   ": expected at least " + std::to_string(splits[hit]));
    }
    // The last split is in range and they ascend up to here, but a later one may be too large still.
    if (static_cast<std::size_t>(splits[hit + 1]) > truth.shower.size()) {
      refuse_truth("row_splits[" + std::to_string(hit + 1) + "] = " + std::to_string(splits[hit + 1]) +
                   ": expected at most " + std::to_string(truth.shower.size()));
    }
    double sum = 0;
    for (auto i = static_cast<std::size_t>(splits[hit]); i < static_cast<std::size_t>(splits[hit + 1]); ++i) {
      if (!(truth.fraction[i] >= 0)) {
        refuse_truth("fraction[" + std::to_string(i) + "] = " + numbers::to_text(truth.fraction[i]) +
                     ": expected at least 0");
      }
      sum += double{truth.fraction[i]};
    }
    if (!(sum <= 1 + double{kFractionTolerance})) {
      refuse_truth("the fractions of hit " + std::to_string(hit) + " sum to " + numbers::to_text(sum) +
                   ", expected at most 1");
    }
  }
}

}  // namespace

void ShowerTruth::check(std::int32_t hits, std::int32_t showers) const {
  if (row_splits.size() != static_cast<std::size_t>(hits) + 1) {
    refuse_truth("row_splits has " + std::to_string(row_splits.size()) + " entries, expected one more than the " +
                 std::to_string(hits) + " hits");
  }
  check_fractions(*this);
  std::vector<std::int32_t> last_hit(static_cast<std::size_t>(showers), -1);
  for (std::int32_t hit = 0; hit < hits; ++hit) {
    for (std::int32_t i = row_splits[hit]; i < row_splits[hit + 1]; ++i) {
      const std::int32_t s = shower[i];
      if (s < 0 || s >= showers) {
        refuse_truth("shower[" + std::to_string(i) + "] = " + std::to_string(s) + ": expected one of " +
                     std::to_string(showers) + " showers");
      }
      if (std::exchange(last_hit[s], hit) == hit) {
        refuse_truth("shower[" + std::to_string(i) + "] = " + std::to_string(s) + ": expected once for hit " +
                     std::to_string(hit) + ", appears again");
      }
    }
  }
}

std::vector<std::int32_t> dominant_shower(const ShowerTruth& truth) {
  check_fractions(truth);
  std::vector<std::int32_t> dominant(truth.row_splits.size() - 1, -1);
  for (std::size_t hit = 0; hit < dominant.size(); ++hit) {
    float largest = 0;
    double noise = 1;
    for (std::int32_t i = truth.row_splits[hit]; i < truth.row_splits[hit + 1]; ++i) {
      const float fraction = truth.fraction[i];
      noise -= double{fraction};
      if (fraction > largest || (fraction == largest && fraction > 0 && truth.shower[i] < dominant[hit])) {
        largest = fraction;
        dominant[hit] = truth.shower[i];
      }
    }
    if (noise > double{largest}) dominant[hit] = -1;
  }
  return dominant;
}

std::vector<double> visible_energy(const ShowerTruth& truth, std::span<const float> energy, std::int32_t showers) {
  truth.check(static_cast<std::int32_t>(energy.size()), showers);
  std::vector<double> visible(static_cast<std::size_t>(showers));
  for (std::size_t hit = 0; hit < energy.size(); ++hit) {
    for (std::int32_t i = truth.row_splits[hit]; i < truth.row_splits[hit + 1]; ++i) {
      visible[truth.shower[i]] += double{truth.fraction[i]} * double{energy[hit]};
    }
  }
  return visible;
}

}  // namespace starling
