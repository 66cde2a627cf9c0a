#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "command.h"
#include "edge_file.h"
#include "environment.h"
#include "event_loop.h"
#include "event_options.h"
#include "output.h"
#include "report.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/track_finder.h"
#include "stopwatch.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

constexpr const char* kFeatureColumns = "dr,dphi,dz,deta,phislope,rphislope";

class Graph final : public Command {
 public:
  Graph()
      : Command("graph", "Build hit graphs and write them as CSV.",
                {"starling graph events/event000000000 --out graphs --features"}) {}

  void declare(Options& options) override {
    events_.declare(options);
    declare_model(options, model_file_);
    options.path("--out", "DIR", out_, "folder for <event>-graph.csv (hit_id_src, hit_id_dst)").required();
    options.flag("--features", features_, "write the six edge features too");
    options.flag("--json", json_, "one JSON line per event instead of a table");
    options.threads();
  }

  void run() override;

 private:
  struct Built {
    std::string event;
    std::int32_t hits = 0, hits_outside = 0, hits_on_edges = 0;
    double seconds = 0;
    bool has_truth = false;
    GraphCounts counts;
    std::vector<std::string> skipped_cuts;
  };

  Built build_event(const fs::path& prefix, const TrackFinder& finder) const;
  static void print_json(const Built& built);
  static void print_table_head();
  static void print_table_row(const Built& built);

  EventOptions events_;
  fs::path model_file_, out_;
  bool features_ = false, json_ = false;
};

Graph::Built Graph::build_event(const fs::path& prefix, const TrackFinder& finder) const {
  Built built;
  const Event event = read_event(prefix);
  Stopwatch watch;
  const HitGraph graph = build_hit_graph(event.hits, finder.windows, finder.scales);
  built.seconds = watch.lap();
  write_edges(out_ / (event.name + "-graph.csv"), event.hits, graph.edges, features_ ? kFeatureColumns : "",
              features_ ? std::span<const float>(graph.edge_features) : std::span<const float>());
  built.event = event.name;
  built.hits = event.hits.size();
  built.hits_outside = graph.hits_outside;
  built.hits_on_edges = hits_on_edges(graph.edges);
  built.counts.edges = graph.edges.size();
  if (event.truth) {
    TargetCuts cuts;
    cuts.min_pt = finder.windows.min_pt();
    built.has_truth = true;
    const TruthTable truth = truth_table(event, cuts);
    built.counts = count_graph(event, truth, graph.edges);
    built.skipped_cuts = truth.skipped_cuts;
  }
  return built;
}

void Graph::print_json(const Built& built) {
  nlohmann::ordered_json line = {{"event", built.event},
                                 {"hits", built.hits},
                                 {"hits_outside", built.hits_outside},
                                 {"edges", built.counts.edges},
                                 {"seconds", built.seconds}};
  if (built.has_truth) {
    line["efficiency"] = to_json(built.counts.segments);
    line["efficiency_prompt"] = to_json(built.counts.prompt_segments);
    line["purity"] = to_json(built.counts.purity);
  }
  print_line(line);
}

void Graph::print_table_head() {
  std::printf("%-20s %8s %8s %8s %8s   %-25s   %-25s   %-25s\n", "event", "hits", "outside", "edges", "ms",
              "efficiency %", "prompt %", "purity %");
}

void Graph::print_table_row(const Built& built) {
  std::printf("%-20s %8d %8d %8lld %8.1f", built.event.c_str(), built.hits, built.hits_outside,
              static_cast<long long>(built.counts.edges), 1e3 * built.seconds);
  if (built.has_truth) {
    std::printf("   %s   %s   %s", percent(built.counts.segments).c_str(),
                percent(built.counts.prompt_segments).c_str(), percent(built.counts.purity).c_str());
  }
  std::printf("\n");
  flush_output();
}

void Graph::run() {
  set_default_model(model_file_);
  const TrackFinder finder = TrackFinder::load(model_file_);
  const std::vector<fs::path> prefixes = events_.prefixes();
  events_.check_tracker(prefixes, name());
  make_output_folder(out_);
  for (const fs::path& prefix : prefixes) {
    check_edges_place(out_ / (prefix.filename().string() + "-graph.csv"), {"", kFeatureColumns});
  }
  bool head = !json_;
  Built sum;
  Progress progress;
  const std::vector<std::string> left_out = for_each_event(
      prefixes, events_.keep_going, progress, [&](const fs::path& prefix) { return build_event(prefix, finder); },
      [&](const Built& built) {
        if (std::exchange(head, false)) print_table_head();
        json_ ? print_json(built) : print_table_row(built);
        warn_of_unused_hits(progress, built.event, built.hits, built.hits_on_edges);
        sum.hits += built.hits;
        sum.hits_outside += built.hits_outside;
        sum.seconds += built.seconds;
        sum.has_truth |= built.has_truth;
        sum.counts += built.counts;
        add_missing(sum.skipped_cuts, built.skipped_cuts);
      });
  if (!json_) {
    if (prefixes.size() > 1) {
      sum.event = "all";
      print_table_row(sum);
    }
    if (sum.has_truth) {
      std::printf(
          "\nefficiency: true segments of particles above %g GeV that are edges; purity: edges that join two hits of "
          "one particle;\nwith 68 %% intervals\n",
          finder.windows.min_pt());
    }
    std::printf("graphs: %s\n", (out_ / "<event>-graph.csv").c_str());
  }
  fail_if_left_out(left_out, prefixes.size());
}

}  // namespace

std::unique_ptr<Command> graph_command() { return std::make_unique<Graph>(); }

}  // namespace starling::cli
