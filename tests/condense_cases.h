#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "point_clouds.h"
#include "starling/condensation.h"
#include "starling/safetensors.h"

// Events to cluster, for every backend, and a reference that compares every hit with every point.
namespace starling::condense_cases {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <typename T>
struct Case {
  std::string name;
  std::vector<T> beta, x, scale;         // no scale: 1
  std::vector<std::int32_t> row_splits;  // none: one event
  int dimensions = 3;
  CondenseOptions options;

  std::int32_t size() const { return static_cast<std::int32_t>(beta.size()); }
  std::int32_t events() const { return row_splits.empty() ? 1 : static_cast<std::int32_t>(row_splits.size()) - 1; }

  CondenseHits<T> hits() const {
    return {beta.data(),
            x.data(),
            size(),
            dimensions,
            row_splits.empty() ? nullptr : row_splits.data(),
            events(),
            scale.empty() ? nullptr : scale.data()};
  }
};

struct Result {
  std::vector<std::int32_t> id, point, num_points;
  bool operator==(const Result&) const = default;
};

template <typename T>
Result reference(const Case<T>& test) {
  Result result{std::vector<std::int32_t>(test.beta.size(), -1), std::vector<std::int32_t>(test.beta.size(), -1), {}};
  const auto reach2 = [&](std::int32_t point) {
    const double r = test.options.t_d * (test.scale.empty() ? 1.0 : static_cast<double>(test.scale[point]));
    return static_cast<T>(r * r);
  };
  const auto distance2 = [&](std::int32_t a, std::int32_t b) {
    T sum = 0;
    for (int d = 0; d < test.dimensions; ++d) {
      const T apart = test.x[a * test.dimensions + d] - test.x[b * test.dimensions + d];
      sum = std::fma(apart, apart, sum);
    }
    return sum;
  };
  for (std::int32_t event = 0; event < test.events(); ++event) {
    const std::int32_t first = test.row_splits.empty() ? 0 : test.row_splits[event];
    const std::int32_t last = test.row_splits.empty() ? test.size() : test.row_splits[event + 1];
    std::vector<std::int32_t> points;
    while (true) {
      std::int32_t best = -1;
      for (std::int32_t row = first; row < last; ++row) {
        if (result.id[row] < 0 && test.beta[row] >= static_cast<T>(test.options.t_beta) &&
            (best < 0 || test.beta[row] > test.beta[best]))
          best = row;
      }
      if (best < 0) break;
      for (std::int32_t row = first; row < last; ++row) {
        if (result.id[row] >= 0 || !(distance2(best, row) <= reach2(best))) continue;
        result.id[row] = static_cast<std::int32_t>(points.size());
        result.point[row] = best;
      }
      points.push_back(best);
    }
    for (std::int32_t row = first; row < last && test.options.assign == CondenseAssign::nearest; ++row) {
      T nearest = std::numeric_limits<T>::infinity();
      for (std::size_t p = 0; p < points.size(); ++p) {
        const T d2 = distance2(points[p], row);
        if (!(d2 <= reach2(points[p])) || !(d2 < nearest)) continue;
        nearest = d2;
        result.id[row] = static_cast<std::int32_t>(p);
        result.point[row] = points[p];
      }
    }
    result.num_points.push_back(static_cast<std::int32_t>(points.size()));
  }
  return result;
}

/// The golden cases, and what each gives.
template <typename T>
std::vector<std::pair<Case<T>, Result>> golden() {
  const TensorFile file = read_safetensors(data_folder() / "dynamic_networks" / "inference.safetensors");
  const auto values = [&](const char* name) {
    const std::vector<float> floats = file.at(std::string("inputs/") + name).f32();
    return std::vector<T>(floats.begin(), floats.end());
  };
  constexpr auto collect = CondenseAssign::collect, nearest = CondenseAssign::nearest;
  struct Golden {
    const char* name;
    CondenseOptions options;
    bool scaled;
  };
  std::vector<std::pair<Case<T>, Result>> cases;
  for (const Golden& golden :
       {Golden{"collect", {0.1, 0.75, collect}, false}, Golden{"nearest", {0.1, 0.75, nearest}, false},
        Golden{"collect_scale", {0.1, 1, collect}, true}, Golden{"nearest_scale", {0.1, 1, nearest}, true},
        Golden{"threshold_hit", {0.75, 0.5, collect}, true},
        Golden{"threshold_hit_nearest", {0.75, 0.5, nearest}, true}, Golden{"large_radius", {0.5, 64, collect}, false},
        Golden{"nobody", {1.5, 1, collect}, false}, Golden{"everybody", {0, 0, collect}, false}}) {
    const auto at = [&](const char* name) { return file.at(std::string(golden.name) + "/" + name).i32(); };
    Case<T> test{golden.name,
                 values("beta"),
                 values("x"),
                 golden.scaled ? values("scale") : std::vector<T>(),
                 file.at("inputs/row_splits").i32(),
                 3,
                 golden.options};
    Result result{at("id"), at("cp"), {}};
    const std::vector<std::int32_t> splits = at("point_splits");
    for (std::size_t e = 0; e + 1 < splits.size(); ++e) result.num_points.push_back(splits[e + 1] - splits[e]);
    cases.emplace_back(std::move(test), std::move(result));
  }
  return cases;
}

/// Hits around `objects` places of a cube, β in `levels` steps of 0..1 (0: any), a tenth of the hits anywhere.
template <typename T>
Case<T> shower_case(std::string name, const std::vector<std::int32_t>& sizes, int objects, int dimensions, int levels,
                    bool scaled, CondenseOptions options, std::uint64_t seed) {
  clouds::Random random(seed);
  Case<T> test;
  test.name = std::move(name);
  test.dimensions = dimensions;
  test.options = options;
  test.row_splits = {0};
  std::vector<double> centres(static_cast<std::size_t>(objects * dimensions));
  for (double& centre : centres) centre = 4 * random.uniform();
  for (const std::int32_t size : sizes) {
    for (std::int32_t h = 0; h < size; ++h) {
      test.beta.push_back(
          static_cast<T>(levels > 0 ? static_cast<double>(random.below(levels + 1)) / levels : random.uniform()));
      if (scaled) test.scale.push_back(static_cast<T>(0.25 + random.uniform()));
      const auto object = random.below(objects);
      const bool noise = random.uniform() < 0.1;
      for (int d = 0; d < dimensions; ++d)
        test.x.push_back(
            static_cast<T>(noise ? 4 * random.uniform()
                                 : centres[static_cast<std::size_t>(object * dimensions + d)] + 0.1 * random.normal()));
    }
    test.row_splits.push_back(test.size());
  }
  return test;
}

/// One event of lattice points: equal distances, and hits at the same place.
template <typename T>
Case<T> lattice_case(std::string name, std::int32_t n, int dimensions, int side, CondenseOptions options,
                     std::uint64_t seed) {
  clouds::Random random(seed);
  Case<T> test;
  test.name = std::move(name);
  test.dimensions = dimensions;
  test.options = options;
  test.x = clouds::lattice<T>(n, dimensions, side, seed);
  for (std::int32_t h = 0; h < n; ++h) test.beta.push_back(static_cast<T>(random.below(9)) / T(8));
  return test;
}

/// One event of scale 1.
template <typename T>
Case<T> few_hits(std::string name, std::vector<T> beta, std::vector<T> x, int dimensions, CondenseOptions options) {
  Case<T> test;
  test.name = std::move(name);
  test.beta = std::move(beta);
  test.x = std::move(x);
  test.dimensions = dimensions;
  test.options = options;
  return test;
}

/// Every case with hits that are collected; table() has each with `nearest` too.
template <typename T>
std::vector<Case<T>> collected() {
  std::vector<Case<T>> cases;
  cases.push_back(few_hits<T>("no hits", {}, {}, 3, {0, 1}));
  cases.push_back(few_hits<T>("no events", {}, {}, 3, {0, 1}));
  cases.back().row_splits = {0};
  cases.push_back(few_hits<T>("one hit", {T(0.5)}, {1, 2, 3}, 3, {0.5, 0}));
  cases.push_back(few_hits<T>("one hit below", {T(0.25)}, {1, 2, 3}, 3, {0.5, 1}));
  for (int d = 1; d <= kMaxCondensationDimensions; ++d) {
    const std::string at = " in " + std::to_string(d) + " dimensions";
    cases.push_back(shower_case<T>("events" + at, {300, 0, 1, 700, 33}, 12, d, 0, false, {0.3, 0.4}, 10 + d));
    cases.push_back(shower_case<T>("scales" + at, {31, 500, 0}, 9, d, 0, true, {0.1, 0.5}, 20 + d));
  }
  cases.push_back(shower_case<T>("ties of beta", {800, 90, 0, 0}, 20, 3, 3, true, {0.3, 0.5}, 30));
  cases.push_back(shower_case<T>("beta all equal", {700}, 20, 2, 1, false, {0.5, 0.3}, 31));
  cases.push_back(shower_case<T>("no point", {200, 10}, 5, 3, 0, false, {1.5, 1}, 32));
  cases.push_back(shower_case<T>("no threshold", {3000}, 60, 3, 0, false, {-kInfinity, 0.3}, 33));
  cases.push_back(shower_case<T>("every hit a point", {2600, 40}, 60, 3, 0, false, {0, 1e-6}, 34));
  cases.push_back(shower_case<T>("one point per event", {600, 5, 700}, 6, 3, 0, true, {0, kInfinity}, 35));
  std::vector<std::int32_t> sizes;
  for (int e = 0; e < 500; ++e) sizes.push_back(e * 7 % 23);
  cases.push_back(shower_case<T>("many small events", sizes, 4, 3, 0, true, {0.2, 0.5}, 36));
  cases.push_back(shower_case<T>("few candidates", {5000}, 40, 3, 0, false, {0.99, 0.5}, 37));
  cases.push_back(lattice_case<T>("lattice", 2000, 2, 40, {0.25, 3}, 38));
  cases.push_back(lattice_case<T>("same place only", 2000, 3, 8, {0, 0}, 39));
  cases.push_back(lattice_case<T>("all at one place", 1500, 3, 1, {0.5, 0}, 40));
  // Each hit but the last reaches the next one: every other becomes a point.
  Case<T> chain = few_hits<T>("chain", {}, {}, 1, {0, 1});
  for (int h = 0; h < 1300; ++h) {
    chain.beta.push_back(T(1) - T(h) / T(2048));
    chain.x.push_back(T(h));
  }
  cases.push_back(chain);
  // −0 and 0 are equal, as are hits whose d² is more than T holds from all points.
  cases.push_back(few_hits<T>("signed zeros", {T(-0.0), T(0), T(-0.0), T(0), T(0)}, {0, 1, 2, 0, 4}, 1, {0, 1.5}));
  const T far = std::numeric_limits<T>::max() / 2;
  cases.push_back(few_hits<T>("overflow", {T(0.5), T(0.75), T(0.5), T(0.25)}, {0, far, -far, 1}, 1, {0.5, kInfinity}));
  return cases;
}

template <typename T>
std::vector<Case<T>> table() {
  std::vector<Case<T>> cases = collected<T>();
  const std::size_t count = cases.size();
  for (std::size_t i = 0; i < count; ++i) {
    cases.push_back(cases[i]);
    cases.back().name += ", nearest";
    cases.back().options.assign = CondenseAssign::nearest;
  }
  return cases;
}

}  // namespace starling::condense_cases
