#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "neighbors_cases.h"
#include "starling/neighbors.h"

// One table of neighbour lists for the derivatives of distances on every backend, and the answers by plain loops in
// double.
namespace starling::neighbor_gradient_cases {

template <typename T>
struct Case {
  std::string name;
  int dimensions = 0;
  std::vector<T> points;
  bool separate_queries = false;
  std::vector<T> queries = {};
  std::vector<std::int32_t> index;
  int k = 0;
  std::vector<std::int64_t> row_splits = {};  // empty: k each
  std::vector<T> weight = {};
  std::vector<T> points_tangent = {}, queries_tangent = {};

  std::int32_t num_points() const { return static_cast<std::int32_t>(points.size()) / dimensions; }
  std::int32_t num_queries() const {
    return separate_queries ? static_cast<std::int32_t>(queries.size()) / dimensions : num_points();
  }
  NeighborLists<T> lists() const {
    NeighborLists<T> lists;
    lists.points = points.data();
    lists.num_points = num_points();
    lists.dimensions = dimensions;
    if (separate_queries) {
      static constexpr T kNoQueries = 0;  // not null, which would mean the points
      lists.queries = queries.empty() ? &kNoQueries : queries.data();
      lists.num_queries = num_queries();
    }
    lists.index = index.data();
    lists.k = k;
    if (!row_splits.empty()) {
      lists.neighbor_row_splits = row_splits.data();
      lists.num_entries = row_splits.back();
    }
    return lists;
  }
};

/// Calls use(entry, query, point) for each entry that is not −1.
template <typename T, typename Use>
void for_each_edge(const Case<T>& test, const Use& use) {
  std::size_t row = 0;
  for (std::size_t e = 0; e < test.index.size(); ++e) {
    if (test.row_splits.empty())
      row = e / static_cast<std::size_t>(test.k);
    else
      while (test.row_splits[row + 1] <= static_cast<std::int64_t>(e)) ++row;
    if (test.index[e] >= 0) use(e, row, static_cast<std::size_t>(test.index[e]));
  }
}

/// Sums and, for the tolerance, sums of absolute values.
struct Sums {
  std::vector<double> value, size;
  explicit Sums(std::size_t count) : value(count), size(count) {}
  void add(std::size_t at, double term) {
    value[at] += term;
    size[at] += std::abs(term);
  }
};

struct Expected {
  Sums points, queries, tangent;
};

template <typename T>
Expected brute_force(const Case<T>& test) {
  const auto dimensions = static_cast<std::size_t>(test.dimensions);
  Expected expected{Sums(test.points.size()), Sums(test.queries.size()), Sums(test.index.size())};
  const bool self = !test.separate_queries;
  const std::vector<T>& queries = self ? test.points : test.queries;
  const std::vector<T>& along_q = self ? test.points_tangent : test.queries_tangent;
  for_each_edge(test, [&](std::size_t e, std::size_t row, std::size_t point) {
    for (std::size_t d = 0; d < dimensions; ++d) {
      const std::size_t q = row * dimensions + d, p = point * dimensions + d;
      const double apart = double(queries[q]) - double(test.points[p]);
      (self ? expected.points : expected.queries).add(q, 2 * double(test.weight[e]) * apart);
      expected.points.add(p, -2 * double(test.weight[e]) * apart);
      expected.tangent.add(e, 2 * apart * (double(along_q[q]) - double(test.points_tangent[p])));
    }
  });
  return expected;
}

template <typename T>
std::vector<T> random_values(std::size_t n, std::uint64_t seed) {
  clouds::Random random(seed);
  std::vector<T> values(n);
  for (T& x : values) x = static_cast<T>(random.normal());
  return values;
}

/// Random entries, a tenth of them −1; the same point may stand in a list several times.
inline std::vector<std::int32_t> random_index(std::size_t entries, std::int32_t points, std::uint64_t seed) {
  clouds::Random random(seed);
  std::vector<std::int32_t> index(entries, -1);
  for (std::int32_t& one : index) {
    if (points > 0 && random.uniform() > 0.1) one = static_cast<std::int32_t>(random.below(points));
  }
  return index;
}

template <typename T>
std::vector<Case<T>> table() {
  std::vector<Case<T>> cases;
  const auto add = [&](Case<T> test) { cases.push_back(std::move(test)); };
  for (const int d : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 32, 33, 64, 100, 130}) {
    add({.name = "D " + std::to_string(d),
         .dimensions = d,
         .points = clouds::uniform<T>(90, d, 1),
         .index = random_index(90 * 13, 90, 2),
         .k = 13});
  }
  for (const int k : {1, 7, 8, 9, 64, 65}) {
    // As knn() writes them: the point itself first, duplicates, padding at the end where there are too few.
    neighbor_cases::Case<T> search{.name = "", .dimensions = 3, .k = k, .points = clouds::lattice<T>(200, 3, 4, 1)};
    search.row_splits = {0, 50, 50, 200};
    add({.name = "knn, k " + std::to_string(k),
         .dimensions = 3,
         .points = search.points,
         .index = neighbor_cases::brute_force(search).index,
         .k = k});
  }
  for (const int n : {0, 1, 2, 33}) {
    const std::string name = "N " + std::to_string(n);
    const auto size = static_cast<std::size_t>(n);
    add({.name = name,
         .dimensions = 4,
         .points = clouds::uniform<T>(n, 4, 1),
         .index = random_index(size * 5, n, 1),
         .k = 5});
    add({.name = name + ", nothing but padding",
         .dimensions = 4,
         .points = clouds::uniform<T>(n, 4, 1),
         .index = std::vector<std::int32_t>(size * 5, -1),
         .k = 5});
    add({.name = name + ", k 0", .dimensions = 4, .points = clouds::uniform<T>(n, 4, 1), .index = {}, .k = 0});
    add({.name = name + ", no queries",
         .dimensions = 4,
         .points = clouds::uniform<T>(n, 4, 1),
         .separate_queries = true,
         .index = {},
         .k = 5});
    add({.name = name + ", 40 queries",
         .dimensions = 4,
         .points = clouds::uniform<T>(n, 4, 1),
         .separate_queries = true,
         .queries = clouds::uniform<T>(40, 4, 2),
         .index = random_index(40 * 9, n, 3),
         .k = 9});
  }
  for (const bool separate : {false, true}) {
    std::vector<std::int64_t> splits = {0};
    clouds::Random random(4);
    for (int row = 0; row < 150; ++row) splits.push_back(splits.back() + (row % 4 == 1 ? 0 : random.below(40)));
    const auto entries = static_cast<std::size_t>(splits.back());
    add({.name = separate ? "row splits, queries" : "row splits",
         .dimensions = 3,
         .points = clouds::uniform<T>(separate ? 70 : 150, 3, 1),
         .separate_queries = separate,
         .queries = separate ? clouds::uniform<T>(150, 3, 2) : std::vector<T>(),
         .index = random_index(entries, separate ? 70 : 150, 5),
         .row_splits = splits});
  }
  add({.name = "one point in all lists",
       .dimensions = 2,
       .points = clouds::uniform<T>(3000, 2, 1),
       .index = std::vector<std::int32_t>(3000 * 3, 1234),
       .k = 3});
  add({.name = "large",
       .dimensions = 4,
       .points = clouds::cluster<T>(20000, 4, 1),
       .index = random_index(20000 * 20, 20000, 2),
       .k = 20});
  for (Case<T>& test : cases) {
    test.weight = random_values<T>(test.index.size(), 7);
    test.points_tangent = random_values<T>(test.points.size(), 8);
    test.queries_tangent = random_values<T>(test.queries.size(), 9);
  }
  return cases;
}

}  // namespace starling::neighbor_gradient_cases
