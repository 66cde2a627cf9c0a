#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "starling/calorimeter.h"
#include "starling/metrics.h"

/// Clusters against the true showers (docs/definitions.md, Shower metrics).
namespace starling {

/// The clusters of one event.
struct Clusters {
  std::vector<std::int32_t> of_hit;  ///< [N] the hit's cluster, 0 .. size − 1; −1 = in none
  std::vector<float> energy;         ///< [clusters] reconstructed, GeV; empty where that is not known
};

/// Reads `<prefix>-clusters.csv` (or .gz) with the columns hit_id and cluster_id of any program and, where there is
/// one, `<prefix>-particles.csv` with cluster_id and energy. A cluster_id is any integer from 0 on; −1, nan and nothing
/// are no cluster, and neither has a hit without a row. Clusters are numbered by ascending id. Throws ErrorKind::input
/// naming the file, line, column and value: for a hit_id that the event lacks or that appears again, and for particles
/// that are not one for each cluster.
Clusters read_clusters(const std::filesystem::path& prefix, const CalorimeterHits& hits);

inline constexpr double kFoundIou = 0.5;       ///< a cluster finds a shower where their IoU is above this
inline constexpr double kNeighbourhood = 100;  ///< mm, how far the neighbourhood of a shower's axis reaches

/// Which cluster is nearest to each true shower.
struct ShowerMatches {
  std::vector<double> cluster_energy;  ///< [clusters] GeV, the sum of its hits
  std::vector<double> visible;         ///< [showers] GeV
  std::vector<double> iou;             ///< [showers] the largest with any cluster
  std::vector<std::int32_t> cluster;   ///< [showers] that cluster, of equal ones the first; −1 = none shares energy
};

/// A pair whose IoU is above kFoundIou is one that matches: no shower and no cluster is in two such pairs. Throws
/// ErrorKind::input, naming the event, where it has no truth, and ErrorKind::usage for arrays that do not fit together.
ShowerMatches match_showers(const CalorimeterEvent& event, const Clusters& clusters);

/// A true shower that counts: its visible energy is above the least one. NaN where something is not known.
struct JudgedShower {
  double visible = 0;         ///< GeV
  double generated = 0;       ///< GeV
  double cluster_energy = 0;  ///< GeV, sum of the hits of the cluster with the largest IoU; 0 without one
  double reconstructed = 0;   ///< GeV, as the clusters say
  double iou = 0;             ///< the largest with any cluster
  double eta = 0;             ///< of its barycentre, as seen from the origin
  double own_share = 0;       ///< 0..1: of the energy of its neighbourhood
  std::optional<ShowerKind> kind;
  bool hard = true;

  bool found() const { return iou > kFoundIou; }
};

/// A cluster that counts: the sum of its hits is above the least energy.
struct JudgedCluster {
  double energy = 0;  ///< GeV
  double eta = 0;     ///< of its barycentre
  bool fake = false;  ///< it finds no shower, of any energy
};

/// What a selection of showers goes by.
enum class ShowerAxis {
  energy,     ///< visible energy, GeV
  abs_eta,    ///< |eta|
  own_share,  ///< share of its own in the energy of its neighbourhood
};
inline constexpr ShowerAxis kShowerAxes[] = {ShowerAxis::energy, ShowerAxis::abs_eta, ShowerAxis::own_share};

/// "energy", "abs_eta" or "own_share".
std::string to_string(ShowerAxis axis);

/// Bounds of the bins along an axis, ascending. A bin has its lower bound in it, the last one of own_share both.
std::span<const double> shower_bins(ShowerAxis axis);

/// Which showers to take: all but for what is set.
struct ShowerSelection {
  std::optional<ShowerKind> kind = std::nullopt;
  bool hard = false;                              ///< those of the hard collision only
  std::optional<ShowerAxis> axis = std::nullopt;  ///< those in this bin of this axis only
  int bin = 0;

  bool contains(const JudgedShower& shower) const;
};

/// A number with its standard error; the error is NaN where it cannot be told.
struct Estimate {
  double value = 0, error = 0;
};

/// How ratios near 1 are distributed.
struct Spread {
  std::int64_t count = 0;
  Estimate mean, median;
  /// Half the width of the shortest interval that holds 68.27 % of them, divided by the median; NaN for fewer than two.
  Estimate resolution;
};

/// NaN where there are no values. Errors by the jackknife with 20 groups (value i is in group i mod 20; Tukey, Ann.
/// Math. Statist. 29 (1958) 614); for fewer than 20 values they are NaN. Throws ErrorKind::usage for a value that is
/// NaN.
Spread spread_of(std::span<const double> values);

/// Which ratio of energies.
enum class ShowerRatio {
  cluster_to_visible,
  cluster_to_generated,
  reconstructed_to_generated,
  visible_to_generated,  ///< what perfect clustering gives
};
inline constexpr ShowerRatio kShowerRatios[] = {ShowerRatio::cluster_to_visible, ShowerRatio::cluster_to_generated,
                                                ShowerRatio::reconstructed_to_generated,
                                                ShowerRatio::visible_to_generated};
/// Its name above.
std::string to_string(ShowerRatio ratio);

/// Showers and clusters of events, each judged. Sums are made when they are asked for, in the order of the events.
struct ShowerMetrics {
  double min_energy = 5;  ///< GeV, at least 0
  std::int64_t events = 0, hits = 0;
  std::int64_t all_showers = 0, all_clusters = 0;  ///< those that do not count included
  double largest_visible = 0;                      ///< GeV, of all showers
  std::vector<JudgedShower> showers;
  std::vector<JudgedCluster> clusters;

  /// Judges the clusters of an event. Throws as match_showers does.
  void add(const CalorimeterEvent& event, const Clusters& clusters);
  /// Throws ErrorKind::usage where min_energy is another one.
  ShowerMetrics& operator+=(const ShowerMetrics& other);

  Ratio efficiency(const ShowerSelection& selection = {}) const;  ///< found showers / showers
  /// Fake clusters / clusters; with an axis, energy or abs_eta, of those in this bin of it.
  Ratio fakes(std::optional<ShowerAxis> axis = std::nullopt, int bin = 0) const;
  /// The harmonic mean of efficiency and 1 − fakes; low and high, in 0..1, from their intervals, taken as independent
  /// (docs/definitions.md, Shower metrics).
  struct F {
    double value, low, high;
  };
  F f() const;
  /// Over the found showers for which both energies are known and the lower one is above 0.
  Spread response(ShowerRatio ratio, const ShowerSelection& selection = {}) const;
};

}  // namespace starling
