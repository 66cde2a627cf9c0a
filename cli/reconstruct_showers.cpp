// Hits of a calorimeter in, showers out. reconstruct_event is the way of one event; the rest is about many.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "ending.h"
#include "output.h"
#include "picture.h"
#include "plot.h"
#include "reconstruct_events.h"
#include "starling/calorimeter.h"
#include "stopwatch.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

class ShowerReconstruction {
 public:
  ShowerReconstruction(const Reconstruction& options, const ShowerFinder& finder, Device device)
      : options_(options), finder_(finder), device_(device) {}

  void run() const;

  struct Done {
    std::string event;
    std::int32_t hits = 0, clustered = 0, found = 0, largest = 0;  ///< largest: hits of the largest shower
    double energy = 0;                                             ///< GeV
    struct Seconds {
      double read = 0, find = 0, write = 0;
      double sum() const { return read + find + write; }
    } seconds;
    std::vector<WrittenFile> written;
  };
  static constexpr const char* kFound = "shower";

  Done reconstruct_event(const fs::path& prefix, SessionPool<ShowerSession>& sessions) const;
  static void print_json(const Done& done);
  static void print_table_head();
  static void print_table_row(const Done& done);
  static void warn(Progress& progress, const Done& done);

 private:
  void check_places() const;

  const Reconstruction& options_;
  const ShowerFinder& finder_;
  Device device_;
};

ShowerReconstruction::Done ShowerReconstruction::reconstruct_event(const fs::path& prefix,
                                                                   SessionPool<ShowerSession>& sessions) const {
  Done done;
  Done::Seconds& seconds = done.seconds;
  Stopwatch watch;

  const CalorimeterEvent event = options_.events.read_calorimeter(prefix, options_.picture);
  seconds.read = watch.lap();

  const FoundShowers showers = sessions.take()->run(event.hits);
  seconds.find = watch.lap();

  const WritingFiles writing;
  const fs::path clusters = options_.out / (event.name + "-clusters.csv");
  const fs::path particles = options_.out / (event.name + "-particles.csv");
  write_showers(clusters, particles, event.hits.hit_id, showers, finder_.outputs.classes);
  done.written = {{"clusters", "-clusters.csv", clusters}, {"particles", "-particles.csv", particles}};
  seconds.write = watch.lap();

  if (options_.picture) {
    const fs::path picture = options_.out / (event.name + "-clusters.png");
    if (draw_showers(picture, event, {showers.cluster, showers.energy}))
      done.written.push_back({"picture", "-clusters.png", picture});
  }
  done.event = event.name;
  done.hits = event.hits.size();
  done.found = showers.size();
  for (const std::int32_t hits : showers.hits) {
    done.clustered += hits;
    done.largest = std::max(done.largest, hits);
  }
  for (const float energy : showers.energy) done.energy += double{energy};
  return done;
}

void ShowerReconstruction::print_json(const Done& done) {
  const Done::Seconds& s = done.seconds;
  nlohmann::ordered_json line = {
      {"event", done.event},
      {"hits", done.hits},
      {"clustered", done.clustered},
      {"showers", done.found},
      {"energy", done.energy},
      {"seconds", {{"read", s.read}, {"showers", s.find}, {"write", s.write}, {"sum", s.sum()}}}};
  add_written(line, done.written);
  print_line(line);
}

void ShowerReconstruction::print_table_head() {
  std::printf("%-20s %8s %9s %8s %8s | %7s %7s %7s %7s\n", "", "", "hits of", "", "energy", "read", "find", "write",
              "sum");
  std::printf("%-20s %8s %9s %8s %8s | %7s %7s %7s %7s\n", "event", "hits", "a shower", "showers", "GeV", "ms", "ms",
              "ms", "ms");
}

void ShowerReconstruction::print_table_row(const Done& done) {
  const Done::Seconds& s = done.seconds;
  std::printf("%-20s %8d %9d %8d %8.1f | %7.1f %7.1f %7.1f %7.1f\n", done.event.c_str(), done.hits, done.clustered,
              done.found, done.energy, 1e3 * s.read, 1e3 * s.find, 1e3 * s.write, 1e3 * s.sum());
  flush_output();
}

void ShowerReconstruction::warn(Progress& progress, const Done& done) {
  constexpr int kFewest = 1000;  // hits, of an event that says something
  if (done.hits <= kFewest || done.largest <= done.hits - done.hits / 10) return;
  progress.say("warning: " + done.event +
               ": nearly all hits are in one shower: positions are not in mm, energies are not calibrated, or the "
               "detector is not the model's");
}

void ShowerReconstruction::check_places() const {
  for (const fs::path& prefix : options_.prefixes) {
    const std::string name = prefix.filename().string();
    check_shower_clusters_place(options_.out / (name + "-clusters.csv"));
    check_shower_particles_place(options_.out / (name + "-particles.csv"));
    if (options_.picture) Plot::check_place(options_.out / (name + "-clusters.png"));
  }
}

void ShowerReconstruction::run() const {
  check_places();
  SessionPool<ShowerSession> sessions(sessions_at_a_time(device_), [this] { return ShowerSession(finder_, device_); });
  reconstruct_events(options_, *this, sessions);
}

}  // namespace

void reconstruct_showers(const Reconstruction& options, const ShowerFinder& finder, Device device) {
  ShowerReconstruction(options, finder, device).run();
}

}  // namespace starling::cli
