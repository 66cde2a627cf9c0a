// Hits of a tracker in, tracks out. reconstruct_event is the way of one event; the rest is about many.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "edge_file.h"
#include "ending.h"
#include "output.h"
#include "picture.h"
#include "plot.h"
#include "reconstruct_events.h"
#include "report.h"
#include "starling/event.h"
#include "starling/track_finder.h"
#include "starling/tracks.h"
#include "stopwatch.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

class TrackReconstruction {
 public:
  TrackReconstruction(const Reconstruction& options, const TrackFinder& finder, Device device, bool scores)
      : options_(options), finder_(finder), device_(device), write_scores_(scores) {}

  void run() const;

  struct Done {
    std::string event;
    std::int32_t hits = 0, hits_outside = 0, hits_on_edges = 0, found = 0;
    std::int64_t edges = 0;
    struct Seconds {
      double read = 0, graph = 0, network = 0, tracks = 0, write = 0;
      double sum() const { return read + graph + network + tracks + write; }
    } seconds;
    std::vector<WrittenFile> written;
  };
  static constexpr const char* kFound = "track";

  Done reconstruct_event(const fs::path& prefix, SessionPool<TrackSession>& sessions) const;
  static void print_json(const Done& done);
  static void print_table_head();
  static void print_table_row(const Done& done);
  static void warn(Progress& progress, const Done& done) {
    warn_of_unused_hits(progress, done.event, done.hits, done.hits_on_edges);
  }

 private:
  void check_places() const;

  const Reconstruction& options_;
  const TrackFinder& finder_;
  Device device_;
  bool write_scores_;
};

TrackReconstruction::Done TrackReconstruction::reconstruct_event(const fs::path& prefix,
                                                                 SessionPool<TrackSession>& sessions) const {
  Done done;
  Done::Seconds& seconds = done.seconds;
  Stopwatch watch;

  const Event event = read_event(prefix, {.truth = false});
  seconds.read = watch.lap();

  Tracks tracks;
  EdgeList edges;  // where scores are written
  std::vector<float> scores;
  {
    const auto session = sessions.take();
    tracks = session->run(event.hits);
    const TrackSession::Found found = session->found();
    seconds.graph = found.graph_seconds;
    seconds.network = found.network_seconds;
    seconds.tracks = found.tracks_seconds;
    done.hits_outside = found.hits_outside;
    done.hits_on_edges = hits_on_edges(found.edges);
    done.edges = found.edges.size();
    if (write_scores_) {
      edges.src.assign(found.edges.src.begin(), found.edges.src.end());
      edges.dst.assign(found.edges.dst.begin(), found.edges.dst.end());
      scores.assign(found.scores.begin(), found.scores.end());
    }
  }
  watch.lap();

  const WritingFiles writing;
  const fs::path tracks_file = options_.out / (event.name + "-tracks.csv");
  write_tracks(tracks_file, event.hits, tracks);
  done.written = {{"tracks", "-tracks.csv", tracks_file}};
  if (write_scores_) {
    const fs::path scores_file = options_.out / (event.name + "-scores.csv");
    write_edges(scores_file, event.hits, edges, "score", scores);
    done.written.push_back({"scores", "-scores.csv", scores_file});
  }
  seconds.write = watch.lap();

  if (options_.picture) {
    const fs::path picture = options_.out / (event.name + "-tracks.png");
    if (draw_event(picture, event, tracks)) done.written.push_back({"picture", "-tracks.png", picture});
  }
  done.event = event.name;
  done.hits = event.hits.size();
  done.found = tracks.size();
  return done;
}

void TrackReconstruction::print_json(const Done& done) {
  const Done::Seconds& s = done.seconds;
  nlohmann::ordered_json line = {
      {"event", done.event},
      {"hits", done.hits},
      {"hits_outside", done.hits_outside},
      {"edges", done.edges},
      {"tracks", done.found},
      {"seconds",
       {{"read", s.read},
        {"graph", s.graph},
        {"network", s.network},
        {"tracks", s.tracks},
        {"write", s.write},
        {"sum", s.sum()}}},
  };
  add_written(line, done.written);
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
              done.hits_outside, static_cast<long long>(done.edges), done.found, 1e3 * s.read, 1e3 * s.graph,
              1e3 * s.network, 1e3 * s.tracks, 1e3 * s.write, 1e3 * s.sum());
  flush_output();
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
  SessionPool<TrackSession> sessions = track_sessions(finder_, device_);
  reconstruct_events(options_, *this, sessions);
}

}  // namespace

void reconstruct_tracks(const Reconstruction& options, const TrackFinder& finder, Device device, bool scores) {
  TrackReconstruction(options, finder, device, scores).run();
}

}  // namespace starling::cli
