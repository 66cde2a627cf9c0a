// Hits in, tracks out. reconstruct_event is the way of one event; the rest is about many.
#include <oneapi/tbb/enumerable_thread_specific.h>

#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "commands.h"
#include "environment.h"
#include "in_flight.h"
#include "picture.h"
#include "plot.h"
#include "report.h"
#include "starling/error.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/network.h"
#include "starling/tracks.h"
#include "stopwatch.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

struct Report {
  std::string event;
  std::int32_t hits = 0, hits_outside = 0, tracks = 0;
  std::int64_t edges = 0;
  struct Seconds {
    double read = 0, graph = 0, network = 0, tracks = 0, write = 0;
    double sum() const { return read + graph + network + tracks + write; }
  } seconds;
  fs::path tracks_file, picture;
};

Report reconstruct_event(const fs::path& prefix, const Model& model, Session& session, const TrackCuts& cuts,
                         const ReconstructOptions& options) {
  Report report;
  Report::Seconds& seconds = report.seconds;
  Stopwatch watch;

  const Event event = read_event(prefix, {.truth = false});
  seconds.read = watch.lap();

  const HitGraph graph = build_hit_graph(event.hits, model.windows, model.scales);
  seconds.graph = watch.lap();

  const std::vector<float> scores = session.run(graph);
  seconds.network = watch.lap();

  const Tracks tracks = build_tracks(graph, scores, cuts, event.hits, model.windows);
  seconds.tracks = watch.lap();

  report.tracks_file = options.out / (event.name + "-tracks.csv");
  write_tracks(report.tracks_file, event.hits, tracks);
  seconds.write = watch.lap();

  if (options.picture) {
    const fs::path picture = options.out / (event.name + "-tracks.png");
    if (draw_event(picture, event, tracks)) report.picture = picture;
  }
  report.event = event.name;
  report.hits = event.hits.size();
  report.hits_outside = graph.hits_outside;
  report.edges = graph.edges.size();
  report.tracks = tracks.size();
  return report;
}

void print_json(const Report& report) {
  const Report::Seconds& s = report.seconds;
  nlohmann::ordered_json line = {
      {"event", report.event},
      {"hits", report.hits},
      {"hits_outside", report.hits_outside},
      {"edges", report.edges},
      {"tracks", report.tracks},
      {"seconds",
       {{"read", s.read},
        {"graph", s.graph},
        {"network", s.network},
        {"tracks", s.tracks},
        {"write", s.write},
        {"sum", s.sum()}}},
      {"tracks_file", report.tracks_file.string()},
  };
  if (!report.picture.empty()) line["picture"] = report.picture.string();
  print_line(line);
}

void print_table_head() {
  std::printf("%-20s %8s %8s %8s %8s | %7s %7s %7s %7s %7s %7s\n", "", "", "outside", "", "", "read", "graph",
              "network", "tracks", "write", "sum");
  std::printf("%-20s %8s %8s %8s %8s | %7s %7s %7s %7s %7s %7s\n", "event", "hits", "layers", "edges", "tracks", "ms",
              "ms", "ms", "ms", "ms", "ms");
}

void print_table_row(const Report& report) {
  const Report::Seconds& s = report.seconds;
  std::printf("%-20s %8d %8d %8lld %8d | %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f\n", report.event.c_str(), report.hits,
              report.hits_outside, static_cast<long long>(report.edges), report.tracks, 1e3 * s.read, 1e3 * s.graph,
              1e3 * s.network, 1e3 * s.tracks, 1e3 * s.write, 1e3 * s.sum());
  std::fflush(stdout);
}

}  // namespace

void reconstruct(const ReconstructOptions& options) {
  check_device(options.device);
  const Model model = Model::load(options.model);
  const TrackCuts cuts = options.tracks.applied_to(model.cuts);
  const std::vector<fs::path> prefixes = events_of(options.events);
  make_output_folder(options.out);
  for (const fs::path& prefix : prefixes) {
    const std::string name = prefix.filename().string();
    check_tracks_place(options.out / (name + "-tracks.csv"));
    if (options.picture) Plot::check_place(options.out / (name + "-tracks.png"));
  }

  oneapi::tbb::enumerable_thread_specific<Session> sessions(std::cref(model));
  std::int64_t hits = 0, tracks = 0;
  fs::path last_file, last_picture;
  Stopwatch watch;
  bool head = !options.json;
  in_flight(
      prefixes.size(),
      [&](std::size_t i) { return reconstruct_event(prefixes[i], model, sessions.local(), cuts, options); },
      [&](const Report& report) {
        if (std::exchange(head, false)) print_table_head();
        options.json ? print_json(report) : print_table_row(report);
        hits += report.hits;
        tracks += report.tracks;
        last_file = report.tracks_file;
        last_picture = report.picture;
      });
  if (options.json) return;
  const double seconds = watch.lap();
  std::printf("\n%zu %s, %lld hits, %lld tracks in %.2f s; at most %.2f GB of memory\n", prefixes.size(),
              prefixes.size() == 1 ? "event" : "events", static_cast<long long>(hits), static_cast<long long>(tracks),
              seconds, static_cast<double>(peak_memory()) / 1e9);
  std::printf("tracks:  %s\n", prefixes.size() == 1 ? last_file.c_str() : (options.out / "<event>-tracks.csv").c_str());
  if (!last_picture.empty()) {
    std::printf("picture: %s\n",
                prefixes.size() == 1 ? last_picture.c_str() : (options.out / "<event>-tracks.png").c_str());
  }
}

}  // namespace starling::cli
