#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "half/storage.h"
#include "point_clouds.h"
#include "starling/message.h"

// One table of messages for every backend, and the answers by plain loops in double.
namespace starling::message_cases {

enum class Weights { distances, given, none };

/// A type of the computation and one of what is stored.
template <typename T, typename S>
struct Stored {
  using Computed = T;
  using Values = S;
};

inline double number(double value) { return value; }
inline double number(Float16 value) { return double{storage::computed(value)}; }
inline double number(BFloat16 value) { return double{storage::computed(value)}; }
/// How far rounding to S may go, relative to a value.
template <typename S>
constexpr double kRounding = sizeof(S) > 2 ? 0 : (std::is_same_v<S, Float16> ? 0x1p-11 : 0x1p-8);

template <typename T, typename S>
struct Case {
  std::string name;
  std::int32_t num_sources = 0;
  int width = 1, k = 0;
  std::vector<std::int32_t> index = {};
  std::vector<std::int64_t> row_splits = {};  // empty: k each
  Weights weights = Weights::distances;
  T factor = 10;
  MeanDivisor divisor = MeanDivisor::found;
  bool absent_is_zero = false, subtract = false;

  std::vector<S> features = {};
  std::vector<T> weight = {};  // d² or w
  std::vector<S> mean_gradient = {}, max_gradient = {};

  std::int32_t num_rows() const {
    if (!row_splits.empty()) return static_cast<std::int32_t>(row_splits.size()) - 1;
    return k == 0 ? num_sources : static_cast<std::int32_t>(index.size()) / k;
  }
  std::int64_t first(std::int32_t row) const { return row_splits.empty() ? std::int64_t{row} * k : row_splits[row]; }
  std::size_t outputs() const { return static_cast<std::size_t>(num_rows()) * static_cast<std::size_t>(width); }

  /// With pointers to these arrays, or to copies of them elsewhere.
  Messages<T, S> messages(const std::int32_t* index_at, const std::int64_t* splits_at, const S* features_at,
                          const T* weight_at) const {
    Messages<T, S> messages;
    messages.index = index_at;
    messages.num_rows = num_rows();
    messages.k = k;
    if (!row_splits.empty()) {
      messages.neighbor_row_splits = splits_at;
      messages.num_entries = row_splits.back();
    }
    messages.features = features_at;
    messages.num_sources = num_sources;
    messages.width = width;
    if (weights == Weights::distances) messages.distance2 = weight_at;
    if (weights == Weights::given) messages.weight = weight_at;
    messages.factor = factor;
    messages.divisor = divisor;
    messages.absent_is_zero = absent_is_zero;
    messages.subtract = subtract;
    return messages;
  }
  Messages<T, S> messages() const { return messages(index.data(), row_splits.data(), features.data(), weight.data()); }
};

/// Values and, for tolerances, sums of absolute values.
struct Sums {
  std::vector<double> value, size;
  explicit Sums(std::size_t count) : value(count), size(count) {}
  void add(std::size_t at, double term) {
    value[at] += term;
    size[at] += std::abs(term);
  }
};

struct Expected {
  Sums mean, max, features_gradient, weight_gradient;
  std::vector<std::int32_t> max_slot;
};

/// The definitions as they stand. Messages are rounded to T before the maximum is chosen, so that ties are those of T.
template <typename T, typename S>
Expected brute_force(const Case<T, S>& test, const std::vector<std::int32_t>& slots) {
  const auto width = static_cast<std::size_t>(test.width);
  Expected expected{Sums(test.outputs()), Sums(test.outputs()), Sums(test.features.size()), Sums(test.index.size()),
                    std::vector<std::int32_t>(test.outputs(), kNoSlot)};
  const double sign = test.subtract ? -1 : 1;
  for (std::int32_t row = 0; row < test.num_rows(); ++row) {
    const std::int64_t first = test.first(row), end = test.first(row + 1);
    std::vector<double> w(static_cast<std::size_t>(end - first));
    std::int64_t found = 0;
    double weight_sum = 0;
    for (std::int64_t e = first; e < end; ++e) {
      if (test.index[e] < 0) continue;
      double& one = w[e - first];
      one = test.weights == Weights::none ? 1 : double(test.weight[e]);
      if (test.weights == Weights::distances) one = std::exp(-double(test.factor) * one);
      ++found;
      weight_sum += one;
    }
    double divisor = test.divisor == MeanDivisor::weights ? weight_sum : static_cast<double>(found);
    if (test.divisor == MeanDivisor::all) divisor = test.k;
    for (std::size_t f = 0; f < width; ++f) {
      const std::size_t out = static_cast<std::size_t>(row) * width + f;
      double mean = 0, max = 0;
      std::int32_t slot = kNoSlot;
      for (std::int64_t e = first; e < end; ++e) {
        if (test.index[e] < 0) continue;
        const double message = w[e - first] * number(test.features[test.index[e] * width + f]);
        mean += divisor == 0 ? 0 : message / divisor;
        expected.mean.size[out] += divisor == 0 ? 0 : std::abs(message / divisor);
        if (slot == kNoSlot || message > max || (std::isnan(message) && !std::isnan(max))) {
          max = message;
          slot = static_cast<std::int32_t>(e - first);
        }
      }
      if (test.absent_is_zero && found < test.k && (slot == kNoSlot || 0 > max)) max = 0, slot = kNoSlot;
      expected.max_slot[out] = slot;
      const double own = test.subtract ? number(test.features[out]) : 0;
      expected.mean.value[out] = own + sign * mean;
      expected.max.value[out] = own + sign * max;
      expected.mean.size[out] += std::abs(own);
      expected.max.size[out] = std::abs(own) + std::abs(max);

      // Gradients, with the maximum where the backend found it: near-ties may fall either way.
      const double gmean = test.mean_gradient.empty() ? 0 : sign * number(test.mean_gradient[out]);
      const double gmax = test.max_gradient.empty() ? 0 : sign * number(test.max_gradient[out]);
      for (std::int64_t e = first; e < end; ++e) {
        if (test.index[e] < 0) continue;
        const std::size_t source = test.index[e] * width + f;
        const double h = number(test.features[source]), weight = w[e - first];
        const bool is_max = slots[out] == e - first;
        const double scaled = divisor == 0 ? 0 : gmean / divisor;
        expected.features_gradient.add(source, weight * scaled);
        if (is_max) expected.features_gradient.add(source, weight * gmax);
        const double centre = test.divisor == MeanDivisor::weights ? mean : 0;
        const double chain = test.weights == Weights::distances ? -double(test.factor) * weight : 1;
        expected.weight_gradient.add(e, chain * scaled * (h - centre));
        if (is_max) expected.weight_gradient.add(e, chain * gmax * h);
      }
      if (test.subtract) {
        expected.features_gradient.add(out, -gmean);
        expected.features_gradient.add(out, -gmax);
      }
    }
  }
  return expected;
}

template <typename T, typename S>
std::vector<S> normal_values(std::size_t n, clouds::Random& random) {
  std::vector<S> values(n);
  for (S& x : values) storage::store(x, static_cast<T>(random.normal()));
  return values;
}

template <typename T, typename S>
void fill(Case<T, S>& test, std::uint64_t seed) {
  clouds::Random random(seed);
  const auto entries = static_cast<std::size_t>(test.row_splits.empty() ? std::int64_t{test.num_sources} * test.k
                                                                        : test.row_splits.back());
  test.index.resize(entries);
  for (std::int32_t& one : test.index) {
    one =
        test.num_sources > 0 && random.uniform() > 0.1 ? static_cast<std::int32_t>(random.below(test.num_sources)) : -1;
  }
  test.features =
      normal_values<T, S>(static_cast<std::size_t>(test.num_sources) * static_cast<std::size_t>(test.width), random);
  test.weight.resize(entries);
  for (std::size_t e = 0; e < entries; ++e) {
    test.weight[e] = test.index[e] < 0 ? std::numeric_limits<T>::infinity() : static_cast<T>(0.3 * random.uniform());
    if (random.uniform() < 0.05) test.weight[e] = test.index[e] < 0 ? test.weight[e] : T(0);
  }
  test.mean_gradient = normal_values<T, S>(test.outputs(), random);
  test.max_gradient = normal_values<T, S>(test.outputs(), random);
}

template <typename T, typename S>
std::vector<Case<T, S>> table() {
  using Each = Case<T, S>;
  std::vector<Each> cases;
  std::uint64_t seed = 1;
  const auto add = [&](Each test) {
    fill(test, seed++);
    cases.push_back(std::move(test));
  };
  for (const int width : {1, 3, 4, 8, 16, 17, 22, 32, 33, 64, 100, 128, 129, 300}) {
    add({.name = "width " + std::to_string(width), .num_sources = 70, .width = width, .k = 9});
  }
  for (const int k : {0, 1, 2, 5, 31, 32, 33, 64, 100}) {
    add({.name = "k " + std::to_string(k), .num_sources = 41, .width = 8, .k = k});
  }
  for (const std::int32_t points : {0, 1, 2, 3, 127, 1000}) {
    add({.name = std::to_string(points) + " points", .num_sources = points, .width = 32, .k = 8});
  }
  for (const MeanDivisor divisor : {MeanDivisor::found, MeanDivisor::all, MeanDivisor::weights}) {
    for (const Weights weights : {Weights::distances, Weights::given, Weights::none}) {
      for (const bool subtract : {false, true}) {
        for (const int width : {22, 40}) {
          add({.name = "divisor " + std::to_string(int(divisor)) + ", weights " + std::to_string(int(weights)) +
                       (subtract ? ", subtract" : ""),
               .num_sources = 60,
               .width = width,
               .k = 12,
               .weights = weights,
               .factor = 1,
               .divisor = divisor,
               .absent_is_zero = divisor == MeanDivisor::all,
               .subtract = subtract});
        }
      }
    }
  }
  Each lists{.name = "row splits", .num_sources = 50, .width = 24, .row_splits = {0}};
  clouds::Random random(99);
  for (int row = 0; row < 77; ++row) lists.row_splits.push_back(lists.row_splits.back() + random.below(40));
  add(lists);

  // Ties: all features and distances alike, so the first present entry of each list is the maximum.
  Each ties{.name = "ties", .num_sources = 30, .width = 32, .k = 20};
  fill(ties, 7);
  for (S& x : ties.features) storage::store(x, T(1.5));
  for (std::size_t e = 0; e < ties.index.size(); ++e) ties.weight[e] = ties.index[e] < 0 ? ties.weight[e] : T(0.25);
  cases.push_back(ties);

  // Negative features: padding is no zero in the maximum.
  Each negative{.name = "negative", .num_sources = 30, .width = 8, .k = 6};
  fill(negative, 8);
  for (S& x : negative.features) storage::store(x, -std::abs(storage::computed(x)) - T(0.1));
  cases.push_back(negative);
  negative.name = "negative, absent is zero";
  negative.absent_is_zero = true;
  cases.push_back(negative);

  // Nobody's neighbour, and lists without any.
  Each empty{.name = "only padding", .num_sources = 20, .width = 8, .k = 5};
  fill(empty, 9);
  std::fill(empty.index.begin(), empty.index.end(), -1);
  cases.push_back(empty);

  // One source in every list.
  Each star{.name = "one source", .num_sources = 500, .width = 32, .k = 7};
  fill(star, 10);
  for (std::int32_t& one : star.index) one = one < 0 ? -1 : 3;
  cases.push_back(star);
  return cases;
}

}  // namespace starling::message_cases
