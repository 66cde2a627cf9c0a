#include "event_options.h"

#include <exception>
#include <set>

#include "environment.h"
#include "starling/device.h"
#include "starling/error.h"
#include "starling/event.h"

namespace starling::cli {
namespace fs = std::filesystem;

void EventOptions::declare(Options& options) {
  options
      .paths("EVENT", "", arguments,
             "prefix of an event's files (dir/event000001000), its hits file, or a folder of events")
      .required();
  options.number("--skip", skip, std::uint64_t{0}, ~std::uint64_t{0}, "leave out the first N of these events");
  options.number("--limit", limit, std::uint64_t{1}, ~std::uint64_t{0}, "take at most N events").by_default("all");
  options.flag("--keep-going", keep_going, "leave out an event that cannot be read or is too large, and name it");
}

void EventOptions::declare_map(Options& options) {
  options.path("--map", "FILE", map_file,
               "the events are calorimeter files of others, whose columns and units this TOML file maps to ours");
}

std::vector<fs::path> EventOptions::prefixes() {
  if (!map_file.empty()) map = load_calorimeter_map(map_file);
  std::vector<fs::path> prefixes;
  std::set<std::string> names;
  for (const fs::path& argument : arguments) {
    for (fs::path& prefix : map ? find_events(argument, *map) : find_events(argument)) {
      if (!names.insert(prefix.filename().string()).second) {
        throw Error(ErrorKind::usage,
                    prefix.string() + ": a second event named " + prefix.filename().string() + "; expected each once");
      }
      prefixes.push_back(std::move(prefix));
    }
  }
  if (skip >= prefixes.size()) {
    throw Error(ErrorKind::usage, "--skip " + std::to_string(skip) + ": expected fewer than the " +
                                      std::to_string(prefixes.size()) + " events");
  }
  prefixes.erase(prefixes.begin(), prefixes.begin() + static_cast<std::ptrdiff_t>(skip));
  if (limit && *limit < prefixes.size()) prefixes.resize(*limit);
  return prefixes;
}

EventOptions::Seen EventOptions::first_readable(const std::vector<fs::path>& prefixes) const {
  if (map) return {prefixes.front(), true};
  std::exception_ptr first;
  for (const fs::path& prefix : prefixes) {
    try {
      return {prefix, is_calorimeter_event(prefix)};
    } catch (const Error&) {
      // Where another event can be read, reading this one says what is wrong with it, and --keep-going may leave it
      // out.
      if (!first) first = std::current_exception();
    }
  }
  std::rethrow_exception(first);
}

bool EventOptions::of_calorimeter(const std::vector<fs::path>& prefixes) const {
  return first_readable(prefixes).calorimeter;
}

void EventOptions::check_model(const std::vector<fs::path>& prefixes, ModelKind kind, const fs::path& model) const {
  const Seen seen = first_readable(prefixes);
  if (seen.calorimeter == (kind == ModelKind::showers)) return;
  throw Error(ErrorKind::input,
              seen.event.string() + (seen.calorimeter
                                         ? ": is an event of a calorimeter, and " + model.string() + " finds tracks"
                                         : ": is no event of a calorimeter, whose hits have a column energy and no "
                                           "module_id, and " +
                                               model.string() + " finds showers"));
}

void EventOptions::check_tracker(const std::vector<fs::path>& prefixes, const std::string& command) const {
  const Seen seen = first_readable(prefixes);
  if (!seen.calorimeter) return;
  throw Error(ErrorKind::input,
              seen.event.string() + ": is an event of a calorimeter: " + command + " is for trackers");
}

CalorimeterEvent EventOptions::read_calorimeter(const fs::path& prefix, bool truth) const {
  const CalorimeterReadOptions options{.truth = truth};
  return map ? read_calorimeter_event(prefix, *map, options) : read_calorimeter_event(prefix, options);
}

Option& declare_model(Options& options, fs::path& model) {
  return options.path("--model", "FILE", model, "model file").by_default("the shipped models/tracking.safetensors");
}

void set_default_model(fs::path& model) {
  if (model.empty()) model = shipped_file("models/tracking.safetensors");
}

Option& declare_device(Options& options, std::string& device) {
  return options.text("--device", device, "", {"cpu", "cuda"});
}

void TrackOptions::declare(Options& options, const std::string& meaning_of_score) {
  constexpr const char* kModels = "what the model says";
  options.text("--builder", builder, "tracks: how edges become them", {"components", "walkthrough", "junction_removal"})
      .by_default(kModels);
  options.number("--score", score, 0.0F, 1.0F, meaning_of_score).by_default(kModels);
  options.number("--walk-min", walk_min, 0.0F, 1.0F, "tracks, walkthrough: the least score of an edge")
      .by_default(kModels);
  options
      .number("--walk-add", walk_add, 0.0F, 1.0F,
              "tracks, walkthrough: the score from which every continuation is followed")
      .by_default(kModels);
}

TrackCuts TrackOptions::applied_to(TrackCuts cuts, bool score_elsewhere) const {
  if (builder) cuts.builder = parse_track_builder(*builder);
  const bool walks = cuts.builder == TrackBuilder::walkthrough;
  const auto refuse = [&](const char* option, const char* instead) {
    throw Error(ErrorKind::usage, std::string(option) + ": the track builder " + to_string(cuts.builder) +
                                      " does not use it; expected " + instead);
  };
  if (score && walks && !score_elsewhere) refuse("--score", "--walk-min, --walk-add or another --builder");
  if (walk_min && !walks) refuse("--walk-min", "--score or --builder walkthrough");
  if (walk_add && !walks) refuse("--walk-add", "--score or --builder walkthrough");
  if (score) cuts.score = *score;
  if (walk_min) cuts.walk_min = *walk_min;
  if (walk_add) cuts.walk_add = *walk_add;
  return cuts;
}

const char* TrackOptions::given() const {
  if (builder) return "--builder";
  if (score) return "--score";
  if (walk_min) return "--walk-min";
  return walk_add ? "--walk-add" : nullptr;
}

void ShowerCutOptions::declare(Options& options) {
  constexpr const char* kModels = "what the model says";
  options.number("--t-beta", t_beta, 0.0F, 1.0F, "showers: least β of a hit that may begin a cluster")
      .by_default(kModels);
  options
      .number("--t-d", t_d, 0.0F, 1e6F,
              "showers: largest distance from that hit in cluster coordinates, times its learned scale")
      .by_default(kModels);
  options.number("--min-energy", min_energy, 0.0F, 1e6F, "showers: least energy of a cluster, GeV").by_default(kModels);
}

ShowerCuts ShowerCutOptions::applied_to(ShowerCuts cuts) const {
  if (t_beta) cuts.t_beta = *t_beta;
  if (t_d) cuts.t_d = *t_d;
  if (min_energy) cuts.min_energy = *min_energy;
  return cuts;
}

const char* ShowerCutOptions::given() const {
  if (t_beta) return "--t-beta";
  if (t_d) return "--t-d";
  return min_energy ? "--min-energy" : nullptr;
}

}  // namespace starling::cli
