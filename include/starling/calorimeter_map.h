#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "starling/calorimeter.h"

/// Calorimeter events in the files of others: a TOML file maps their columns and units (docs/program.md, Maps).
namespace starling {

/// Which file and which columns of it hold what. A column named "" is not read.
struct CalorimeterMap {
  /// CSV, or JSON where the name ends in ".json". "*" in a name stands for what tells events of one folder apart.
  struct Table {
    std::string file;     ///< "" = the file of the hits
    std::string records;  ///< JSON: the keys that lead to the array of records, "event.calo_hits"; "" = the whole file
  };
  struct Hits {
    Table table;
    std::string hit_id;  ///< "" = hits are numbered from 0, as they stand in the file
    std::string x = "x", y = "y", z = "z", energy = "energy", time, layer;
    float min_energy = 0;  ///< GeV: hits below are left out
    bool merge = false;    ///< records of one position are one hit: energies add up, the first tells time and layer
  };
  /// A row is a part of a hit that is of one shower: by fraction, by energy, or all of it. Parts of one hit that are of
  /// one shower add up.
  struct Truth {
    Table table;
    std::string hit_id;            ///< where the table is not that of the hits
    std::string shower_id;         ///< "" = there is no truth
    std::string fraction, energy;  ///< one of them at most
    int noise = -1;                ///< the shower_id of noise
  };
  /// A row is a shower; in the table of the hits, the first of its hits tells.
  struct Showers {
    Table table;
    std::string shower_id;  ///< where the table is not that of the hits
    std::string energy, eta, phi;
    std::string px, py, pz, mass;  ///< in place of energy, eta and phi; without a mass, energy is momentum
    std::string pdg, hard;

    bool any() const { return !(energy + eta + phi + px + pdg + hard).empty(); }
  };

  std::string name;                         ///< of the TOML file, for messages
  double length = 1, energy = 1, time = 1;  ///< a unit of the files in mm, GeV (momenta and masses too), ns
  Hits hits;
  Truth truth;
  Showers showers;
};

/// Reads the sections [units], [hits], [truth] and [showers]; keys are the members above. Throws ErrorKind::usage
/// naming file, line and key.
CalorimeterMap load_calorimeter_map(const std::filesystem::path& file);

/// The prefixes, folder and name, of the events that `path` names: its own where it is a file of hits by the map's name
/// for such, else that of every event in the folder `path`, sorted. Plain and gzipped files; the name of an event is
/// the name of its file of hits up to the end of what * stands for, and that of its folder where there is no *. Throws
/// ErrorKind::input where there is none.
std::vector<std::filesystem::path> find_events(const std::filesystem::path& path, const CalorimeterMap& map);

/// Reads an event that find_events gave. Showers are those that the truth names, by ascending id. Throws
/// ErrorKind::input naming file, line or record, column and value, as read_calorimeter_event does.
CalorimeterEvent read_calorimeter_event(const std::filesystem::path& prefix, const CalorimeterMap& map,
                                        const CalorimeterReadOptions& options = {});

}  // namespace starling
