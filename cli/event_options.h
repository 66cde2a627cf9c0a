#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model_kind.h"
#include "options.h"
#include "starling/calorimeter_map.h"
#include "starling/shower_finder.h"
#include "starling/tracks.h"

/// Options that several commands share.
namespace starling::cli {

/// EVENT... --skip --limit --keep-going and, for commands that take events of calorimeters, --map.
struct EventOptions {
  std::vector<std::filesystem::path> arguments;
  std::filesystem::path map_file;     ///< empty where not given
  std::optional<CalorimeterMap> map;  ///< read by prefixes() where it is
  std::uint64_t skip = 0;
  std::optional<std::uint64_t> limit;
  bool keep_going = false;

  void declare(Options& options);
  void declare_map(Options& options);

  /// The prefixes of the events that the arguments name, in their order, less those that --skip and --limit leave out.
  /// Throws ErrorKind::usage where two have one name, as their outputs would overwrite each other, or none is left.
  std::vector<std::filesystem::path> prefixes();

  /// Whether these events are a calorimeter's: where there is a map, else by the first whose hits can be read. As the
  /// checks below, throws what the first event's hits are refused for where no event's can be read.
  bool of_calorimeter(const std::vector<std::filesystem::path>& prefixes) const;
  /// Throws ErrorKind::input where these events are not for such a model, naming the one that says so and the model.
  void check_model(const std::vector<std::filesystem::path>& prefixes, ModelKind kind,
                   const std::filesystem::path& model) const;
  /// Throws ErrorKind::input, naming the event, where these events are a calorimeter's.
  void check_tracker(const std::vector<std::filesystem::path>& prefixes, const std::string& command) const;
  /// Reads one of them, by the map where there is one.
  CalorimeterEvent read_calorimeter(const std::filesystem::path& prefix, bool truth) const;

 private:
  /// The first event whose hits can be read, and whether it is of a calorimeter.
  struct Seen {
    std::filesystem::path event;
    bool calorimeter;
  };
  Seen first_readable(const std::vector<std::filesystem::path>& prefixes) const;
};

/// --model FILE. Where the option is absent, set_default_model() gives the shipped one.
Option& declare_model(Options& options, std::filesystem::path& model);
void set_default_model(std::filesystem::path& model);

/// --device NAME.
Option& declare_device(Options& options, std::string& device);

/// --builder, --score, --walk-min, --walk-add: what of a model's track cuts the command line replaces.
struct TrackOptions {
  std::optional<std::string> builder;
  std::optional<float> score, walk_min, walk_add;

  void declare(Options& options, const std::string& meaning_of_score);
  /// Throws ErrorKind::usage for a cut that the builder does not use. `score_elsewhere`: the score is used for more.
  TrackCuts applied_to(TrackCuts cuts, bool score_elsewhere) const;
  /// The name of one that is given, or null.
  const char* given() const;
};

/// --t-beta, --t-d, --min-energy: what of a model's cuts of showers the command line replaces.
struct ShowerCutOptions {
  std::optional<float> t_beta, t_d, min_energy;

  void declare(Options& options);
  ShowerCuts applied_to(ShowerCuts cuts) const;
  const char* given() const;
};

}  // namespace starling::cli
