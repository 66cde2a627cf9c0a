// Hits in, tracks out. reconstruct_event is the way of one event; the rest is about many.
#include <oneapi/tbb/enumerable_thread_specific.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "command.h"
#include "edge_file.h"
#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "event_options.h"
#include "output.h"
#include "picture.h"
#include "plot.h"
#include "report.h"
#include "starling/event.h"
#include "starling/hit_graph.h"
#include "starling/track_finder.h"
#include "starling/tracks.h"
#include "stopwatch.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

class Reconstruct final : public Command {
 public:
  Reconstruct()
      : Command("reconstruct", "Find the tracks of events: hits, graph, network, tracks.",
                "starling reconstruct events --out tracks --picture") {}

  void declare(Options& options) override {
    events_.declare(options);
    declare_model(options, model_file_);
    options.path("--out", "DIR", out_, "folder for <event>-tracks.csv (hit_id, track_id; -1 = none)").required();
    options.flag("--scores", write_scores_, "write <event>-scores.csv too (hit_id_src, hit_id_dst, score)");
    options.flag("--picture", picture_, "draw <event>-tracks.png, with gnuplot");
    tracks_.declare(options, "components, junction_removal: edges below take no part");
    declare_device(options, device_);
    options.flag("--json", json_, "one JSON line per event instead of a table");
    options.threads();
  }

  void run() override;

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

  Done reconstruct_event(const fs::path& prefix, const TrackFinder& finder, Session& session,
                         const TrackCuts& cuts) const;
  static void print_json(const Done& done);
  static void print_table_head();
  static void print_table_row(const Done& done);

  EventOptions events_;
  fs::path model_file_, out_;
  TrackOptions tracks_;
  std::string device_ = "cpu";
  bool write_scores_ = false, picture_ = false, json_ = false;
};

Reconstruct::Done Reconstruct::reconstruct_event(const fs::path& prefix, const TrackFinder& finder, Session& session,
                                                 const TrackCuts& cuts) const {
  Done done;
  Done::Seconds& seconds = done.seconds;
  Stopwatch watch;

  const Event event = read_event(prefix, {.truth = false});
  seconds.read = watch.lap();

  const HitGraph graph = build_hit_graph(event.hits, finder.windows, finder.scales);
  seconds.graph = watch.lap();

  const std::vector<float> scores = session.run(graph);
  seconds.network = watch.lap();

  const Tracks tracks = build_tracks(graph, scores, cuts);
  seconds.tracks = watch.lap();

  const WritingFiles writing;
  done.tracks_file = out_ / (event.name + "-tracks.csv");
  write_tracks(done.tracks_file, event.hits, tracks);
  if (write_scores_) {
    done.scores_file = out_ / (event.name + "-scores.csv");
    write_edges(done.scores_file, event.hits, graph.edges, "score", scores);
  }
  seconds.write = watch.lap();

  if (picture_) {
    const fs::path picture = out_ / (event.name + "-tracks.png");
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

void Reconstruct::print_json(const Done& done) {
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

void Reconstruct::print_table_head() {
  std::printf("%-20s %8s %8s %8s %8s | %7s %7s %7s %7s %7s %7s\n", "", "", "outside", "", "", "read", "graph",
              "network", "tracks", "write", "sum");
  std::printf("%-20s %8s %8s %8s %8s | %7s %7s %7s %7s %7s %7s\n", "event", "hits", "layers", "edges", "tracks", "ms",
              "ms", "ms", "ms", "ms", "ms");
}

void Reconstruct::print_table_row(const Done& done) {
  const Done::Seconds& s = done.seconds;
  std::printf("%-20s %8d %8d %8lld %8d | %7.1f %7.1f %7.1f %7.1f %7.1f %7.1f\n", done.event.c_str(), done.hits,
              done.hits_outside, static_cast<long long>(done.edges), done.tracks, 1e3 * s.read, 1e3 * s.graph,
              1e3 * s.network, 1e3 * s.tracks, 1e3 * s.write, 1e3 * s.sum());
  flush_output();
}

void Reconstruct::run() {
  check_device(device_);
  set_default_model(model_file_);
  const TrackFinder finder = TrackFinder::load(model_file_);
  const TrackCuts cuts = tracks_.applied_to(finder.cuts, false);
  const std::vector<fs::path> prefixes = events_.prefixes();
  make_output_folder(out_);
  for (const fs::path& prefix : prefixes) {
    const std::string name = prefix.filename().string();
    check_tracks_place(out_ / (name + "-tracks.csv"));
    if (write_scores_) check_edges_place(out_ / (name + "-scores.csv"), {"score"});
    if (picture_) Plot::check_place(out_ / (name + "-tracks.png"));
  }

  oneapi::tbb::enumerable_thread_specific<Session> sessions(std::make_shared<const Plan>(finder.network));
  std::int64_t hits = 0, tracks = 0;
  std::size_t events = 0;
  Done last;
  Stopwatch watch;
  bool head = !json_;
  Progress progress;
  const std::vector<std::string> left_out = for_each_event(
      prefixes, events_.keep_going, progress,
      [&](const fs::path& prefix) { return reconstruct_event(prefix, finder, sessions.local(), cuts); },
      [&](const Done& done) {
        if (std::exchange(head, false)) print_table_head();
        json_ ? print_json(done) : print_table_row(done);
        warn_of_unused_hits(progress, done.event, done.hits, done.hits_on_edges);
        ++events;
        hits += done.hits;
        tracks += done.tracks;
        last = done;
      });
  if (!json_ && events > 0) {
    std::printf("\n%zu %s, %lld hits, %lld tracks in %.2f s; at most %.2f GB of memory\n", events,
                events == 1 ? "event" : "events", static_cast<long long>(hits), static_cast<long long>(tracks),
                watch.lap(), static_cast<double>(peak_memory()) / 1e9);
    const auto name = [&](const char* what, const fs::path& file, const char* end) {
      if (file.empty()) return;
      std::printf("%-9s%s\n", what, events == 1 ? file.c_str() : (out_ / (std::string("<event>") + end)).c_str());
    };
    name("tracks:", last.tracks_file, "-tracks.csv");
    name("scores:", last.scores_file, "-scores.csv");
    name("picture:", last.picture, "-tracks.png");
  }
  fail_if_left_out(left_out, prefixes.size());
}

}  // namespace

std::unique_ptr<Command> reconstruct_command() { return std::make_unique<Reconstruct>(); }

}  // namespace starling::cli
