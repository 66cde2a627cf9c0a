// The goals for hit graphs on real events that the windows have never seen: learns windows from simulated events (or
// takes those of a model), builds each event's graph on one thread and prints what it keeps and how long it took.
//
//   build/release/bench/bench_hit_graph [--model MODEL] [--events N] [--qtrkx FOLDER]
//
// --model     takes the windows for 1 GeV and TrackML's vertices from a model file instead of learning them
// --events    simulated events to learn each set of windows from
// --qtrkx     also runs on the graphs of ../shared/data/qtrkx_graphs, which bench/qtrkx_events.py has turned into
//             event files in FOLDER
//
// The real events are read from ../shared/data, or from where STARLING_DATA says.

#include <oneapi/tbb/task_arena.h>

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "data.h"
#include "starling/detector.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/metrics.h"
#include "starling/safetensors.h"
#include "starling/simulate.h"
#include "timing.h"

namespace {

using namespace starling;
namespace fs = std::filesystem;

Windows learn(const char* what, double vertex_sigma_z, WindowSettings settings, int events) {
  const Detector detector = read_detector(fs::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml");
  SimulationSettings simulation;
  simulation.vertex_sigma_z = vertex_sigma_z;
  simulation.seed = 777;
  if (events > 0) settings.events = events;
  Windows windows;
  const double ms = best_ms(1, [&] {
    windows = learn_windows([&](std::uint64_t i) { return simulate_event(detector, simulation, i); }, settings);
  });
  std::printf("windows %s: %d layer pairs, %d triples, learned from %d simulated events in %.0f s\n", what,
              windows.layer_pairs(), windows.layer_triples(), settings.events, ms / 1000.);
  std::fflush(stdout);
  return windows;
}

struct Built {
  HitGraph graph;
  double ms = 0;      ///< the shortest of the repeats
  double cpu_ms = 0;  ///< the same of the processor's time: what is left where the machine is busy with other work
};

Built build(const Hits& hits, const Windows& windows, int repeats) {
  Built built;
  built.cpu_ms = std::numeric_limits<double>::infinity();
  tbb::task_arena one_thread(1);
  built.ms = one_thread.execute([&] {
    return best_ms(repeats, [&] {
      const std::clock_t start = std::clock();
      built.graph = build_hit_graph(hits, windows);
      built.cpu_ms = std::min(built.cpu_ms, 1000. * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    });
  });
  return built;
}

double percent(const Ratio& ratio) { return 100. * ratio.value(); }

void print_header() {
  std::printf("\n%-34s %7s %8s %11s %9s %8s %8s %8s %8s   %s\n", "event", "hits", "edges", "segments", "kept, %",
              "prompt", "purity", "ms", "cpu ms", "goal");
}

void print_row(const char* name, const Hits& hits, const Built& built, const Ratio& kept, double prompt, double purity,
               const char* goal) {
  std::printf("%-34s %7d %8lld %11lld %9.2f ", name, hits.size(), static_cast<long long>(built.graph.edges.size()),
              static_cast<long long>(kept.total), percent(kept));
  for (const double value : {prompt, purity}) {
    if (std::isnan(value)) {
      std::printf("%8s ", "-");
    } else {
      std::printf("%8.2f ", value);
    }
  }
  std::printf("%8.0f %8.0f   %s\n", built.ms, built.cpu_ms, goal);
  std::fflush(stdout);
}

void with_truth(const char* name, const Event& event, const Windows& windows, double min_pt, const char* goal) {
  TargetCuts cuts;
  cuts.min_pt = min_pt;
  cuts.max_radius = 1e6;
  cuts.max_abs_eta = 100.;
  cuts.primary = cuts.no_electrons = false;
  const Built built = build(event.hits, windows, 5);
  const GraphCounts counts = count_graph(event, truth_table(event, cuts), built.graph.edges);
  print_row(name, event.hits, built, counts.segments, percent(counts.prompt_segments), percent(counts.purity), goal);
}

/// Segments of which an end is outside the barrel volumes of TrackML's detector.
void with_endcaps(const char* name, const Event& event, const Windows& windows, const char* goal) {
  const Built built = build(event.hits, windows, 5);
  std::set<std::pair<std::int32_t, std::int32_t>> edges;
  for (std::size_t e = 0; e < built.graph.edges.src.size(); ++e) {
    edges.emplace(built.graph.edges.src[e], built.graph.edges.dst[e]);
  }
  TargetCuts cuts;
  cuts.max_radius = 1e6;
  cuts.max_abs_eta = 100.;
  cuts.primary = cuts.no_electrons = false;
  const TruthTable truth = truth_table(event, cuts);
  const Segments segments = true_segments(event);
  const auto barrel = [&](std::int32_t hit) {
    const std::int32_t volume = event.hits.volume_id[static_cast<std::size_t>(hit)];
    return volume == 8 || volume == 13 || volume == 17;
  };
  Ratio kept;
  for (std::size_t s = 0; s < segments.src.size(); ++s) {
    const std::int32_t src = segments.src[s], dst = segments.dst[s];
    if (!truth.target[static_cast<std::size_t>(truth.of_hit[static_cast<std::size_t>(src)])]) continue;
    if (barrel(src) && barrel(dst)) continue;
    ++kept.total;
    kept.passed += edges.count({src, dst}) + edges.count({dst, src}) > 0 ? 1 : 0;
  }
  print_row(name, event.hits, built, kept, NAN, NAN, goal);
}

/// The rows with truth 1 of an edges file (hit_id_src, hit_id_dst, truth), as hit indices.
std::vector<std::pair<std::int32_t, std::int32_t>> read_known_edges(const fs::path& file, const Hits& hits) {
  std::unordered_map<std::int64_t, std::int32_t> index;
  for (std::int32_t i = 0; i < hits.size(); ++i) index[hits.hit_id[static_cast<std::size_t>(i)]] = i;
  std::ifstream in(file);
  std::string header;
  std::getline(in, header);
  std::vector<std::pair<std::int32_t, std::int32_t>> known;
  long long src = 0, dst = 0, truth = 0;
  char comma = 0;
  while (in >> src >> comma >> dst >> comma >> truth) {
    if (truth == 1) known.emplace_back(index.at(src), index.at(dst));
  }
  if (!in.eof() || known.empty()) throw std::runtime_error(file.string() + ": not a file of edges");
  return known;
}

/// `need_neighbour`: only edges that share a hit with another known edge, in at one end and out at the other.
Ratio count_known(const fs::path& file, const Hits& hits, const EdgeList& edges, bool need_neighbour) {
  const auto known = read_known_edges(file, hits);
  std::set<std::pair<std::int32_t, std::int32_t>> found;
  for (std::size_t e = 0; e < edges.src.size(); ++e) found.emplace(edges.src[e], edges.dst[e]);
  std::unordered_set<std::int32_t> starts, ends;
  for (const auto& [src, dst] : known) {
    starts.insert(src);
    ends.insert(dst);
  }
  Ratio kept;
  for (const auto& [src, dst] : known) {
    if (need_neighbour && !ends.count(src) && !starts.count(dst)) continue;
    ++kept.total;
    kept.passed += found.count({src, dst}) + found.count({dst, src}) > 0 ? 1 : 0;
  }
  return kept;
}

int run(int argc, char** argv) {
  std::string model, qtrkx;
  int events = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--model") {
      model = argv[i + 1];
    } else if (option == "--events") {
      events = std::atoi(argv[i + 1]);
    } else if (option == "--qtrkx") {
      qtrkx = argv[i + 1];
    } else {
      std::fprintf(stderr, "unknown option %s\n", argv[i]);
      return 2;
    }
  }
  print_machine();
  const fs::path data = data_folder();
  const Windows nominal =
      model.empty() ? learn("(1 GeV, vertices 5.5 mm)", 5.5, {}, events) : Windows::from_file(read_safetensors(model));
  WindowSettings soft_settings;
  soft_settings.min_pt = 0.5;
  soft_settings.lambda_doublets = 2e-4;
  soft_settings.lambda_triplets = 1.5e-3;
  const Windows soft = learn("(0.5 GeV, vertices 5.5 mm)", 5.5, soft_settings, events);
  const Windows wide = learn("(1 GeV, vertices 45 mm)", 45., {}, events);

  print_header();
  const Event barrel = read_event(data / "trackml_ev1000_barrel" / "event000001000");
  with_truth("1000, barrel, > 1 GeV", barrel, nominal, 1., ">= 99.0, prompt >= 99.7, <= 30,000 edges, <= 150 ms");
  with_truth("1000, barrel, > 0.5 GeV", barrel, soft, 0.5, ">= 98.5, <= 100,000 edges");
  for (const char* const name : {"event000001001", "event000001005"}) {
    const Event event = read_event(data / "trackml_full" / name);
    const Built built = build(event.hits, nominal, 5);
    const Ratio kept =
        count_known(data / "trackml_full" / (std::string(name) + "-edges.csv"), event.hits, built.graph.edges, false);
    print_row((std::string(name).substr(8) + ", whole, > 1 GeV").c_str(), event.hits, built, kept, NAN, NAN,
              ">= 99, <= 80,000 edges, <= 400 ms");
  }
  const Event sparse = read_event(data / "trackml_gnntracking_ev1" / "event000000001");
  with_truth("gnntracking_ev1, > 1 GeV", sparse, wide, 1., ">= 99");
  with_endcaps("  its segments in the endcaps", sparse, wide, ">= 98.5");
  if (!qtrkx.empty()) {
    Ratio all;
    for (const auto& prefix : find_events(qtrkx)) {
      const Event event = read_event(prefix);
      const Built built = build(event.hits, nominal, 1);
      const Ratio kept = count_known(prefix.string() + "-edges.csv", event.hits, built.graph.edges, true);
      all += kept;
      print_row(("qtrkx " + event.name).c_str(), event.hits, built, kept, NAN, NAN, "");
    }
    std::printf("%-34s %28lld %9.2f %44s\n", "qtrkx, all", static_cast<long long>(all.total), percent(all), ">= 99.5");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_hit_graph: %s\n", error.what());
    return 1;
  }
}
