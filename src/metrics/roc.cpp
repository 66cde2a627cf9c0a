#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "metrics/check.h"
#include "starling/error.h"
#include "starling/metrics.h"

namespace starling {
namespace {

// Bins below 1/2 are the upper 15 bits of a score (exponent and 6 bits of the mantissa); those above mirror them by
// 1 − score, which a float holds exactly there. So bins are equally narrow near 0 and near 1, where scores crowd.
constexpr int kShift = 17;
constexpr std::uint32_t kMiddle = std::bit_cast<std::uint32_t>(0.5F) >> kShift;
constexpr std::size_t kBins = 2 * std::size_t{kMiddle} + 1;

// Grows with the score, which is in 0..1.
std::size_t bin_of(float score) {
  if (score < 0.5F) return std::bit_cast<std::uint32_t>(score + 0.0F) >> kShift;  // + 0: −0 is 0
  return kBins - 1 - (std::bit_cast<std::uint32_t>(1.0F - score) >> kShift);
}

}  // namespace

void RocCounts::add(const EdgeTruth& truth, std::span<const float> scores) {
  check_labels(truth, scores.size(), "RocCounts");
  bins_.resize(kBins);
  for (std::size_t e = 0; e < scores.size(); ++e) {
    // True edges of others than targets are neither wanted nor wrong.
    if (truth.unknown[e] || (truth.same_particle[e] && !truth.target[e])) continue;
    const float score = scores[e];
    if (score < 0 || score > 1) {
      throw Error(ErrorKind::usage,
                  "RocCounts: score[" + std::to_string(e) + "] = " + std::to_string(score) + ": expected 0 to 1");
    }
    Bin& bin = std::isnan(score) ? below_ : bins_[bin_of(score)];
    (truth.target[e] ? bin.target : bin.fake) += 1;
    bin.least = std::min(bin.least, score);
  }
}

std::vector<RocCounts::Point> RocCounts::curve() const {
  std::int64_t targets = below_.target, fakes = below_.fake;
  for (const Bin& bin : bins_) {
    targets += bin.target;
    fakes += bin.fake;
  }
  std::vector<Point> points;
  std::int64_t target = 0, fake = 0;
  for (auto bin = bins_.rbegin(); bin != bins_.rend(); ++bin) {
    if (bin->target + bin->fake == 0) continue;
    target += bin->target;
    fake += bin->fake;
    points.push_back({bin->least, {target, targets}, {fake, fakes}});
  }
  return points;
}

double RocCounts::area() const {
  // The trapezoid of each bin, in edges: twice the area is an integer.
  double twice = 0, target = 0, fake = 0;
  const auto add = [&](const Bin& bin) {
    const auto more = static_cast<double>(bin.target), width = static_cast<double>(bin.fake);
    twice += width * (2 * target + more);
    target += more;
    fake += width;
  };
  std::for_each(bins_.rbegin(), bins_.rend(), add);
  add(below_);
  return target > 0 && fake > 0 ? twice / (2 * target * fake) : std::numeric_limits<double>::quiet_NaN();
}

RocCounts& RocCounts::operator+=(const RocCounts& other) {
  const auto sum = [](Bin& mine, const Bin& others) {
    mine.target += others.target;
    mine.fake += others.fake;
    mine.least = std::min(mine.least, others.least);
  };
  bins_.resize(std::max(bins_.size(), other.bins_.size()));
  for (std::size_t i = 0; i < other.bins_.size(); ++i) sum(bins_[i], other.bins_[i]);
  sum(below_, other.below_);
  return *this;
}

}  // namespace starling
