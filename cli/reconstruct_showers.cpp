// Hits of a calorimeter in, showers out. reconstruct_event is the way of one event; the rest is about many.
#include <oneapi/tbb/enumerable_thread_specific.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "output.h"
#include "picture.h"
#include "plot.h"
#include "reconstruct.h"
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

 private:
  struct Done {
    std::string event;
    std::int32_t hits = 0, clustered = 0, showers = 0, largest = 0;  ///< largest: hits of the largest shower
    double energy = 0;                                               ///< GeV
    struct Seconds {
      double read = 0, showers = 0, write = 0;
      double sum() const { return read + showers + write; }
    } seconds;
    fs::path clusters_file, particles_file, picture;
  };

  Done reconstruct_event(const fs::path& prefix, ShowerSession& session) const;
  void check_places() const;
  static void print_json(const Done& done);
  static void warn_of_one_shower(Progress& progress, const Done& done);
  static void print_table_head();
  static void print_table_row(const Done& done);
  void print_sum(std::size_t events, std::int64_t hits, std::int64_t showers, double seconds, const Done& last) const;

  const Reconstruction& options_;
  const ShowerFinder& finder_;
  Device device_;
};

ShowerReconstruction::Done ShowerReconstruction::reconstruct_event(const fs::path& prefix,
                                                                   ShowerSession& session) const {
  Done done;
  Done::Seconds& seconds = done.seconds;
  Stopwatch watch;

  const CalorimeterEvent event = options_.events.read_calorimeter(prefix, options_.picture);
  seconds.read = watch.lap();

  const FoundShowers showers = session.run(event.hits);
  seconds.showers = watch.lap();

  const WritingFiles writing;
  done.clusters_file = options_.out / (event.name + "-clusters.csv");
  done.particles_file = options_.out / (event.name + "-particles.csv");
  write_showers(done.clusters_file, done.particles_file, event.hits.hit_id, showers, finder_.outputs.classes);
  seconds.write = watch.lap();

  if (options_.picture) {
    const fs::path picture = options_.out / (event.name + "-clusters.png");
    if (draw_showers(picture, event, {showers.cluster, showers.energy})) done.picture = picture;
  }
  done.event = event.name;
  done.hits = event.hits.size();
  done.showers = showers.size();
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
      {"showers", done.showers},
      {"energy", done.energy},
      {"seconds", {{"read", s.read}, {"showers", s.showers}, {"write", s.write}, {"sum", s.sum()}}},
      {"clusters_file", done.clusters_file.string()},
      {"particles_file", done.particles_file.string()}};
  if (!done.picture.empty()) line["picture"] = done.picture.string();
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
              done.showers, done.energy, 1e3 * s.read, 1e3 * s.showers, 1e3 * s.write, 1e3 * s.sum());
  flush_output();
}

void ShowerReconstruction::print_sum(std::size_t events, std::int64_t hits, std::int64_t showers, double seconds,
                                     const Done& last) const {
  std::printf("\n%zu %s, %lld hits, %lld %s in %.2f s; at most %.2f GB of memory\n", events,
              events == 1 ? "event" : "events", static_cast<long long>(hits), static_cast<long long>(showers),
              showers == 1 ? "shower" : "showers", seconds, static_cast<double>(peak_memory()) / 1e9);
  const auto name = [&](const char* what, const fs::path& file, const char* end) {
    if (file.empty()) return;
    std::printf("%-11s%s\n", what,
                events == 1 ? file.c_str() : (options_.out / (std::string("<event>") + end)).c_str());
  };
  name("clusters:", last.clusters_file, "-clusters.csv");
  name("particles:", last.particles_file, "-particles.csv");
  name("picture:", last.picture, "-clusters.png");
}

void ShowerReconstruction::warn_of_one_shower(Progress& progress, const Done& done) {
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
  oneapi::tbb::enumerable_thread_specific<ShowerSession> sessions(finder_, device_);
  std::int64_t hits = 0, showers = 0;
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
        warn_of_one_shower(progress, done);
        ++events;
        hits += done.hits;
        showers += done.showers;
        last = done;
      });
  if (!options_.json && events > 0) print_sum(events, hits, showers, watch.lap(), last);
  fail_if_left_out(left_out, options_.prefixes.size());
}

}  // namespace

void reconstruct_showers(const Reconstruction& options, const ShowerFinder& finder, Device device) {
  ShowerReconstruction(options, finder, device).run();
}

}  // namespace starling::cli
