#pragma once

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "point_clouds.h"
#include "starling/neighbors.h"

// One table of neighbour searches for every backend, and the answer by brute force.
namespace starling::neighbor_cases {

template <typename T>
struct Case {
  std::string name;
  int dimensions = 0;
  int k = 0;
  std::vector<T> points;
  std::vector<std::int32_t> row_splits = {};  // empty: one event
  bool separate_queries = false;
  std::vector<T> queries = {};
  std::vector<std::int32_t> query_row_splits = {};
  bool loop = true;
  double max_radius = std::numeric_limits<double>::infinity();
  std::vector<Direction> direction = {};  // empty: all both

  std::int32_t num_points() const { return static_cast<std::int32_t>(points.size()) / dimensions; }
  std::int32_t num_queries() const {
    return separate_queries ? static_cast<std::int32_t>(queries.size()) / dimensions : num_points();
  }

  /// The search, in host memory of this case.
  NeighborSearch<T> search() const {
    NeighborSearch<T> search;
    search.points = points.data();
    search.num_points = num_points();
    search.dimensions = dimensions;
    if (!row_splits.empty()) {
      search.row_splits = row_splits.data();
      search.num_events = static_cast<std::int32_t>(row_splits.size()) - 1;
    }
    if (separate_queries) {
      search.queries = queries.data();
      search.num_queries = num_queries();
      if (!query_row_splits.empty()) search.query_row_splits = query_row_splits.data();
    }
    search.loop = loop;
    search.max_radius = max_radius;
    if (!direction.empty()) search.direction = direction.data();
    return search;
  }
};

/// d² as include/starling/neighbors.h defines it.
template <typename T>
T squared_distance(const T* a, const T* b, int dimensions) {
  T sum = 0;
  for (int d = 0; d < dimensions; ++d) sum = std::fma(a[d] - b[d], a[d] - b[d], sum);
  return sum;
}

/// All neighbours of one query by brute force, in order, as (d², index).
template <typename T>
std::vector<std::pair<T, std::int32_t>> all_neighbors(const NeighborSearch<T>& search, std::int32_t row) {
  const bool self = search.queries == nullptr;
  const std::int32_t* const splits = self ? search.row_splits : search.query_row_splits;
  std::int32_t event = 0;
  while (splits != nullptr && row >= splits[event + 1]) ++event;
  const auto takes_part = [&](std::int32_t i, Direction alone) {
    return search.direction == nullptr || search.direction[i] == Direction::both || search.direction[i] == alone;
  };
  const T limit = static_cast<T>(search.max_radius * search.max_radius);
  std::vector<std::pair<T, std::int32_t>> neighbors;
  if (!takes_part(row, Direction::only_has_neighbors)) return neighbors;
  const T* const query = (self ? search.points : search.queries) + static_cast<std::ptrdiff_t>(row) * search.dimensions;
  const std::int32_t begin = search.row_splits != nullptr ? search.row_splits[event] : 0;
  const std::int32_t end = search.row_splits != nullptr ? search.row_splits[event + 1] : search.num_points;
  for (std::int32_t i = begin; i < end; ++i) {
    if ((self && i == row) || !takes_part(i, Direction::only_neighbor)) continue;
    const T d2 =
        squared_distance(query, search.points + static_cast<std::ptrdiff_t>(i) * search.dimensions, search.dimensions);
    if (d2 <= limit) neighbors.emplace_back(d2, i);
  }
  std::sort(neighbors.begin(), neighbors.end());
  if (self && search.loop) neighbors.insert(neighbors.begin(), {T(0), row});
  return neighbors;
}

template <typename T>
struct Rows {
  std::vector<std::int32_t> index;
  std::vector<T> distance2;
  bool operator==(const Rows&) const = default;
};

/// What knn() must give.
template <typename T>
Rows<T> brute_force(const Case<T>& test) {
  const NeighborSearch<T> search = test.search();
  const auto size = static_cast<std::size_t>(test.num_queries()) * static_cast<std::size_t>(test.k);
  Rows<T> rows{std::vector<std::int32_t>(size, -1), std::vector<T>(size, std::numeric_limits<T>::infinity())};
  tbb::parallel_for(std::int32_t(0), test.num_queries(), [&](std::int32_t row) {
    const auto neighbors = all_neighbors(search, row);
    for (std::size_t i = 0; i < std::min(neighbors.size(), static_cast<std::size_t>(test.k)); ++i) {
      rows.distance2[static_cast<std::size_t>(row) * test.k + i] = neighbors[i].first;
      rows.index[static_cast<std::size_t>(row) * test.k + i] = neighbors[i].second;
    }
  });
  return rows;
}

template <typename T>
std::vector<T> scaled(std::vector<T> points, T factor, T shift) {
  for (T& x : points) x = x * factor + shift;
  return points;
}

inline std::vector<Direction> random_directions(std::int32_t n, std::uint64_t seed) {
  clouds::Random random(seed);
  std::vector<Direction> direction(static_cast<std::size_t>(n));
  for (Direction& one : direction) one = static_cast<Direction>(random.below(4));
  return direction;
}

/// Points of which each is one of a few.
template <typename T>
std::vector<T> few_places(std::int64_t n, int dimensions, std::int64_t places) {
  const std::vector<T> each = clouds::uniform<T>(places, dimensions, 3);
  std::vector<T> points;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto from = each.begin() + i * 7 % places * dimensions;
    points.insert(points.end(), from, from + dimensions);
  }
  return points;
}

/// Row splits of events of these sizes.
inline std::vector<std::int32_t> splits_of(const std::vector<std::int32_t>& sizes) {
  std::vector<std::int32_t> splits = {0};
  for (const std::int32_t size : sizes) splits.push_back(splits.back() + size);
  return splits;
}

/// Two points that are each other's neighbour, at a distance of max_radius as far as a double can tell.
template <typename T>
std::vector<Case<T>> pairs_at_the_radius() {
  return {{.name = "√2 apart",
           .dimensions = 2,
           .k = 2,
           .points = {0, 0, 1, 1},
           .loop = false,
           .max_radius = std::sqrt(2.0)},
          {.name = "√2009 apart",
           .dimensions = 3,
           .k = 2,
           .points = {0, 0, 0, 28, 28, 21},
           .loop = false,
           .max_radius = 44.82187057724966}};
}

/// More than 16 dimensions, where searches multiply tiles of points and bound the error.
template <typename T>
std::vector<Case<T>> wide_cases() {
  std::vector<Case<T>> cases;
  const auto add = [&](const std::string& name, int dimensions, int k, std::vector<T> points) -> Case<T>& {
    cases.push_back({.name = "wide, " + name, .dimensions = dimensions, .k = k, .points = std::move(points)});
    return cases.back();
  };
  for (const int n : {0, 1, 2, 15, 16, 17, 63, 64, 65, 129, 257})
    add("N " + std::to_string(n), 20, 40, clouds::uniform<T>(n, 20, 5));
  for (const int k : {0, 1, 2, 31, 32, 33, 128, 129, 299, 300, 400}) {
    for (const bool loop : {true, false})
      add("k " + std::to_string(k) + (loop ? " loop" : ""), 24, k, clouds::cluster<T>(300, 24, 11)).loop = loop;
  }
  add("k 600", 17, 600, clouds::cluster<T>(700, 17, 11));
  for (const bool loop : {true, false}) {
    const std::string with = loop ? " loop" : "";
    add("lattice" + with, 64, 30, clouds::lattice<T>(300, 64, 2, 7)).loop = loop;
    add("few places" + with, 17, 40, few_places<T>(500, 17, 20)).loop = loop;
    add("all equal" + with, 33, 64, std::vector<T>(33 * 400, T(0.3))).loop = loop;
    Case<T>& directions = add("directions" + with, 40, 30, clouds::cluster<T>(300, 40, 5));
    directions.loop = loop;
    directions.direction = random_directions(300, 2);
    Case<T>& radius = add("radius of a lattice" + with, 20, 40, clouds::lattice<T>(400, 20, 3, 5));
    radius.loop = loop;
    radius.max_radius = std::sqrt(5.0);
  }
  add("features", 64, 40, clouds::features<T>(600, 64, 1));
  add("features far away", 64, 40, scaled(clouds::features<T>(300, 64, 1), T(1), T(1e5)));
  add("features of small differences", 96, 16, scaled(clouds::features<T>(200, 96, 1), T(1e-18), T(0)));
  std::vector<T> twice = clouds::features<T>(200, 48, 3);
  twice.insert(twice.end(), twice.begin(), twice.begin() + 48 * 200);
  add("duplicates", 48, 16, twice);
  std::vector<T> outlier = clouds::uniform<T>(300, 32, 4);
  for (std::size_t d = 0; d < 32; ++d) outlier[32 * 200 + d] = T(1e9);
  add("one far outlier", 32, 24, outlier);
  add("the first row far away", 32, 24, std::vector<T>(outlier.begin() + 32 * 200, outlier.end()));
  std::vector<T> overflowing = scaled(clouds::uniform<T>(300, 20, 8), std::numeric_limits<T>::max(), T(0));
  for (std::size_t i = 0; i < overflowing.size(); i += 3) overflowing[i] = -overflowing[i];
  add("d² overflows", 20, 50, overflowing);
  add("d² overflows at times", 20, 50,
      scaled(clouds::cluster<T>(400, 20, 8), std::sqrt(std::numeric_limits<T>::max()) / 2, T(0)));
  add("d² underflows", 20, 50, scaled(clouds::lattice<T>(300, 20, 3, 8), std::numeric_limits<T>::denorm_min(), T(0)));
  add("d² underflows at times", 20, 50,
      scaled(clouds::uniform<T>(300, 20, 8), std::sqrt(std::numeric_limits<T>::min()), T(0)));
  std::vector<std::int32_t> sizes(50);
  for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = static_cast<std::int32_t>(i % 12);
  sizes[20] = 250;
  sizes[40] = 140;
  const auto splits = splits_of(sizes);
  add("events", 64, 12, clouds::features<T>(splits.back(), 64, 12)).row_splits = splits;
  Case<T>& all = add("events, directions, radius", 30, 12, clouds::cluster<T>(splits.back(), 30, 12));
  all.row_splits = splits;
  all.max_radius = 0.8;
  all.direction = random_directions(splits.back(), 1);
  Case<T>& queries = add("queries in events", 36, 33, clouds::uniform<T>(400, 36, 1));
  queries.row_splits = splits_of({100, 0, 290, 10});
  queries.separate_queries = true;
  queries.queries = scaled(clouds::uniform<T>(200, 36, 2), T(1.4), T(-0.2));
  queries.query_row_splits = splits_of({0, 60, 110, 30});
  Case<T>& far = add("queries far from the points", 64, 20, clouds::uniform<T>(300, 64, 1));
  far.separate_queries = true;
  far.queries = scaled(clouds::uniform<T>(40, 64, 2), T(1), T(3e6));
  Case<T>& none = add("queries of no points", 64, 5, {});
  none.separate_queries = true;
  none.queries = clouds::uniform<T>(40, 64, 2);
  add("1,024 dimensions", 1024, 10, clouds::features<T>(80, 1024, 2));
  return cases;
}

template <typename T>
std::vector<Case<T>> table() {
  using clouds::Random;
  std::vector<Case<T>> cases;
  for (const int d :
       {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 24, 32, 33, 64, 65, 100, 128, 129, 300}) {
    const std::string in = " D " + std::to_string(d);
    const int n = d > 16 ? 180 : 500;
    cases.push_back({.name = "uniform" + in, .dimensions = d, .k = 9, .points = clouds::uniform<T>(n, d, d)});
    cases.push_back(
        {.name = "cluster" + in, .dimensions = d, .k = 33, .points = clouds::cluster<T>(n, d, d), .loop = false});
  }
  for (const int n : {0, 1, 2, 31, 32, 33, 255, 256, 257, 289, 2081}) {
    cases.push_back(
        {.name = "N " + std::to_string(n), .dimensions = 3, .k = 40, .points = clouds::uniform<T>(n, 3, 5)});
  }
  for (const int k : {0, 1, 2, 31, 32, 64, 65, 96, 200, 511, 512, 799, 800, 900}) {
    for (const bool loop : {true, false}) {
      cases.push_back({.name = "k " + std::to_string(k) + (loop ? " loop" : ""),
                       .dimensions = 4,
                       .k = k,
                       .points = clouds::cluster<T>(800, 4, 11),
                       .loop = loop});
    }
  }
  for (const bool loop : {true, false}) {
    const std::string with = loop ? " loop" : "";
    cases.push_back({.name = "lattice" + with,
                     .dimensions = 3,
                     .k = 27,
                     .points = clouds::lattice<T>(1200, 3, 7, 1),
                     .loop = loop});
    cases.push_back({.name = "few places" + with,
                     .dimensions = 2,
                     .k = 64,
                     .points = clouds::lattice<T>(1500, 2, 3, 2),
                     .loop = loop});
    cases.push_back({.name = "all equal" + with,
                     .dimensions = 5,
                     .k = 64,
                     .points = std::vector<T>(5 * 1500, T(0.3)),
                     .loop = loop});
    cases.push_back({.name = "all equal, k 700" + with,
                     .dimensions = 2,
                     .k = 700,
                     .points = std::vector<T>(2 * 1100, T(-7)),
                     .loop = loop});
  }
  {
    std::vector<T> twice = clouds::uniform<T>(800, 4, 3);
    twice.insert(twice.end(), twice.begin(), twice.begin() + 4 * 800);
    cases.push_back({.name = "duplicates", .dimensions = 4, .k = 16, .points = twice});
    std::vector<T> line(3 * 1500);
    for (std::size_t i = 0; i < line.size(); ++i) line[i] = static_cast<T>(i / 3 * 37 % 1500) * T(i % 3 + 1);
    cases.push_back({.name = "collinear", .dimensions = 3, .k = 20, .points = line});
    std::vector<T> outlier = clouds::uniform<T>(1500, 3, 4);
    for (int d = 0; d < 3; ++d) outlier[static_cast<std::size_t>(3 * 700 + d)] = T(1e9);
    cases.push_back({.name = "one far outlier", .dimensions = 3, .k = 24, .points = outlier});
    cases.push_back(
        {.name = "at 1e6", .dimensions = 3, .k = 24, .points = scaled(clouds::uniform<T>(1500, 3, 6), T(1), T(1e6))});
    cases.push_back({.name = "at -1e6, far apart",
                     .dimensions = 4,
                     .k = 24,
                     .points = scaled(clouds::cluster<T>(1500, 4, 7), T(1e4), T(-1e6))});
    const T huge = std::numeric_limits<T>::max();
    std::vector<T> overflowing = scaled(clouds::uniform<T>(300, 2, 8), huge, T(0));
    for (std::size_t i = 0; i < 100; ++i) overflowing[i] = -overflowing[i];
    cases.push_back({.name = "d² overflows", .dimensions = 2, .k = 50, .points = overflowing});
    const T tiny = std::numeric_limits<T>::denorm_min();
    cases.push_back({.name = "d² underflows", .dimensions = 2, .k = 50, .points = clouds::lattice<T>(400, 2, 5, 8)});
    for (T& x : cases.back().points) x *= tiny;
    std::vector<T> signs = clouds::lattice<T>(300, 1, 2, 9);
    for (std::size_t i = 0; i < signs.size(); ++i) signs[i] = i % 3 == 0 ? T(-0.0) : signs[i];
    cases.push_back({.name = "both zeros", .dimensions = 1, .k = 10, .points = signs});
  }
  {
    std::vector<std::int32_t> sizes(1000, 3);
    for (std::size_t i = 0; i < sizes.size(); ++i) sizes[i] = static_cast<std::int32_t>(i % 6);
    sizes[400] = 900;
    const auto splits = splits_of(sizes);
    const std::int32_t n = splits.back();
    cases.push_back({.name = "one huge event among a thousand small",
                     .dimensions = 3,
                     .k = 12,
                     .points = clouds::uniform<T>(n, 3, 12),
                     .row_splits = splits});
    cases.push_back({.name = "events, directions, radius",
                     .dimensions = 3,
                     .k = 12,
                     .points = clouds::uniform<T>(n, 3, 12),
                     .row_splits = splits,
                     .max_radius = 0.11,
                     .direction = random_directions(n, 1)});
    cases.push_back({.name = "empty events",
                     .dimensions = 2,
                     .k = 5,
                     .points = clouds::uniform<T>(100, 2, 1),
                     .row_splits = splits_of({0, 0, 40, 0, 60, 0})});
    cases.push_back({.name = "no events", .dimensions = 2, .k = 5, .points = {}, .row_splits = {0}});
    cases.push_back({.name = "queries in events",
                     .dimensions = 3,
                     .k = 10,
                     .points = clouds::uniform<T>(900, 3, 1),
                     .row_splits = splits_of({300, 0, 590, 10}),
                     .separate_queries = true,
                     .queries = scaled(clouds::uniform<T>(500, 3, 2), T(1.4), T(-0.2)),
                     .query_row_splits = splits_of({0, 120, 350, 30})});
  }
  for (const bool loop : {true, false}) {
    cases.push_back({.name = std::string("directions") + (loop ? " loop" : ""),
                     .dimensions = 4,
                     .k = 30,
                     .points = clouds::cluster<T>(1200, 4, 5),
                     .loop = loop,
                     .direction = random_directions(1200, 2)});
    cases.push_back({.name = std::string("directions and ties") + (loop ? " loop" : ""),
                     .dimensions = 2,
                     .k = 30,
                     .points = clouds::lattice<T>(1200, 2, 5, 5),
                     .loop = loop,
                     .direction = random_directions(1200, 3)});
    cases.push_back({.name = std::string("radius of a lattice") + (loop ? " loop" : ""),
                     .dimensions = 3,
                     .k = 40,
                     .points = clouds::lattice<T>(1500, 3, 12, 5),
                     .loop = loop,
                     .max_radius = 2});
    cases.push_back({.name = std::string("radius 0") + (loop ? " loop" : ""),
                     .dimensions = 2,
                     .k = 8,
                     .points = clouds::lattice<T>(500, 2, 12, 5),
                     .loop = loop,
                     .max_radius = 0});
  }
  // Spheres that hold whole boxes, cross others and leave some out.
  for (const double radius : {0.3, 0.6, 1.2}) {
    const std::string name = "radius " + std::to_string(radius);
    cases.push_back({.name = name + ", events, directions",
                     .dimensions = 3,
                     .k = 20,
                     .points = clouds::uniform<T>(3000, 3, 12),
                     .row_splits = splits_of({1100, 900, 0, 1000}),
                     .max_radius = radius,
                     .direction = random_directions(3000, 4)});
    cases.push_back({.name = name + ", queries",
                     .dimensions = 2,
                     .k = 33,
                     .points = clouds::uniform<T>(2500, 2, 13),
                     .separate_queries = true,
                     .queries = clouds::uniform<T>(200, 2, 14),
                     .max_radius = radius});
  }
  for (const Case<T>& pair : pairs_at_the_radius<T>()) cases.push_back(pair);
  for (Case<T>& wide : wide_cases<T>()) cases.push_back(std::move(wide));
  cases.push_back({.name = "no neighbour allowed",
                   .dimensions = 2,
                   .k = 3,
                   .points = clouds::uniform<T>(50, 2, 1),
                   .direction = std::vector<Direction>(50, Direction::only_has_neighbors)});
  cases.push_back({.name = "queries",
                   .dimensions = 6,
                   .k = 65,
                   .points = clouds::cluster<T>(1500, 6, 1),
                   .separate_queries = true,
                   .queries = clouds::cluster<T>(300, 6, 2)});
  cases.push_back({.name = "queries without points",
                   .dimensions = 2,
                   .k = 3,
                   .points = {},
                   .separate_queries = true,
                   .queries = clouds::uniform<T>(5, 2, 2)});
  return cases;
}

}  // namespace starling::neighbor_cases
