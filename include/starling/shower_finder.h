#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "starling/calorimeter.h"
#include "starling/condensation.h"
#include "starling/device.h"
#include "starling/gravnet.h"
#include "starling/model.h"

namespace starling {

/// Units of what a network reads of a hit (docs/definitions.md, Shower network). A unit of 0 leaves its feature out:
/// it is 0 for every hit, and the event need not have the column.
struct ShowerFeatures {
  float energy = 0.01F;   ///< E0, GeV, above 0: the feature is ln(1 + E / E0)
  float distance = 1000;  ///< mm, above 0
  float layer = 0;        ///< layers, at least 0
  float time = 0;         ///< ns, at least 0

  bool operator==(const ShowerFeatures&) const = default;
};

/// ln(1 + E / E0), the unit vector from the origin to the hit (3), and, each in its unit, its distance from the origin,
/// its layer, and its time less that which light takes from the origin.
inline constexpr int kShowerFeatures = 7;

/// Computes what the network reads, [N, kShowerFeatures], on the device that holds the hits: the same bytes on each.
/// Training reads the same. A hit at the origin has the unit vector 0. Throws ErrorKind::input for a column that the
/// features need and the hits lack, ErrorKind::usage for units out of range and, on the host, as hits.check().
void shower_features(const CalorimeterHitsView& hits, const ShowerFeatures& features, float* out,
                     const Execution& execution = {});
/// The same on the host, into memory of its own.
std::vector<float> shower_features(const CalorimeterHitsView& hits, const ShowerFeatures& features);

/// What the columns of a network's output mean, in this order: the logit of β; the cluster coordinates; where `scale`,
/// ln φ; where `energy`, the logarithm of the factor that corrects the energy; where `position` is not 0, a correction
/// of the position (3); one logit per class.
struct ShowerOutputs {
  int coordinates = 3;               ///< C, 3..kMaxCondensationDimensions
  float residual = 30;               ///< times the hit's unit vector is added to the first three coordinates; 0..10^6
  bool scale = true;                 ///< whether φ is learned; else it is 1
  bool energy = true;                ///< whether a correction of the energy is learned; else the factor is 1
  float position = 0;                ///< mm per unit of the correction of the position, 0..10^6; 0 = none is learned
  std::vector<std::string> classes;  ///< names of letters, digits and '_', at most 64, none twice; may be empty

  int columns() const;
  bool operator==(const ShowerOutputs&) const = default;
};

/// What condense() reads of a network's outputs, on the device that holds them.
struct ShowerPoints {
  float* beta = nullptr;   ///< [N], in 0 to 1
  float* x = nullptr;      ///< [N, coordinates]
  float* scale = nullptr;  ///< [N] φ > 0; not written where it is not learned
};

/// Turns outputs [N, columns] into β = σ(logit), cluster coordinates and φ = exp(v), v cut to −10..10: the same bytes
/// on each device. Throws ErrorKind::usage for outputs out of range.
void shower_points(const CalorimeterHitsView& hits, const ShowerOutputs& layout, const float* outputs,
                   const ShowerPoints& out, const Execution& execution = {});

/// What counts as a shower.
struct ShowerCuts {
  float t_beta = 0.3F;  ///< a condensation point has β ≥ t_beta, 0..1
  float t_d = 0.5F;     ///< reach of a point in units of its φ, at least 0
  CondenseAssign assign = CondenseAssign::collect;
  int min_hits = 3;      ///< a cluster of fewer hits is no shower, at least 1
  float min_energy = 0;  ///< GeV; nor is one whose hits sum to less, at least 0

  bool operator==(const ShowerCuts&) const = default;
};

/// "collect" or "nearest"; both throw ErrorKind::usage for anything else.
CondenseAssign parse_condense_assign(const std::string& name);
std::string to_string(CondenseAssign assign);

/// The showers found in an event, in descending order of the β of their condensation points (the order in which
/// condense() finds them).
struct FoundShowers {
  std::vector<std::int32_t> cluster;  ///< [N] the hit's shower; −1 = of none
  std::vector<float> beta;            ///< [N]
  std::vector<float> energy;          ///< [showers] GeV: the sum over the hits times the correction of the point
  std::vector<float> x, y, z;         ///< mm: the mean of the hits weighted by energy, plus the correction of the point
  std::vector<std::int32_t> kind;  ///< class of the point: its largest logit, the first of equal; −1 without classes
  std::vector<std::int32_t> hits;  ///< number of hits

  std::int32_t size() const { return static_cast<std::int32_t>(energy.size()); }
};

/// The showers of clusters as condense() numbered them, from `id` and `point` [N] of one event in host memory. Clusters
/// that fail the cuts are dropped and the others numbered anew. Throws ErrorKind::usage for arrays whose sizes do not
/// fit together, and ErrorKind::input for a shower whose energy or place is beyond what a float can hold.
FoundShowers showers_of_clusters(const CalorimeterHitsView& hits, std::span<const float> outputs,
                                 const ShowerOutputs& layout, const ShowerCuts& cuts, std::span<const float> beta,
                                 std::span<const std::int32_t> id, std::span<const std::int32_t> point);

/// From a network's outputs [N, columns] of one event to its showers, on the host: shower_points, condense and
/// showers_of_clusters. Throws as that one, and ErrorKind::input naming the hit for an output that is not finite.
FoundShowers find_showers(const CalorimeterHitsView& hits, std::span<const float> outputs, const ShowerOutputs& layout,
                          const ShowerCuts& cuts);

/// Writes what was found in an event as two files: `clusters` with the columns (hit_id, cluster_id, beta), one row per
/// hit, cluster_id −1 = of no shower; `particles` with (cluster_id, energy, x, y, z, class, hits), one row per shower,
/// where class is a name of `classes`, and empty without classes. Both are written beside their places, then both
/// renamed: an error leaves what was there. Throws ErrorKind::usage for columns whose sizes do not fit together, for a
/// class that has no name, for a number that is not finite, and as the checks below.
void write_showers(const std::filesystem::path& clusters, const std::filesystem::path& particles,
                   std::span<const std::int64_t> hit_id, const FoundShowers& showers,
                   const std::vector<std::string>& classes);
/// Make sure that the files may be written here: nothing is there, or an earlier result of the same kind. Throw
/// ErrorKind::usage.
void check_shower_clusters_place(const std::filesystem::path& file);
void check_shower_particles_place(const std::filesystem::path& file);

/// All that reconstruction of showers needs: what a model file of the kind "showers" holds.
///
/// Sections: `architecture` and the network's arrays (gravnet.h), `features`, `outputs` and `cuts`, the keys of each
/// being the members of ShowerFeatures, ShowerOutputs and ShowerCuts, and `provenance`.
struct ShowerFinder {
  GravNet network;
  ShowerFeatures features;
  ShowerOutputs outputs;
  ShowerCuts cuts;
  std::string provenance = "{}";  ///< JSON object: data, seed, configuration, versions

  /// Reads a model file. Throws ErrorKind::input, naming the file, for another kind, for an array or a key too many or
  /// too few, a wrong shape or a value out of range, and for a network of other inputs or outputs than those described.
  static ShowerFinder load(const std::filesystem::path& file);
  /// Throws ErrorKind::usage for what load() would refuse.
  void save(const std::filesystem::path& file) const;

  static ShowerFinder from_model(const Model& model);
  Model to_model() const;
};

/// The cuts as a JSON object, one key per member.
std::string to_json(const ShowerCuts& cuts);

/// The convenient form: hits in host memory to showers, on the host (in the caller's TBB arena) or on the current CUDA
/// device (on a stream of its own, with memory of its own there). One thread at a time; memory grows with the largest
/// event. A moved-from session can only be destroyed: run throws ErrorKind::usage.
class ShowerSession {
 public:
  /// Throws ErrorKind::usage for what ShowerFinder::save() refuses, ErrorKind::device where the device is not there.
  explicit ShowerSession(const ShowerFinder& finder, Device device = Device::cpu);
  ShowerSession(ShowerSession&&) noexcept;
  ~ShowerSession();

  /// The showers of one event: the same on either device. Throws ErrorKind::usage as hits.check(), and
  /// ErrorKind::input for a column that the model reads and the hits lack, for values so large that what the network
  /// makes of them, or the energy of a shower, is not finite, and for an event that needs more memory than is free on
  /// the device.
  FoundShowers run(const CalorimeterHitsView& hits);

  /// Bytes of device memory that the session holds; 0 on the host.
  std::size_t device_bytes() const;

 private:
  struct Runtime;
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace starling
