// Hits of a tracker in, tracks out. reconstruct_event is the way of one event; the rest is about many.
#include <oneapi/tbb/enumerable_thread_specific.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "edge_file.h"
#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "output.h"
#include "picture.h"
#include "plot.h"
#include "reconstruct.h"
#include "report.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/track_finder.h"
#include "starling/tracks.h"
#include "stopwatch.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

class TrackReconstruction {
 public:
  TrackReconstruction(const Reconstruction& options, const TrackFinder& finder, const TrackCuts& cuts, bool scores)
      : options_(options), finder_(finder), cuts_(cuts), write_scores_(scores) {}

  void run() const;

 private:
  struct Done {
    std::string event;
    std::int32_t hits = 0, hits_outside = 0, hits_on_edges = 0, tracks = 0;
    std::int64_t edges = 0;
    struct Seconds {
      double read = 0, graph = 0, network = 0, tracks = 0, write = 0;
      double sum() const { return read + graph + network + tracks + write; }
    } seconds;
    fs::path tracks_file, scores_file, picture;
  };

  Done reconstruct_event(const fs::path& prefix, Session& session) const;
  void check_places() const;
  static void print_json(const Done& done);
  static void print_table_head();
  static void print_table_row(const Done& done);
  void print_sum(std::size_t events, std::int64_t hits, std::int64_t tracks, double seconds, const Done& last) const;

  const Reconstruction& options_;
  const TrackFinder& finder_;
  const TrackCuts& cuts_;
  bool write_scores_;
};

TrackReconstruction::Done TrackReconstruction::reconstruct_event(const fs::path& prefix, Session& session) const {
  Done done;
  Done::Seconds& seconds = done.seconds;
  Stopwatch watch;

  const Event event = read_event(prefix, {.truth = false});
  seconds.read = watch.lap();

  const HitGraph graph = build_hit_graph(event.hits, finder_.windows, finder_.scales);
  seconds.graph = watch.lap();

  const std::vector<float> scores = session.run(graph);
  seconds.network = watch.lap();

  const Tracks tracks = build_tracks(graph, scores, cuts_);
  seconds.tracks = watch.lap();

  const WritingFiles writing;
  done.tracks_file = options_.out / (event.name + "-tracks.csv");
  write_tracks(done.tracks_file, event.hits, tracks);
  if (write_scores_) {
    done.scores_file = options_.out / (event.name + "-scores.csv");
    write_edges(done.scores_file, event.hits, graph.edges, "score", scores);
  }
  seconds.write = watch.lap();

  if (options_.picture) {
    const fs::path picture = options_.out / (event.name + "-tracks.png");
    if (draw_event(picture, event, tracks)) done.picture = picture;
  }
  done.event = event.name;
  done.hits = event.hits.size();
  done.hits_outside = graph.hits_outside;
  done.hits_on_edges = hits_on_edges(graph.edges, event.hits.size());
  done.edges = graph.edges.size();
  done.tracks = tracks.size();
  return done;
}

void TrackReconstruction::print_json(const Done& done) {
  const Done::Seconds& s = done.seconds;
  nlohmann::ordered_json line = {
      {"event", done.event},
      {"hits", done.hits},
      {"hits_outside", done.hits_outside},
      {"edges", done.edges},
      {"tracks", done.tracks},
      {"seconds",
       {{"read", s.read},
        {"graph", s.graph},
        {"network", s.network},
        {"tracks", s.tracks},
        {"write", s.write},
        {"sum", s.sum()}}},
      {"tracks_file", done.tracks_file.string()},
  };
  if (!done.scores_file.empty()) line["scores_file"] = done.scores_file.string();
  if (!done.picture.empty()) line["picture"] = done.picture.string();
  print_line(line);
}

void TrackReconstruction::print_table_head() {
  std::printf("%-20s %8s %8s %8s %8s | %7s %7s %7s %7s %7s %7s\n", "", "", "outside", "", "", "read", "graph",
              "network", "tracks", "write", "sum");
  std::printf("%-20s %8s %8s %8s %8s | %7s %7s %7s %7s %7s %7s\n", "event", "hits", "layers", "edges", "tracks", "ms",
              "ms", "ms", "ms", "ms", "ms");
}

void TrackReconstruction::print_table_row(const Done& done) {
  const Done::Seconds& s = done.seconds;
  std::printf("%-20s %8d %8d %8lld %8d | %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f\n", done.event.c_str(), done.hits,
              done.hits_outside, static_cast<long long>(done.edges), done.tracks, 1e3 * s.read, 1e3 * s.graph,
              1e3 * s.network, 1e3 * s.tracks, 1e3 * s.write, 1e3 * s.sum());
  flush_output();
}

void TrackReconstruction::print_sum(std::size_t events, std::int64_t hits, std::int64_t tracks, double seconds,
                                    const Done& last) const {
  std::printf("\n%zu %s, %lld hits, %lld tracks in %.2f s; at most %.2f GB of memory\n", events,
              events == 1 ? "event" : "events", static_cast<long long>(hits), static_cast<long long>(tracks), seconds,
              static_cast<double>(peak_memory()) / 1e9);
  const auto name = [&](const char* what, const fs::path& file, const char* end) {
    if (file.empty()) return;
    std::printf("%-9s%s\n", what, events == 1 ? file.c_str() : (options_.out / (std::string("<event>") + end)).c_str());
  };
  name("tracks:", last.tracks_file, "-tracks.csv");
  name("scores:", last.scores_file, "-scores.csv");
  name("picture:", last.picture, "-tracks.png");
}

void TrackReconstruction::check_places() const {
  for (const fs::path& prefix : options_.prefixes) {
    const std::string name = prefix.filename().string();
    check_tracks_place(options_.out / (name + "-tracks.csv"));
    if (write_scores_) check_edges_place(options_.out / (name + "-scores.csv"), {"score"});
    if (options_.picture) Plot::check_place(options_.out / (name + "-tracks.png"));
  }
}

void TrackReconstruction::run() const {
  check_places();
  oneapi::tbb::enumerable_thread_specific<Session> sessions(std::make_shared<const Plan>(finder_.network));
  std::int64_t hits = 0, tracks = 0;
  std::size_t events = 0;
  Done last;
  Stopwatch watch;
  bool head = !options_.json;
  Progress progress;
  const std::vector<std::string> left_out = for_each_event(
      options_.prefixes, options_.events.keep_going, progress,
      [&](const fs::path& prefix) { return reconstruct_event(prefix, sessions.local()); },
      [&](const Done& done) {
        if (std::exchange(head, false)) print_table_head();
        options_.json ? print_json(done) : print_table_row(done);
        warn_of_unused_hits(progress, done.event, done.hits, done.hits_on_edges);
        ++events;
        hits += done.hits;
        tracks += done.tracks;
        last = done;
      });
  if (!options_.json && events > 0) print_sum(events, hits, tracks, watch.lap(), last);
  fail_if_left_out(left_out, options_.prefixes.size());
}

}  // namespace

void reconstruct_tracks(const Reconstruction& options, const TrackFinder& finder, const TrackCuts& cuts, bool scores) {
  TrackReconstruction(options, finder, cuts, scores).run();
}

}  // namespace starling::cli
