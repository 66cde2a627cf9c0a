#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "numbers/numbers.h"
#include "starling/error.h"
#include "starling/shower_metrics.h"

namespace starling {
namespace {

constexpr double kUnknownEnergy = std::numeric_limits<double>::quiet_NaN();

struct Vector {
  double x = 0, y = 0, z = 0;
};

Vector position(const CalorimeterHits& hits, std::int32_t hit) {
  return {double{hits.x[hit]}, double{hits.y[hit]}, double{hits.z[hit]}};
}

// A sum of energy, and of energy times position.
struct Weighted {
  double energy = 0;
  Vector sum = {};

  void add(double weight, const Vector& at) {
    energy += weight;
    sum.x += weight * at.x;
    sum.y += weight * at.y;
    sum.z += weight * at.z;
  }
  double eta() const { return std::asinh(sum.z / std::hypot(sum.x, sum.y)); }
  Vector direction() const {
    const double length = std::hypot(sum.x, sum.y, sum.z);
    return length > 0 ? Vector{sum.x / length, sum.y / length, sum.z / length} : Vector{};
  }
};

// The entries of the truth, those of one shower together, in hit order.
struct ByShower {
  std::vector<std::int32_t> row_splits, hit;
  std::vector<double> energy;  // fraction · energy of the hit

  ByShower(const ShowerTruth& truth, std::span<const float> hit_energy, std::int32_t showers)
      : row_splits(static_cast<std::size_t>(showers) + 1, 0), hit(truth.shower.size()), energy(truth.shower.size()) {
    for (const std::int32_t s : truth.shower) ++row_splits[s + 1];
    for (std::int32_t s = 0; s < showers; ++s) row_splits[s + 1] += row_splits[s];
    std::vector<std::int32_t> next(row_splits.begin(), row_splits.end() - 1);
    for (std::size_t h = 0; h < hit_energy.size(); ++h) {
      for (std::int32_t i = truth.row_splits[h]; i < truth.row_splits[h + 1]; ++i) {
        const std::int32_t to = next[truth.shower[i]]++;
        hit[to] = static_cast<std::int32_t>(h);
        energy[to] = double{truth.fraction[i]} * double{hit_energy[h]};
      }
    }
  }
};

std::int32_t count_clusters(const Clusters& clusters, std::int32_t hits) {
  const auto refuse = [](const std::string& what) { throw Error(ErrorKind::usage, "clusters: " + what); };
  if (clusters.of_hit.size() != static_cast<std::size_t>(hits)) {
    refuse("of_hit has " + std::to_string(clusters.of_hit.size()) + " entries, expected one for each of " +
           std::to_string(hits) + " hits");
  }
  const bool known = !clusters.energy.empty();
  const auto most = known ? static_cast<std::int32_t>(clusters.energy.size()) : hits;
  std::int32_t count = 0;
  for (std::int32_t hit = 0; hit < hits; ++hit) {
    const std::int32_t c = clusters.of_hit[hit];
    if (c < -1 || c >= most) {
      refuse("of_hit[" + std::to_string(hit) + "] = " + std::to_string(c) + ": expected -1 or one of " +
             std::to_string(most) + (known ? " clusters" : " numbers, as there are hits"));
    }
    count = std::max(count, c + 1);
  }
  return known ? most : count;
}

// Of the energy near the axis of a shower, the share that is its own. The axis is the line from the origin through the
// barycentre; near are hits in front of the origin that are at most kNeighbourhood from it.
double own_share(const CalorimeterHits& hits, const Vector& axis, std::span<const std::int32_t> own_hits,
                 std::span<const double> own_energy) {
  const auto near = [&](std::int32_t hit) {
    const Vector p = position(hits, hit);
    const double along = p.x * axis.x + p.y * axis.y + p.z * axis.z;
    const double dx = p.x - along * axis.x, dy = p.y - along * axis.y, dz = p.z - along * axis.z;
    return along > 0 && dx * dx + dy * dy + dz * dz <= kNeighbourhood * kNeighbourhood;
  };
  double all = 0, own = 0;
  for (std::int32_t hit = 0; hit < hits.size(); ++hit) {
    if (near(hit)) all += double{hits.energy[hit]};
  }
  for (std::size_t i = 0; i < own_hits.size(); ++i) {
    if (near(own_hits[i])) own += own_energy[i];
  }
  return all > 0 ? std::min(1.0, own / all) : 1;
}

}  // namespace

ShowerMatches match_showers(const CalorimeterEvent& event, const Clusters& clusters) {
  if (!event.truth || !event.showers) {
    throw Error(ErrorKind::input, event.name + ": has no truth, expected " + event.name + "-truth.csv");
  }
  const CalorimeterHits& h = event.hits;
  CalorimeterHitsView(h).check();
  event.showers->check();
  const std::int32_t num_showers = event.showers->size();
  event.truth->check(h.size(), num_showers);
  const auto num_clusters = static_cast<std::size_t>(count_clusters(clusters, h.size()));

  ShowerMatches matches;
  matches.cluster_energy.assign(num_clusters, 0);
  for (std::int32_t hit = 0; hit < h.size(); ++hit) {
    if (clusters.of_hit[hit] >= 0) matches.cluster_energy[clusters.of_hit[hit]] += double{h.energy[hit]};
  }
  const ByShower entries(*event.truth, h.energy, num_showers);
  std::vector<double> shared(num_clusters, 0);  // of the shower at hand with each cluster
  for (std::int32_t s = 0; s < num_showers; ++s) {
    double visible = 0, largest = 0;
    for (std::int32_t i = entries.row_splits[s]; i < entries.row_splits[s + 1]; ++i) {
      visible += entries.energy[i];
      if (const std::int32_t c = clusters.of_hit[entries.hit[i]]; c >= 0) shared[c] += entries.energy[i];
    }
    std::int32_t nearest = -1;
    for (std::int32_t i = entries.row_splits[s]; i < entries.row_splits[s + 1]; ++i) {
      const std::int32_t c = clusters.of_hit[entries.hit[i]];
      if (c < 0 || shared[c] <= 0) continue;
      const double iou = shared[c] / (matches.cluster_energy[c] + visible - shared[c]);
      if (iou > largest || (iou == largest && c < nearest)) largest = iou, nearest = c;
      shared[c] = 0;
    }
    matches.visible.push_back(visible);
    matches.iou.push_back(largest);
    matches.cluster.push_back(nearest);
  }
  return matches;
}

void ShowerMetrics::add(const CalorimeterEvent& event, const Clusters& found) {
  const ShowerMatches matches = match_showers(event, found);
  const CalorimeterHits& h = event.hits;
  const Showers& truth = *event.showers;
  const ByShower entries(*event.truth, h.energy, truth.size());
  std::vector<std::uint8_t> finds(matches.cluster_energy.size(), 0);
  for (std::int32_t s = 0; s < truth.size(); ++s) {
    const std::int32_t cluster = matches.cluster[s];
    if (matches.iou[s] > kFoundIou) finds[cluster] = 1;
    largest_visible = std::max(largest_visible, matches.visible[s]);
    if (!(matches.visible[s] > min_energy)) continue;

    const auto begin = static_cast<std::size_t>(entries.row_splits[s]),
               count = static_cast<std::size_t>(entries.row_splits[s + 1]) - begin;
    const std::span own_hits = std::span(entries.hit).subspan(begin, count);
    const std::span own_energy = std::span(entries.energy).subspan(begin, count);
    Weighted own;
    for (std::size_t i = 0; i < count; ++i) own.add(own_energy[i], position(h, own_hits[i]));
    JudgedShower judged;
    judged.visible = matches.visible[s];
    judged.generated = truth.energy.empty() ? kUnknownEnergy : double{truth.energy[s]};
    judged.cluster_energy = cluster >= 0 ? matches.cluster_energy[cluster] : 0;
    judged.reconstructed = cluster >= 0 && !found.energy.empty() ? double{found.energy[cluster]} : kUnknownEnergy;
    judged.iou = matches.iou[s];
    judged.eta = own.eta();
    judged.own_share = own_share(h, own.direction(), own_hits, own_energy);
    if (!truth.pdg.empty()) judged.kind = shower_kind(truth.pdg[s]);
    judged.hard = truth.hard.empty() || truth.hard[s] == 1;
    showers.push_back(judged);
  }

  std::vector<Weighted> sums(finds.size());
  for (std::int32_t hit = 0; hit < h.size(); ++hit) {
    if (found.of_hit[hit] >= 0) sums[found.of_hit[hit]].add(double{h.energy[hit]}, position(h, hit));
  }
  for (std::size_t c = 0; c < sums.size(); ++c) {
    if (sums[c].energy > min_energy) clusters.push_back({sums[c].energy, sums[c].eta(), finds[c] == 0});
  }
  ++events;
  hits += h.size();
  all_showers += truth.size();
  all_clusters += static_cast<std::int64_t>(sums.size());
}

ShowerMetrics& ShowerMetrics::operator+=(const ShowerMetrics& other) {
  if (other.min_energy != min_energy) {
    throw Error(ErrorKind::usage, "shower metrics above " + numbers::to_text(other.min_energy) +
                                      " GeV: expected them above " + numbers::to_text(min_energy) +
                                      " GeV as the others");
  }
  events += other.events;
  hits += other.hits;
  all_showers += other.all_showers;
  all_clusters += other.all_clusters;
  largest_visible = std::max(largest_visible, other.largest_visible);
  showers.insert(showers.end(), other.showers.begin(), other.showers.end());
  clusters.insert(clusters.end(), other.clusters.begin(), other.clusters.end());
  return *this;
}

}  // namespace starling
