#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "point_clouds.h"
#include "starling/edge_conv.h"

// One table of EdgeConv for every backend, and the answers by plain loops in double.
namespace starling::edge_conv_cases {

template <typename T>
struct Case {
  std::string name;
  std::int32_t num_sources = 0;
  int hidden = 1, k = 0;
  EdgeAggregation aggregation = EdgeAggregation::max;
  bool relu = false;
  int outputs = 0;  // 0: no weight
  bool has_bias = true;
  std::vector<std::int64_t> row_splits = {};  // empty: k each
  bool tf32 = false;

  std::vector<std::int32_t> index = {};
  std::vector<T> target = {}, source = {}, weight = {}, bias = {}, out_gradient = {};

  std::int32_t num_rows() const {
    if (!row_splits.empty()) return static_cast<std::int32_t>(row_splits.size()) - 1;
    return k == 0 ? num_sources : static_cast<std::int32_t>(index.size()) / k;
  }
  std::int64_t first(std::int32_t row) const { return row_splits.empty() ? std::int64_t{row} * k : row_splits[row]; }
  int width() const { return outputs > 0 ? outputs : hidden; }
  std::size_t out_size() const { return static_cast<std::size_t>(num_rows()) * static_cast<std::size_t>(width()); }

  /// With pointers to these arrays, or to copies of them elsewhere.
  EdgeConv<T> conv(const std::int32_t* index_at, const std::int64_t* splits_at, const T* target_at, const T* source_at,
                   const T* weight_at, const T* bias_at) const {
    EdgeConv<T> result;
    result.index = index_at;
    result.num_rows = num_rows();
    result.k = k;
    if (!row_splits.empty()) {
      result.neighbor_row_splits = splits_at;
      result.num_entries = row_splits.back();
    }
    result.target = target_at;
    result.source = source_at;
    result.num_sources = num_sources;
    result.hidden = hidden;
    result.aggregation = aggregation;
    result.relu = relu;
    if (outputs > 0) {
      result.weight = weight_at;
      result.bias = has_bias ? bias_at : nullptr;
      result.outputs = outputs;
    }
    result.tf32 = tf32;
    return result;
  }
  EdgeConv<T> conv() const {
    return conv(index.data(), row_splits.data(), target.data(), source.data(), weight.data(), bias.data());
  }
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
  Sums out, target, source, weight, bias;
  std::vector<std::int32_t> kept, found;
};

/// The definition as it stands. p + q is rounded to T, so that ties and ReLUs are those of T. Gradients take the
/// maximum where `kept` says: near-ties of products may fall either way.
template <typename T>
Expected brute_force(const Case<T>& test, const std::vector<std::int32_t>& kept) {
  const auto hidden = static_cast<std::size_t>(test.hidden), width = static_cast<std::size_t>(test.width());
  Expected expected{Sums(test.out_size()),      Sums(test.target.size()),
                    Sums(test.source.size()),   Sums(test.weight.size()),
                    Sums(test.bias.size()),     std::vector<std::int32_t>(test.out_size(), -1),
                    std::vector<std::int32_t>()};
  for (std::int32_t row = 0; row < test.num_rows(); ++row) {
    const std::int64_t first = test.first(row), end = test.first(row + 1);
    const auto sources =
        std::count_if(test.index.begin() + first, test.index.begin() + end, [](int j) { return j >= 0; });
    expected.found.push_back(static_cast<std::int32_t>(sources));
    const auto hidden_of = [&](std::int64_t e, std::size_t h) {
      return T(test.target[std::size_t(row) * hidden + h] + test.source[std::size_t(test.index[e]) * hidden + h]);
    };
    for (std::size_t o = 0; o < width; ++o) {
      const std::size_t at = std::size_t(row) * width + o;
      double best = 0, sum = 0, size = 0;
      std::int32_t slot = -1, positive = 0;
      for (std::int64_t e = first; e < end; ++e) {
        if (test.index[e] < 0) continue;
        double message = 0, terms = 0;
        if (test.outputs > 0) {
          message = test.has_bias ? double(test.bias[o]) : 0;
          terms = std::abs(message);
          for (std::size_t h = 0; h < hidden; ++h) {
            const T x = hidden_of(e, h);
            const double term = double(test.weight[o * hidden + h]) * (x < 0 ? 0 : double(x));
            message += term;
            terms += std::abs(term);
          }
        } else {
          message = double(hidden_of(e, o));
          positive += message > 0;
          if (test.relu && message < 0) message = 0;
          terms = std::abs(message);
        }
        sum += message;
        if (slot < 0 || message > best || (std::isnan(message) && !std::isnan(best)))
          best = message, slot = static_cast<std::int32_t>(e - first);
        if (test.aggregation == EdgeAggregation::max)
          size = std::max(size, terms);
        else
          size += terms;
      }
      const bool is_max = test.aggregation == EdgeAggregation::max;
      const double scale = test.aggregation == EdgeAggregation::mean && sources > 0 ? 1. / double(sources) : 1;
      expected.out.value[at] = is_max ? best : sum * scale;
      expected.out.size[at] = is_max ? size : size * scale;
      expected.kept[at] = is_max ? slot : positive;

      const double gradient = test.out_gradient[at];
      for (std::int64_t e = first; e < end; ++e) {
        if (test.index[e] < 0 || (is_max && kept[at] != e - first)) continue;
        const double of_message = is_max ? gradient : gradient * scale;
        const auto add = [&](std::size_t h, double term) {
          expected.target.add(std::size_t(row) * hidden + h, term);
          expected.source.add(std::size_t(test.index[e]) * hidden + h, term);
        };
        if (test.outputs == 0) {
          if (!test.relu || hidden_of(e, o) > 0) add(o, of_message);
          continue;
        }
        expected.bias.add(o, of_message);
        for (std::size_t h = 0; h < hidden; ++h) {
          const T x = hidden_of(e, h);
          expected.weight.add(o * hidden + h, of_message * (x < 0 ? 0 : double(x)));
          if (x > 0) add(h, of_message * double(test.weight[o * hidden + h]));
        }
      }
    }
  }
  return expected;
}

template <typename T>
std::vector<T> normal_values(std::size_t n, clouds::Random& random) {
  std::vector<T> values(n);
  for (T& x : values) x = static_cast<T>(random.normal());
  return values;
}

template <typename T>
void fill(Case<T>& test, std::uint64_t seed) {
  clouds::Random random(seed);
  const auto entries = static_cast<std::size_t>(test.row_splits.empty() ? std::int64_t{test.num_sources} * test.k
                                                                        : test.row_splits.back());
  test.index.resize(entries);
  for (std::int32_t& one : test.index)
    one =
        test.num_sources > 0 && random.uniform() > 0.1 ? static_cast<std::int32_t>(random.below(test.num_sources)) : -1;
  const auto hidden = static_cast<std::size_t>(test.hidden), outputs = static_cast<std::size_t>(test.outputs);
  test.target = normal_values<T>(static_cast<std::size_t>(test.num_rows()) * hidden, random);
  test.source = normal_values<T>(static_cast<std::size_t>(test.num_sources) * hidden, random);
  test.weight = normal_values<T>(outputs * hidden, random);
  test.bias = normal_values<T>(outputs, random);
  test.out_gradient = normal_values<T>(test.out_size(), random);
}

/// A kind of message, without its lists.
struct Kind {
  const char* name;
  EdgeAggregation aggregation;
  bool relu;
  int outputs;
};
inline constexpr Kind kKinds[] = {
    {"max", EdgeAggregation::max, false, 0},        {"mean", EdgeAggregation::mean, false, 0},
    {"sum", EdgeAggregation::sum, false, 0},        {"mean of ReLU", EdgeAggregation::mean, true, 0},
    {"sum of ReLU", EdgeAggregation::sum, true, 0}, {"two layers", EdgeAggregation::max, true, 20}};

template <typename T>
Case<T> of_kind(const Kind& kind, const std::string& name, std::int32_t sources, int hidden, int k) {
  Case<T> test{.name = kind.name + (", " + name), .num_sources = sources, .hidden = hidden, .k = k};
  test.aggregation = kind.aggregation;
  test.relu = kind.relu;
  test.outputs = kind.outputs;
  return test;
}

template <typename T>
std::vector<Case<T>> table() {
  std::vector<Case<T>> cases;
  std::uint64_t seed = 1;
  const auto add = [&](Case<T> test) {
    fill(test, seed++);
    cases.push_back(std::move(test));
  };
  for (const Kind& kind : kKinds) {
    const auto with = [&](const std::string& name, std::int32_t sources, int hidden, int k) {
      return of_kind<T>(kind, name, sources, hidden, k);
    };
    for (const int hidden : {1, 3, 16, 17, 32, 33, 64, 100, 129, 200})
      add(with("hidden " + std::to_string(hidden), 50, hidden, 9));
    if (kind.outputs == 0) add(with("hidden 300", 50, 300, 9));
    for (const int k : {0, 1, 2, 7, 8, 9, 31, 32, 33, 40, 64, 100}) add(with("k " + std::to_string(k), 41, 12, k));
    for (const std::int32_t points : {0, 1, 2, 3, 127, 700})
      add(with(std::to_string(points) + " points", points, 24, 8));

    Case<T> lists = with("row splits", 50, 24, 0);
    clouds::Random random(99);
    lists.row_splits = {0};
    for (int row = 0; row < 77; ++row) lists.row_splits.push_back(lists.row_splits.back() + random.below(40));
    add(lists);

    // All sources alike: the first present entry of each list is the maximum.
    Case<T> ties = with("ties", 30, 32, 20);
    fill(ties, 7);
    std::fill(ties.source.begin(), ties.source.end(), T(1.5));
    cases.push_back(ties);

    // Sources that differ by less than the sum's last place: equal sums, of which the first counts.
    Case<T> near = with("ties of sums", 30, 32, 20);
    fill(near, 8);
    for (T& p : near.target) p = T(1024) + std::floor(p);
    for (T& q : near.source) q = T(1) + std::numeric_limits<T>::epsilon() * std::floor(q);
    cases.push_back(near);

    // All messages negative: padding is no zero in the maximum.
    Case<T> negative = with("negative", 30, 8, 6);
    fill(negative, 8);
    for (T& q : negative.source) q = -std::abs(q) - T(9);
    cases.push_back(negative);

    Case<T> empty = with("only padding", 20, 8, 5);
    fill(empty, 9);
    std::fill(empty.index.begin(), empty.index.end(), -1);
    cases.push_back(empty);

    // One source in every list, more than once.
    Case<T> star = with("one source", 500, 32, 7);
    fill(star, 10);
    for (std::int32_t& one : star.index) one = one < 0 ? -1 : 3;
    cases.push_back(star);
  }
  for (const int outputs : {1, 2, 15, 16, 17, 63, 64, 65, 128, 200}) {
    Case<T> test{.name = "outputs " + std::to_string(outputs), .num_sources = 60, .hidden = 64, .k = 16};
    test.relu = true;
    test.outputs = outputs;
    test.has_bias = outputs != 16;
    add(test);
  }
  // More rows than one partial sum of the weights' gradient takes.
  Case<T> many{.name = "many rows", .num_sources = 3000, .hidden = 64, .k = 4};
  many.relu = true;
  many.outputs = 64;
  add(many);
  return cases;
}

}  // namespace starling::edge_conv_cases
