#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "commands.h"
#include "environment.h"
#include "files/files.h"
#include "in_flight.h"
#include "report.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "stopwatch.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

struct Report {
  std::string event;
  std::int32_t hits = 0, hits_outside = 0;
  double seconds = 0;
  bool has_truth = false;
  GraphCounts counts;
  std::vector<std::string> skipped_cuts;
};

template <class Number>
void append(std::string& text, Number value) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void write_graph(const fs::path& file, const Hits& hits, const HitGraph& graph, bool features) {
  std::string text = "hit_id_src,hit_id_dst";
  if (features) text += ",dr,dphi,dz,deta,phislope,rphislope";
  text += '\n';
  for (std::size_t e = 0; e < graph.edges.src.size(); ++e) {
    append(text, hits.hit_id[graph.edges.src[e]]);
    text += ',';
    append(text, hits.hit_id[graph.edges.dst[e]]);
    for (std::size_t f = 0; features && f < kEdgeFeatures; ++f) {
      text += ',';
      append(text, graph.edge_features[e * kEdgeFeatures + f]);
    }
    text += '\n';
  }
  files::write(file, text, files::Durable::no);
}

Report build_event(const fs::path& prefix, const Model& model, const GraphOptions& options) {
  Report report;
  const Event event = read_event(prefix);
  Stopwatch watch;
  const HitGraph graph = build_hit_graph(event.hits, model.windows, model.scales);
  report.seconds = watch.lap();
  write_graph(options.out / (event.name + "-graph.csv"), event.hits, graph, options.features);
  report.event = event.name;
  report.hits = event.hits.size();
  report.hits_outside = graph.hits_outside;
  report.counts.edges = graph.edges.size();
  if (event.truth) {
    TargetCuts cuts;
    cuts.min_pt = model.windows.min_pt();
    report.has_truth = true;
    const TruthTable truth = truth_table(event, cuts);
    report.counts = count_graph(event, truth, graph.edges);
    report.skipped_cuts = truth.skipped_cuts;
  }
  return report;
}

void print_json(const Report& report) {
  nlohmann::ordered_json line = {{"event", report.event},
                                 {"hits", report.hits},
                                 {"hits_outside", report.hits_outside},
                                 {"edges", report.counts.edges},
                                 {"seconds", report.seconds}};
  if (report.has_truth) {
    line["efficiency"] = to_json(report.counts.segments);
    line["efficiency_prompt"] = to_json(report.counts.prompt_segments);
    line["purity"] = to_json(report.counts.purity);
  }
  print_line(line);
}

void print_table_head() {
  std::printf("%-20s %8s %8s %8s %8s   %-25s   %-25s   %-25s\n", "event", "hits", "outside", "edges", "ms",
              "efficiency %", "prompt %", "purity %");
}

void print_table_row(const Report& report) {
  std::printf("%-20s %8d %8d %8lld %8.1f", report.event.c_str(), report.hits, report.hits_outside,
              static_cast<long long>(report.counts.edges), 1e3 * report.seconds);
  if (report.has_truth) {
    std::printf("   %s   %s   %s", percent(report.counts.segments).c_str(),
                percent(report.counts.prompt_segments).c_str(), percent(report.counts.purity).c_str());
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

void graph(const GraphOptions& options) {
  const Model model = Model::load(options.model);
  const std::vector<fs::path> prefixes = events_of(options.events);
  make_output_folder(options.out);
  bool head = !options.json;
  Report sum;
  in_flight(
      prefixes.size(), [&](std::size_t i) { return build_event(prefixes[i], model, options); },
      [&](const Report& report) {
        if (std::exchange(head, false)) print_table_head();
        options.json ? print_json(report) : print_table_row(report);
        sum.hits += report.hits;
        sum.hits_outside += report.hits_outside;
        sum.seconds += report.seconds;
        sum.has_truth |= report.has_truth;
        sum.counts += report.counts;
        add_missing(sum.skipped_cuts, report.skipped_cuts);
      });
  if (options.json) return;
  if (prefixes.size() > 1) {
    sum.event = "all";
    print_table_row(sum);
  }
  if (sum.has_truth) {
    std::printf(
        "\nefficiency: true segments of particles above %g GeV that are edges; purity: edges that join two hits of "
        "one particle;\nwith 68 %% intervals\n",
        model.windows.min_pt());
  }
  std::printf("graphs: %s\n", (options.out / "<event>-graph.csv").c_str());
}

}  // namespace starling::cli
