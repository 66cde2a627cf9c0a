#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace starling {

/// The space points of one event in the caller's memory; arrays of one length. Lengths in mm, the field along z. Valid
/// as long as the arrays that it views.
struct HitsView {
  std::span<const float> x, y, z;  ///< [N] mm, finite
  std::span<const std::int32_t> volume_id, layer_id, module_id;

  std::int32_t size() const { return static_cast<std::int32_t>(x.size()); }
  /// Throws ErrorKind::usage, naming column and length, unless all columns are of one length below 2^31.
  void check() const;
};

/// The space points of one event; arrays of one length, in file order. Lengths in mm, the field along z.
struct Hits {
  std::vector<std::int64_t> hit_id;  ///< unique, any order
  std::vector<float> x, y, z;        ///< mm, finite
  std::vector<std::int32_t> volume_id, layer_id, module_id;

  std::int32_t size() const { return static_cast<std::int32_t>(hit_id.size()); }
  /// The same without hit_id. Throws ErrorKind::usage, naming column and length, unless all columns are of one length.
  operator HitsView() const;
};

inline constexpr std::int64_t kNoise = 0;  ///< particle_id of a hit that no particle made
inline constexpr std::int64_t kUnknown =
    -1;  ///< particle_id of a hit whose origin is not known: counts neither for nor against

/// Truth of each hit, parallel to Hits.
struct Truth {
  std::vector<std::int64_t> particle_id;  ///< kNoise, kUnknown or an id that may be in Particles
  std::vector<float> weight;              ///< TrackML score weights; empty where the data set has none
};

/// Generated particles. Every column but particle_id may be empty: not known.
struct Particles {
  std::vector<std::int64_t> particle_id;    ///< unique, >= 1
  std::vector<float> vx, vy, vz;            ///< production vertex, mm
  std::vector<float> px, py, pz;            ///< momentum there, GeV
  std::vector<std::int32_t> q;              ///< charge, e
  std::vector<std::int32_t> nhits;          ///< hits in the whole detector, as the file says
  std::vector<std::int32_t> particle_type;  ///< PDG code
  std::vector<std::int32_t> primary;        ///< 1 = from the generator, 0 = made in the detector

  std::int32_t size() const { return static_cast<std::int32_t>(particle_id.size()); }
  /// Throws ErrorKind::usage, naming column and length, unless every column is empty or as long as particle_id.
  void check() const;
};

/// Charge deposits, sorted by hit as in the file: read and written, used by nothing in Starling yet. `hit` is an index
/// into Hits.
struct Cells {
  std::vector<std::int32_t> hit, ch0, ch1;
  std::vector<float> value;
};

/// One event. `name` is the prefix of its files without the folder, "event000001000".
struct Event {
  std::string name;
  Hits hits;
  std::optional<Truth> truth;
  std::optional<Particles> particles;
  std::optional<Cells> cells;
};

struct ReadOptions {
  bool truth = true;   ///< read truth and particles where they are
  bool cells = false;  ///< read cells where they are
  /// The largest size, in bytes, that one gzipped file may unpack to: a whole event's cells take about 20 MB.
  std::size_t max_unpacked_bytes = std::size_t{1} << 30;
};

/// Reads the TrackML files `<prefix>-hits.csv`, `-truth.csv`, `-particles.csv` and `-cells.csv` (each plain or, where
/// there is no plain one, .gz; only hits are required). Columns are found by name, in any order; unknown ones are
/// ignored. Required are all columns of hits and cells, hit_id and particle_id of the truth, and particle_id of the
/// particles; a column of theirs that is absent is empty. The truth has one row per hit: a hit without a row and a row
/// without a hit are errors, so that a file that was cut short is an error.
/// Where there is no truth file but a `<prefix>-tracks.csv` with the columns (hit_id, track), that is the truth: hits
/// of track t >= 0 belong to particle t + 1, every other hit (track −1, nan or nothing, or no row) is kUnknown, and
/// there are no particles. Throws ErrorKind::input naming the file, line, column, value and what was expected for
/// anything that is not as it must be.
Event read_event(const std::filesystem::path& prefix, const ReadOptions& options = {});

/// The prefixes of the events that `path` names: itself where `<path>-hits.csv[.gz]` exists, `<prefix>` where it is a
/// file `<prefix>-hits.csv[.gz]`, else every event in the folder `path`, sorted; files that begin with "._" are left
/// out (macOS makes them). Throws ErrorKind::input where there is none.
std::vector<std::filesystem::path> find_events(const std::filesystem::path& path);

/// Writes `<folder>/<event.name>-hits.csv` and, where the event has them, truth, particles and cells: read_event gives
/// the same event back, bit for bit. Makes the folder where it is absent. All files are written beside their places and
/// then renamed, hits last: where they are, the event is whole. An earlier result of write_event is replaced; truth and
/// particles that the new event lacks are removed. It is taken for one where its files are plain, have no other columns
/// than write_event gives them, in that order, and lack no part or column of the new event. Cells are replaced only
/// where the new event has cells: the columns do not tell whose they are, so they are never removed. Throws
/// ErrorKind::usage, and changes nothing, where anything else is there that would be replaced or hidden, for a place
/// that cannot be written, and for columns and ids that read_event would refuse, naming the index and the value.
void write_event(const std::filesystem::path& folder, const Event& event);

}  // namespace starling
