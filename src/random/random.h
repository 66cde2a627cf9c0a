#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace starling::random {

/// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
/// 1, 2, 3", SC 2011: a keyed bijection of 128-bit counters.
inline std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::uint64_t key) {
  auto key0 = static_cast<std::uint32_t>(key), key1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = 0xD2511F53ull * counter[0], product1 = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key0, static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key1, static_cast<std::uint32_t>(product0)};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// The random numbers of one particle (or of one other thing that is drawn independently): a stream that depends on
/// (seed, event, stream) alone.
class Random {
 public:
  /// Streams of one event must differ.
  Random(std::uint64_t seed, std::uint64_t event, std::uint64_t stream)
      : key_(seed ^ (event & 0xFFFFFFFF00000000ull)),
        counter_{0, static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32),
                 static_cast<std::uint32_t>(event)} {}

  /// Uniform in (0, 1), never either end.
  double uniform() {
    if (next_ == 4) {
      words_ = philox(counter_, key_);
      ++counter_[0];
      next_ = 0;
    }
    return (words_[next_++] + 0.5) * 0x1p-32;
  }

  double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Standard normal, by Box and Muller: each pair of uniform numbers gives two.
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const double radius = std::sqrt(-2 * std::log(uniform())), angle = 2 * std::numbers::pi * uniform();
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }

  double exponential() { return -std::log(uniform()); }

  /// Gamma with the given shape and unit scale (Marsaglia and Tsang, ACM TOMS 26, 2000; shapes below 1 by their boost).
  double gamma(double shape) {
    if (shape < 1) {
      const double boost = std::pow(uniform(), 1 / shape);
      return gamma(shape + 1) * boost;
    }
    const double d = shape - 1. / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), root = 1 + c * x;
      if (root <= 0) continue;
      const double v = root * root * root;
      if (std::log(uniform()) < 0.5 * x * x + d * (1 - v + std::log(v))) return d * v;
    }
  }

  /// Poisson: by products below a mean of 30, above it the rounded normal, which is within a percent there.
  int poisson(double mean) {
    if (mean <= 0) return 0;
    if (mean > 30) return std::max(0, static_cast<int>(std::lround(mean + std::sqrt(mean) * normal())));
    const double end = std::exp(-mean);
    int count = 0;
    for (double product = uniform(); product > end; product *= uniform()) ++count;
    return count;
  }

 private:
  std::uint64_t key_;
  std::array<std::uint32_t, 4> counter_, words_{};
  int next_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace starling::random
