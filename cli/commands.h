#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "starling/metrics.h"
#include "starling/network.h"

/// The subcommands of `starling`. Each prints its results on stdout and throws starling::Error.
namespace starling::cli {

struct SimulateOptions {
  int events = 1;
  std::uint64_t first = 0;
  std::optional<double> pileup;  ///< these two override the configuration
  std::optional<std::uint64_t> seed;
  std::filesystem::path out, detector, config;  ///< empty: the shipped detector; the default settings
};
void simulate(const SimulateOptions& options);

struct GraphOptions {
  std::vector<std::filesystem::path> events;
  std::filesystem::path model, out;
  bool features = false, json = false;
};
void graph(const GraphOptions& options);

/// What of a model's track cuts the command line replaces.
struct TrackOverrides {
  std::optional<std::string> builder;
  std::optional<float> score, walk_min, walk_add;
  TrackCuts applied_to(TrackCuts cuts) const;
};

struct ReconstructOptions {
  std::vector<std::filesystem::path> events;
  std::filesystem::path model, out;
  TrackOverrides tracks;
  std::string device = "cpu";
  bool picture = false, json = false;
};
void reconstruct(const ReconstructOptions& options);

struct EvaluateOptions {
  std::vector<std::filesystem::path> events;
  std::filesystem::path model, tracks_folder, out;  ///< tracks_folder, out: empty where not asked for
  TrackOverrides tracks;
  TargetCuts target;
  Matching matching = Matching::double_majority;
  int min_track_hits = 3;
  std::string device = "cpu";
  bool json = false;
};
void evaluate(const EvaluateOptions& options);

struct InfoOptions {
  std::filesystem::path model;  ///< empty: describe `architecture` instead
  Architecture architecture;
  bool json = false;
};
void info(const InfoOptions& options);

/// Runs `starling-learn train` in place of this program. Returns only by throwing.
[[noreturn]] void train(const std::vector<std::string>& arguments);

/// Throws where the network cannot run on `device`.
void check_device(const std::string& device);

}  // namespace starling::cli
