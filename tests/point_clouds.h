#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

// Point clouds that tests and benchmarks of neighbours share, [n, dimensions] row-major, the same for a seed
// everywhere.
namespace starling::clouds {

/// Random numbers by counter: the value depends on (seed, position in the stream) alone.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15U + 0x632BE59BD9B4E019U) {}
  std::uint64_t bits() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
  }
  /// In [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(uniform() * static_cast<double>(n)); }
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

/// Uniform in [0, 1]^D.
template <typename T>
std::vector<T> uniform(std::int64_t n, int dimensions, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> points(static_cast<std::size_t>(n * dimensions));
  for (T& x : points) x = static_cast<T>(random.uniform());
  return points;
}

/// Normal of width 1 in each dimension.
template <typename T>
std::vector<T> gaussian(std::int64_t n, int dimensions, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> points(static_cast<std::size_t>(n * dimensions));
  for (T& x : points) x = static_cast<T>(random.normal());
  return points;
}

/// Gaussian showers in a box of side 1.5 · C^(1/D) for C = n / 1000 showers of log-normal size, each dimension of each
/// shower of a width about `sigma` of its own, and 5 % noise over the box. In random order.
template <typename T>
std::vector<T> showers(std::int64_t n, int dimensions, double sigma, std::uint64_t seed) {
  Random random(seed);
  const std::int64_t showers = std::max<std::int64_t>(1, n / 1000);
  const double side = 1.5 * std::pow(static_cast<double>(showers), 1.0 / dimensions);
  std::vector<double> upto(static_cast<std::size_t>(showers));  // running sum of the sizes
  std::vector<double> centres(static_cast<std::size_t>(showers * dimensions));
  std::vector<double> widths(centres.size());
  double sum = 0;
  for (double& end : upto) end = sum += std::exp(random.normal());
  for (double& x : centres) x = side * random.uniform();
  for (double& x : widths) x = sigma * std::exp(0.5 * random.normal());
  std::vector<T> points(static_cast<std::size_t>(n * dimensions));
  for (std::int64_t i = 0; i < n; ++i) {
    const bool noise = random.uniform() < 0.05;
    const auto shower = std::min<std::int64_t>(
        showers - 1, std::lower_bound(upto.begin(), upto.end(), sum * random.uniform()) - upto.begin());
    for (int d = 0; d < dimensions; ++d) {
      const auto at = static_cast<std::size_t>(shower * dimensions + d);
      points[static_cast<std::size_t>(i * dimensions + d)] =
          static_cast<T>(noise ? side * random.uniform() : centres[at] + widths[at] * random.normal());
    }
  }
  return points;
}

/// Features such as a trained network has: a random network of three layers (ReLU) of the points of `showers` in four
/// dimensions, so that they spread in few directions and many are 0.
template <typename T>
std::vector<T> features(std::int64_t n, int dimensions, std::uint64_t seed) {
  std::vector<T> rows = showers<T>(n, 4, 0.1, seed);
  int inputs = 4;
  Random random(seed + 1);
  std::vector<T> weight;
  for (int layer = 0; layer < 3; ++layer) {
    weight.resize(static_cast<std::size_t>(inputs * dimensions));
    for (T& x : weight) x = static_cast<T>(random.normal() * std::sqrt(2.0 / inputs));
    std::vector<T> next(static_cast<std::size_t>(n * dimensions), T(0));
    for (std::int64_t i = 0; i < n; ++i) {
      T* const to = next.data() + i * dimensions;
      for (int in = 0; in < inputs; ++in) {
        const T x = rows[static_cast<std::size_t>(i * inputs + in)];
        for (int d = 0; d < dimensions; ++d) to[d] += x * weight[static_cast<std::size_t>(in * dimensions + d)];
      }
      for (int d = 0; d < dimensions; ++d) to[d] = std::max(to[d], T(0));
    }
    rows = std::move(next);
    inputs = dimensions;
  }
  return rows;
}

/// Clouds of performance figures: "cluster" has showers about 0.1 wide, "tight" about 0.01.
template <typename T>
std::vector<T> cluster(std::int64_t n, int dimensions, std::uint64_t seed) {
  return showers<T>(n, dimensions, 0.1, seed);
}
template <typename T>
std::vector<T> tight(std::int64_t n, int dimensions, std::uint64_t seed) {
  return showers<T>(n, dimensions, 0.01, seed);
}

/// "uniform", "gaussian", "cluster", "tight" or "features", seed 1.
template <typename T>
std::vector<T> named(const std::string& name, std::int64_t n, int dimensions) {
  if (name == "uniform") return uniform<T>(n, dimensions, 1);
  if (name == "gaussian") return gaussian<T>(n, dimensions, 1);
  if (name == "features") return features<T>(n, dimensions, 1);
  if (name == "cluster") return cluster<T>(n, dimensions, 1);
  if (name == "tight") return tight<T>(n, dimensions, 1);
  throw std::invalid_argument("data '" + name + "': expected uniform, gaussian, cluster, tight or features");
}

/// Random points of the lattice {0 .. side−1}^D: many equal distances, and equal points.
template <typename T>
std::vector<T> lattice(std::int64_t n, int dimensions, int side, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> points(static_cast<std::size_t>(n * dimensions));
  for (T& x : points) x = static_cast<T>(random.below(side));
  return points;
}

}  // namespace starling::clouds
