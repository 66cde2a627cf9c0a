#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "numbers/numbers.h"
#include "shower_finder/check.h"
#include "shower_finder/formulas.h"
#include "shower_finder/session.h"
#include "starling/error.h"
#include "starling/shower_finder.h"

namespace starling {
namespace {

using shower_finder::OutputColumns;

void check_size(const char* name, std::size_t is, std::size_t expected) {
  if (is == expected) return;
  throw Error(ErrorKind::usage, std::string("showers: ") + name + " has " + std::to_string(is) + " values, expected " +
                                    std::to_string(expected));
}

/// Sums over the hits of a cluster, in hit order.
struct Cluster {
  double energy = 0, weighted[3] = {}, plain[3] = {};
  std::int32_t hits = 0, point = -1;

  void add(const CalorimeterHitsView& all, std::size_t i) {
    const double e = all.energy[i], place[3] = {all.x[i], all.y[i], all.z[i]};
    energy += e;
    for (int d = 0; d < 3; ++d) {
      weighted[d] += e * place[d];
      plain[d] += place[d];
    }
    ++hits;
  }

  /// The mean of the hits weighted by energy; of hits without energy the plain mean.
  double centre(int d) const { return energy > 0 ? weighted[d] / energy : plain[d] / hits; }
};

/// The value as a float. `shower` and `point` are for the message.
float finite(double value, const char* what, std::int32_t shower, std::int32_t point) {
  constexpr double kMost = std::numeric_limits<float>::max();
  if (std::abs(value) <= kMost) return static_cast<float>(value);
  throw Error(ErrorKind::input, "shower " + std::to_string(shower) + ", whose point is hit " + std::to_string(point) +
                                    ": " + what + " = " + numbers::to_text(value) +
                                    ", expected a number that a float can hold");
}

std::int32_t class_of(const float* logits, int classes) {
  return static_cast<std::int32_t>(std::max_element(logits, logits + classes) - logits);
}

}  // namespace

void shower_finder::check_finite(std::span<const float> outputs, int columns) {
  const auto wrong = std::find_if(outputs.begin(), outputs.end(), [](float value) { return !std::isfinite(value); });
  if (wrong == outputs.end()) return;
  const std::ptrdiff_t at = wrong - outputs.begin();
  throw Error(ErrorKind::input, "hit " + std::to_string(at / columns) + ": output " + std::to_string(at % columns) +
                                    " of the network is " + std::to_string(*wrong) + ", expected a finite number");
}

FoundShowers showers_of_clusters(const CalorimeterHitsView& hits, std::span<const float> outputs,
                                 const ShowerOutputs& layout, const ShowerCuts& cuts, std::span<const float> beta,
                                 std::span<const std::int32_t> id, std::span<const std::int32_t> point) {
  shower_finder::check(layout, ErrorKind::usage, "outputs: ");
  shower_finder::check(cuts, ErrorKind::usage, "cuts: ");
  const OutputColumns columns(layout);
  const std::size_t count = hits.x.size();
  for (const auto& column : {hits.y, hits.z, hits.energy}) check_size("a column of the hits", column.size(), count);
  check_size("outputs", outputs.size(), count * static_cast<std::size_t>(columns.count));
  check_size("beta", beta.size(), count);
  check_size("id", id.size(), count);
  check_size("point", point.size(), count);

  std::vector<Cluster> clusters;
  for (std::size_t i = 0; i < count; ++i) {
    if (id[i] < 0) continue;
    if (static_cast<std::size_t>(id[i]) >= count || point[i] < 0 || static_cast<std::size_t>(point[i]) >= count) {
      throw Error(ErrorKind::usage, "showers: hit " + std::to_string(i) + " has the cluster " + std::to_string(id[i]) +
                                        " and the point " + std::to_string(point[i]) + ", expected both below " +
                                        std::to_string(count));
    }
    const auto number = static_cast<std::size_t>(id[i]);
    if (number >= clusters.size()) clusters.resize(number + 1);
    clusters[number].add(hits, i);
    clusters[number].point = point[i];
  }

  constexpr const char* kPlace[] = {"x", "y", "z"};
  FoundShowers found;
  found.beta.assign(beta.begin(), beta.end());
  std::vector<std::int32_t> number(clusters.size(), -1);
  for (std::size_t c = 0; c < clusters.size(); ++c) {
    const Cluster& cluster = clusters[c];
    if (cluster.hits < cuts.min_hits || cluster.energy < double{cuts.min_energy}) continue;
    number[c] = found.size();
    const float* const row = outputs.data() + static_cast<std::size_t>(cluster.point) * columns.count;
    const double factor = columns.energy < 0 ? 1. : double{shower_finder::exponential_of(row[columns.energy])};
    found.energy.push_back(finite(cluster.energy * factor, "energy", number[c], cluster.point));
    std::vector<float>* const place[3] = {&found.x, &found.y, &found.z};
    for (int d = 0; d < 3; ++d) {
      const double moved = columns.position < 0 ? 0. : double{layout.position} * double{row[columns.position + d]};
      place[d]->push_back(finite(cluster.centre(d) + moved, kPlace[d], number[c], cluster.point));
    }
    found.kind.push_back(columns.classes < 0 ? -1 : class_of(row + columns.classes, columns.num_classes));
    found.hits.push_back(cluster.hits);
  }
  found.cluster.resize(count);
  std::transform(id.begin(), id.end(), found.cluster.begin(), [&](std::int32_t c) { return c < 0 ? -1 : number[c]; });
  return found;
}

FoundShowers find_showers(const CalorimeterHitsView& hits, std::span<const float> outputs, const ShowerOutputs& layout,
                          const ShowerCuts& cuts) {
  shower_finder::check(layout, ErrorKind::usage, "outputs: ");
  shower_finder::check(cuts, ErrorKind::usage, "cuts: ");
  const auto count = static_cast<std::size_t>(hits.size());
  const auto columns = static_cast<std::size_t>(layout.columns()),
             dimensions = static_cast<std::size_t>(layout.coordinates);
  check_size("outputs", outputs.size(), count * columns);
  shower_finder::check_finite(outputs, layout.columns());
  std::vector<float> beta(count), x(count * dimensions), scale(layout.scale ? count : 0);
  shower_points(hits, layout, outputs.data(), {beta.data(), x.data(), scale.data()});

  CondenseHits<float> points;
  points.beta = beta.data();
  points.x = x.data();
  points.num_hits = hits.size();
  points.dimensions = layout.coordinates;
  points.scale = layout.scale ? scale.data() : nullptr;
  const CondenseOptions options{cuts.t_beta, cuts.t_d, cuts.assign};
  std::vector<std::int32_t> id(count), point(count);
  std::vector<std::byte> workspace(condense_workspace_bytes(points, options));
  condense(points, options, {id.data(), point.data(), nullptr}, workspace);
  return showers_of_clusters(hits, outputs, layout, cuts, beta, id, point);
}

}  // namespace starling
