#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "command.h"
#include "ending.h"
#include "environment.h"
#include "evaluate_showers.h"
#include "evaluation.h"
#include "event_loop.h"
#include "event_options.h"
#include "files/files.h"
#include "model_kind.h"
#include "output.h"
#include "report.h"
#include "roc.h"
#include "session_pool.h"
#include "starling/track_finder.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

struct EvaluateOptions {
  EventOptions events;
  fs::path model, tracks_folder, out;  ///< tracks_folder, out: empty where not asked for
  TrackOptions tracks;
  Judging judging;
  std::string device = "cpu";
  bool json = false;
};

// One event's counts, and what a warning about it needs.
struct Judged {
  Evaluation counts;
  std::string event;
  std::optional<std::int32_t> hits_on_edges;  // nothing where no graph is built
};

Judged evaluate_tracks_file(const fs::path& prefix, const EvaluateOptions& options) {
  const Event event = read_event(prefix);
  const TruthTable truth = truth_table(event, options.judging.target);
  Evaluation result;
  result.events = 1;
  result.hits = event.hits.size();
  result.skipped_cuts = truth.skipped_cuts;
  const Tracks tracks = read_tracks(options.tracks_folder / (event.name + "-tracks.csv"), event.hits);
  result.add_tracks(event, truth, tracks, options.judging.matching, options.judging.min_track_hits);
  return {std::move(result), event.name, std::nullopt};
}

Judged evaluate_model(const fs::path& prefix, SessionPool<TrackSession>& sessions, const TrackCuts& cuts,
                      const EvaluateOptions& options) {
  const Event event = read_event(prefix);
  Evaluation result = evaluate_event(event, sessions, cuts, options.judging);
  const auto on_edges = static_cast<std::int32_t>(result.hits_on_edges);
  return {std::move(result), event.name, on_edges};
}

Ratio unmatched(const TrackCounts& counts) {
  return {counts.fakes.passed + counts.fragments.passed, counts.fakes.total};
}

// "event1, event2, event3 and 7 more"
std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kNamed = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kNamed); ++i) text += (i == 0 ? "" : ", ") + names[i];
  return names.size() > kNamed ? text + " and " + std::to_string(names.size() - kNamed) + " more" : text;
}

std::string describe(const TargetCuts& cuts) {
  char text[160];
  if (cuts.all) {
    std::snprintf(text, sizeof text, "every particle; reconstructable with at least %d hits", cuts.min_hits);
    return text;
  }
  std::snprintf(text, sizeof text, "pt >= %g GeV, at least %d hits, production radius <= %g mm, |eta| <= %g%s%s",
                cuts.min_pt, cuts.min_hits, cuts.max_radius, cuts.max_abs_eta, cuts.primary ? ", primary" : "",
                cuts.no_electrons ? ", no electrons" : "");
  return text;
}

void print_ratio(const char* label, const Ratio& ratio) {
  std::printf("  %-34s %s   %9lld / %lld\n", label, percent(ratio).c_str(), static_cast<long long>(ratio.passed),
              static_cast<long long>(ratio.total));
}

void print_graph_and_edges(const Evaluation& sum, float cut) {
  std::printf("\nGraph: %lld edges, %lld hits outside every layer\n", static_cast<long long>(sum.graph.edges),
              static_cast<long long>(sum.hits_outside));
  print_ratio("efficiency", sum.graph.segments);
  print_ratio("  prompt", sum.graph.prompt_segments);
  print_ratio("purity", sum.graph.purity);
  std::printf("\nEdges, score >= %g\n", cut);
  print_ratio("efficiency", sum.edges.efficiency());
  print_ratio("  prompt", sum.edge_efficiency_prompt);
  print_ratio("  displaced", sum.edge_efficiency_displaced);
  print_ratio("total purity", sum.edges.total_purity());
  print_ratio("target purity", sum.edges.target_purity());
  print_ratio("masked purity", sum.edges.masked_purity());
  if (const double area = sum.roc.area(); std::isnan(area)) {
    std::printf("  %-34s      –\n", "area below the ROC curve (AUC)");
  } else {
    std::printf("  %-34s %8.4f\n", "area below the ROC curve (AUC)", 100 * area);
  }
  std::printf("  %-34s %6.2f\n", "cumulative efficiency",
              100 * sum.graph.segments.value() * sum.edges.efficiency().value());
}

void print_tracks(const Evaluation& sum, const EvaluateOptions& options, bool with_bare) {
  std::printf("\nTracks, %s matching: %lld tracks\n", to_string(options.judging.matching).c_str(),
              static_cast<long long>(sum.tracks));
  if (with_bare) std::printf("  %-34s %-38s  %s\n", "", "", "without the network");
  const auto row = [&](const char* label, const Ratio& found, const Ratio& bare) {
    std::printf("  %-34s %s   %6lld / %-6lld", label, percent(found).c_str(), static_cast<long long>(found.passed),
                static_cast<long long>(found.total));
    if (with_bare) std::printf("   %s", percent(bare).c_str());
    std::printf("\n");
  };
  const TrackCounts &found = sum.found, &bare = sum.bare;
  row("efficiency", found.efficiency, bare.efficiency);
  row("  prompt", found.efficiency_prompt, bare.efficiency_prompt);
  row("  displaced", found.efficiency_displaced, bare.efficiency_displaced);
  row("complete, of the matched", found.complete, bare.complete);
  row("fakes", found.fakes, bare.fakes);
  row("fragments", found.fragments, bare.fragments);
  row("unmatched (fakes + fragments)", unmatched(found), unmatched(bare));
  row("duplicates", found.duplicates, bare.duplicates);
  const std::vector<std::string>& unweighted = found.events_without_weights;
  if (std::isnan(found.trackml_score())) {
    std::printf("  %-34s      –   no event has weights\n", "TrackML score");
    return;
  }
  std::printf("  %-34s %6.2f", "TrackML score", 100 * found.trackml_score());
  if (with_bare) std::printf(" %38s %6.2f", "", 100 * bare.trackml_score());
  std::printf("\n");
  if (!unweighted.empty()) {
    std::printf("    not in it, without weights: %zu %s, %s\n", unweighted.size(),
                unweighted.size() == 1 ? "event" : "events", some_of(unweighted).c_str());
  }
}

nlohmann::ordered_json json_of(const TrackCounts& counts) {
  nlohmann::ordered_json result = {{"efficiency", to_json(counts.efficiency)},
                                   {"efficiency_prompt", to_json(counts.efficiency_prompt)},
                                   {"efficiency_displaced", to_json(counts.efficiency_displaced)},
                                   {"complete", to_json(counts.complete)},
                                   {"fakes", to_json(counts.fakes)},
                                   {"fragments", to_json(counts.fragments)},
                                   {"unmatched", to_json(unmatched(counts))},
                                   {"duplicates", to_json(counts.duplicates)}};
  result["trackml_score"] = counts.trackml_score();  // NaN becomes null
  result["events_without_weights"] = counts.events_without_weights;
  return result;
}

nlohmann::ordered_json json_of(const Evaluation& sum, const EvaluateOptions& options, const TrackCuts& cuts,
                               bool with_network) {
  nlohmann::ordered_json result;
  if (with_network) {
    result["model"] = options.model.string();
    result["track_cuts"] = nlohmann::ordered_json::parse(to_json(cuts));
  } else {
    result["tracks_folder"] = options.tracks_folder.string();
  }
  result["target"] = {{"min_pt", options.judging.target.min_pt},
                      {"min_hits", options.judging.target.min_hits},
                      {"max_radius", options.judging.target.max_radius},
                      {"max_abs_eta", options.judging.target.max_abs_eta},
                      {"primary", options.judging.target.primary},
                      {"no_electrons", options.judging.target.no_electrons},
                      {"all", options.judging.target.all}};
  result["skipped_cuts"] = sum.skipped_cuts;
  result["matching"] = to_string(options.judging.matching);
  result["min_track_hits"] = options.judging.min_track_hits;
  result["events"] = sum.events;
  result["hits"] = sum.hits;
  result["tracks_built"] = sum.tracks;
  if (with_network) {
    result["hits_outside"] = sum.hits_outside;
    result["graph"] = {{"edges", sum.graph.edges},
                       {"efficiency", to_json(sum.graph.segments)},
                       {"efficiency_prompt", to_json(sum.graph.prompt_segments)},
                       {"purity", to_json(sum.graph.purity)}};
    result["edges"] = {{"efficiency", to_json(sum.edges.efficiency())},
                       {"efficiency_prompt", to_json(sum.edge_efficiency_prompt)},
                       {"efficiency_displaced", to_json(sum.edge_efficiency_displaced)},
                       {"total_purity", to_json(sum.edges.total_purity())},
                       {"target_purity", to_json(sum.edges.target_purity())},
                       {"masked_purity", to_json(sum.edges.masked_purity())},
                       {"auc", sum.roc.area()},
                       {"cumulative_efficiency", sum.graph.segments.value() * sum.edges.efficiency().value()}};
  }
  result["tracks"] = json_of(sum.found);
  if (with_network) result["tracks_without_network"] = json_of(sum.bare);
  return result;
}

// Throws where a result would replace what is not one of ours.
void check_places(const fs::path& folder, bool with_network) {
  files::check_place(folder / "metrics.json", [](std::string_view head) {
    return head.starts_with("{\n  \"model\": ") || head.starts_with("{\n  \"tracks_folder\": ");
  });
  Curves::check_places(folder);
  if (with_network) check_roc_places(folder);
}

void print(const Evaluation& sum, const EvaluateOptions& options, const TrackCuts& cuts, bool with_network) {
  std::printf("%lld %s, %lld hits; %s\n", static_cast<long long>(sum.events), sum.events == 1 ? "event" : "events",
              static_cast<long long>(sum.hits),
              with_network ? ("model " + options.model.string()).c_str()
                           : ("tracks from " + options.tracks_folder.string()).c_str());
  std::printf("target particles: %s\n", describe(options.judging.target).c_str());
  for (const std::string& cut : sum.skipped_cuts) std::printf("  cut skipped, %s\n", cut.c_str());
  std::printf("per cent, with 68 %% intervals\n");
  if (with_network) print_graph_and_edges(sum, cuts.score);
  print_tracks(sum, options, with_network);
}

class Evaluate final : public Command {
 public:
  Evaluate()
      : Command("evaluate", "Measure tracks, or clusters of a calorimeter, against the truth, pooled over events.",
                {"starling evaluate events --out curves",
                 "starling evaluate clic --map maps/clic.toml --min-visible 0.1"}) {}

  void declare(Options& options) override {
    given_ = &options;
    options_.events.declare(options);
    options_.events.declare_map(options);
    declare_model(options, options_.model).by_default("the shipped one for the detector of the first event");
    options
        .path("--tracks", "DIR", options_.tracks_folder,
              "tracks: judge <event>-tracks.csv of this folder; no model is run")
        .excludes({"--model", "--builder", "--score", "--walk-min", "--walk-add", "--device"});
    options
        .path("--clusters", "DIR", showers_.clusters_folder,
              "showers: judge <event>-clusters.csv of this folder, and <event>-particles.csv where it is")
        .excludes({"--model", "--device", "--t-beta", "--t-d", "--min-energy"});
    options.number("--min-visible", showers_.min_visible, 0.0, 1e6,
                   "showers: those count above this visible energy, clusters above this sum of their hits, GeV");
    showers_.cuts.declare(options);
    options.path("--out", "DIR", options_.out, "folder for metrics.json, tables of curves and their pictures");
    options.text("--matching", matching_, "tracks: when a track matches a particle",
                 {"double_majority", "atlas", "one_way", "two_way"});
    options.number("--min-track-hits", options_.judging.min_track_hits, 1, 1000,
                   "tracks: shorter tracks are not judged");
    TargetCuts& target = options_.judging.target;
    options.number("--min-pt", target.min_pt, 0.0, 1e6, "tracks: least pt of target particles, GeV");
    options.number("--min-hits", target.min_hits, 1, 1000, "tracks: least hits of target particles in the event");
    options.number("--max-radius", target.max_radius, 0.0, 1e6,
                   "tracks: largest production radius of target particles, mm");
    options.number("--max-eta", target.max_abs_eta, 0.0, 100.0, "tracks: largest |eta| of target particles");
    options.flag("--secondaries", secondaries_, "tracks: count particles made in the detector too");
    options.flag("--electrons", electrons_, "tracks: count electrons too");
    options.flag("--all", target.all, "tracks: no cuts: every particle of at least --min-hits hits is a target")
        .excludes({"--min-pt", "--max-radius", "--max-eta", "--secondaries", "--electrons"});
    options_.tracks.declare(options,
                            "tracks: cut of the edge metrics; components, junction_removal: edges below take no part");
    declare_device(options, options_.device);
    options.flag("--json", options_.json, "one JSON line instead of a table");
    options.threads();
  }

  void run() override;

 private:
  void run_showers(const std::vector<fs::path>& prefixes);

  EvaluateOptions options_;
  ShowerEvaluation showers_;
  const Options* given_ = nullptr;
  std::string matching_ = "double_majority";
  bool secondaries_ = false, electrons_ = false;
};

void Evaluate::run_showers(const std::vector<fs::path>& prefixes) {
  given_->refuse_given(
      {"--tracks", "--matching", "--min-track-hits", "--min-pt", "--min-hits", "--max-radius", "--max-eta",
       "--secondaries", "--electrons", "--all", "--builder", "--score", "--walk-min", "--walk-add"},
      "for events of a calorimeter");
  if (showers_.clusters_folder.empty()) {
    showers_.model = options_.model.empty() ? shipped_file("models/showers.safetensors") : options_.model;
  }
  showers_.device = parse_device(options_.device);
  if (showers_.device == Device::cuda) require_cuda();
  showers_.out = options_.out;
  showers_.json = options_.json;
  evaluate_showers(prefixes, options_.events, showers_);
}

void Evaluate::run() {
  EvaluateOptions& options = options_;
  options.judging.matching = parse_matching(matching_);
  options.judging.target.primary = !secondaries_;
  options.judging.target.no_electrons = !electrons_;
  const std::vector<fs::path> prefixes = options.events.prefixes();
  if (!options.model.empty()) {
    options.events.check_model(prefixes, kind_of(Model::load(options.model)), options.model);
  }
  if (options.events.of_calorimeter(prefixes)) return run_showers(prefixes);
  given_->refuse_given({"--clusters", "--min-visible", "--t-beta", "--t-d", "--min-energy"}, "for events of a tracker");
  const Device device = parse_device(options.device);
  if (device == Device::cuda) require_cuda();
  const bool with_network = options.tracks_folder.empty();
  if (with_network) set_default_model(options.model);
  if (!options.out.empty()) {
    make_output_folder(options.out);
    check_places(options.out, with_network);
  }

  Evaluation sum;
  Progress progress;
  const auto take = [&](const Judged& judged) {
    sum += judged.counts;
    if (judged.hits_on_edges) {
      warn_of_unused_hits(progress, judged.event, static_cast<std::int32_t>(judged.counts.hits), *judged.hits_on_edges);
    }
    progress.show(static_cast<double>(sum.events) / static_cast<double>(prefixes.size()), "evaluating");
  };
  TrackCuts cuts;
  std::vector<std::string> left_out;
  if (with_network) {
    TrackFinder finder = TrackFinder::load(options.model);
    finder.cuts = cuts = options.tracks.applied_to(finder.cuts, true);
    SessionPool<TrackSession> sessions = track_sessions(finder, device);
    left_out = for_each_event(
        prefixes, options.events.keep_going, progress,
        [&](const fs::path& prefix) { return evaluate_model(prefix, sessions, cuts, options); }, take);
  } else {
    left_out = for_each_event(
        prefixes, options.events.keep_going, progress,
        [&](const fs::path& prefix) { return evaluate_tracks_file(prefix, options); }, take);
  }

  nlohmann::ordered_json json = json_of(sum, options, cuts, with_network);
  if (options.events.keep_going) json["left_out"] = left_out;
  std::vector<fs::path> written;
  if (!options.out.empty()) {
    const WritingFiles writing;
    files::write(options.out / "metrics.json",
                 json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n', files::Durable::no);
    written = sum.curves.write(options.out);
    if (with_network) {
      const std::vector<fs::path> roc = write_roc(options.out, sum.roc);
      written.insert(written.end(), roc.begin(), roc.end());
    }
    written.insert(written.begin(), options.out / "metrics.json");
  }
  if (options.json) {
    print_line(json);
  } else {
    print(sum, options, cuts, with_network);
    for (std::size_t i = 0; i < written.size(); ++i) std::printf("%s%s\n", i == 0 ? "\n" : "", written[i].c_str());
  }
  fail_if_left_out(left_out, prefixes.size());
}

}  // namespace

std::unique_ptr<Command> evaluate_command() { return std::make_unique<Evaluate>(); }

}  // namespace starling::cli
