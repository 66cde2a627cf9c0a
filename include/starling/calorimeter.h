#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Calorimeter events: hits, truth by fractions, showers (docs/definitions.md, Calorimeter events). Lengths in mm,
/// energies in GeV, times in ns.
namespace starling {

/// The calorimeter hits of one event in the caller's memory; arrays of one length. Valid as long as the arrays that it
/// views.
struct CalorimeterHitsView {
  std::span<const float> x, y, z;       ///< [N] mm, finite
  std::span<const float> energy;        ///< [N] GeV, finite, at least 0
  std::span<const float> time;          ///< [N] ns, finite; empty where the event has none
  std::span<const std::int32_t> layer;  ///< [N]; empty where the event has none

  std::int32_t size() const { return static_cast<std::int32_t>(x.size()); }
  /// Throws ErrorKind::usage, naming column and length, or column, index and value, unless the columns are of one
  /// length below 2^31 (time and layer may be empty) and every value is as said above.
  void check() const;
};

/// The calorimeter hits of one event; arrays of one length, in file order. Hits may have the same position: each is a
/// hit of its own.
struct CalorimeterHits {
  std::vector<std::int64_t> hit_id;  ///< unique, any order
  std::vector<float> x, y, z;        ///< mm, finite
  std::vector<float> energy;         ///< GeV, finite, at least 0
  std::vector<float> time;           ///< ns, finite; empty where the event has none
  std::vector<std::int32_t> layer;   ///< empty where the event has none

  std::int32_t size() const { return static_cast<std::int32_t>(hit_id.size()); }
  /// The same without hit_id. Throws ErrorKind::usage, naming column and length, unless all columns are of one length.
  operator CalorimeterHitsView() const;
};

/// How far the fractions of a hit may add up to more than 1, for sums of rounded numbers.
inline constexpr float kFractionTolerance = 1e-3F;

/// Which showers gave a hit its energy: hit i has the entries row_splits[i] to row_splits[i + 1]. What the fractions of
/// a hit lack to 1 is noise.
struct ShowerTruth {
  std::vector<std::int32_t> row_splits = {0};  ///< [N + 1], from 0, ascending
  std::vector<std::int32_t> shower;            ///< index into Showers; each at most once per hit
  std::vector<float> fraction;  ///< of the hit's energy, at least 0; per hit they sum to at most 1 + kFractionTolerance

  /// Throws ErrorKind::usage, naming the hit and the value, unless it is as said above for so many hits and showers.
  void check(std::int32_t hits, std::int32_t showers) const;
};

/// The true showers: particles as they enter the calorimeter. Every column but shower_id may be empty: not known.
struct Showers {
  std::vector<std::int64_t> shower_id;  ///< unique
  std::vector<float> energy;            ///< generated, GeV, finite, at least 0
  std::vector<float> eta, phi;          ///< direction from the origin; phi in rad
  std::vector<std::int32_t> pdg;        ///< PDG code
  std::vector<std::int32_t> hard;       ///< 1 = of the hard collision, 0 = of pile-up

  std::int32_t size() const { return static_cast<std::int32_t>(shower_id.size()); }
  /// Throws ErrorKind::usage, naming column and length, or column, index and value.
  void check() const;
};

/// What a shower looks like, by the particle that made it.
enum class ShowerKind { electromagnetic, charged_hadron, neutral_hadron, muon };
inline constexpr ShowerKind kShowerKinds[] = {ShowerKind::electromagnetic, ShowerKind::charged_hadron,
                                              ShowerKind::neutral_hadron, ShowerKind::muon};

/// The kind of a PDG code: photons and electrons are electromagnetic; hadrons and nuclei are charged or neutral by
/// their quarks (Particle Data Group, Monte Carlo particle numbering scheme). Nothing for particles that make no
/// shower of these, such as neutrinos, and for 0.
std::optional<ShowerKind> shower_kind(std::int32_t pdg);
/// "electromagnetic", "charged_hadron", "neutral_hadron" or "muon".
std::string to_string(ShowerKind kind);

/// One event. `name` is the prefix of its files without the folder, "event000000001". Truth has showers.
struct CalorimeterEvent {
  std::string name;
  CalorimeterHits hits;
  std::optional<ShowerTruth> truth;
  std::optional<Showers> showers;
};

struct CalorimeterReadOptions {
  bool truth = true;  ///< read truth and showers where they are
  /// The largest size, in bytes, that one gzipped file may unpack to.
  std::size_t max_unpacked_bytes = std::size_t{1} << 30;
};

/// Reads `<prefix>-hits.csv` (hit_id, x, y, z, energy and, where there are such, time and layer), `-truth.csv`
/// (hit_id, shower_id, fraction) and `-showers.csv` (shower_id and any of energy, eta, phi, pdg, hard); each plain or,
/// where there is no plain one, .gz; only hits are required. Columns are found by name, in any order; unknown ones are
/// ignored. The truth has a row per hit and shower in any order; a hit without a row is noise. Where there is truth and
/// no file of showers, the showers are those that the truth names, by ascending shower_id, with no other column.
/// Throws ErrorKind::input naming the file, line, column, value and what was expected: for a negative energy, a hit_id
/// that is not in the hits file, a shower_id that is not in the showers file, a pair of both that appears again, a
/// negative fraction and fractions of a hit that sum to more than 1 + kFractionTolerance among others.
CalorimeterEvent read_calorimeter_event(const std::filesystem::path& prefix,
                                        const CalorimeterReadOptions& options = {});

/// Whether an event that find_events() (event.h) found is one of a calorimeter: its hits file has a column `energy`
/// and none `module_id`. Throws ErrorKind::input where there is no such file, where it cannot be read or is empty, and
/// where it has neither column.
bool is_calorimeter_event(const std::filesystem::path& prefix);

/// Writes `<folder>/<event.name>-hits.csv` and, where the event has them, truth and showers: read_calorimeter_event
/// gives the same event back, bit for bit. Makes the folder where it is absent. All files are written beside their
/// places and then renamed, hits last: where they are, the event is whole. As write_event (event.h), it replaces an
/// earlier result of its own only, and removes a part of that which the new event lacks. Throws ErrorKind::usage, and
/// changes nothing, where anything else is there, for a place that cannot be written, and for an event that
/// read_calorimeter_event would refuse, naming the index and the value.
void write_calorimeter_event(const std::filesystem::path& folder, const CalorimeterEvent& event);

/// Per hit, the index of the shower that gave it most of its energy (the smaller of equal ones); −1 where that is
/// noise: where the fractions lack more to 1 than the largest of them. Throws ErrorKind::usage unless the arrays fit
/// together.
std::vector<std::int32_t> dominant_shower(const ShowerTruth& truth);

/// Per shower, the sum of fraction · energy over its hits, in GeV: its visible energy, in double, in hit order. Throws
/// ErrorKind::usage unless truth and energies fit together.
std::vector<double> visible_energy(const ShowerTruth& truth, std::span<const float> energy, std::int32_t showers);

}  // namespace starling
