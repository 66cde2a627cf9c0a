// What making one batch of a training of tracks costs, per stage, in processor time on one thread: how many threads
// (training.workers) feed how many steps per second.
//
//   build/release/bench/bench_train_batches [configuration] [model] [events]

#include <tbb/global_control.h>

#include <ctime>
#include <filesystem>

#include "learn/tasks/tracking/events.h"
#include "learn/tasks/tracking/sample.h"
#include "starling/config.h"
#include "starling/error.h"
#include "starling/hit_graph.h"
#include "starling/metrics.h"
#include "starling/track_finder.h"
#include "timing.h"

namespace {

using namespace starling;

/// Sums the processor time of a stage over the events.
class Stage {
 public:
  explicit Stage(const char* what) : what_(what) {}
  template <class Work>
  auto operator()(const Work& work) {
    const std::clock_t start = std::clock();
    auto result = work();
    ms_ += 1e3 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    return result;
  }
  void print(int events) const { std::printf("%-44s %8.1f ms per event\n", what_, ms_ / events); }
  double ms() const { return ms_; }

 private:
  const char* what_;
  double ms_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
  const std::filesystem::path source = STARLING_SOURCE_DIR;
  const std::filesystem::path configuration = argc > 1 ? argv[1] : source / "configs/tracking.toml";
  const TrackFinder finder = TrackFinder::load(argc > 2 ? argv[2] : source / "models/tracking.safetensors");
  const int count = argc > 3 ? std::max(1, std::atoi(argv[3])) : 10;
  const tbb::global_control one_thread(tbb::global_control::max_allowed_parallelism, 1);
  print_machine();
  Config config = Config::load(configuration);
  const auto settings = learn::tracking::read_tracking_settings(config);
  const learn::tracking::Events events(settings);

  Stage event("event (simulated, or read)"), graph("hit graph"), truth("truth of hits"), edges("truth of edges"),
      whole("hit graph and labels, as training makes them");
  double hits = 0, all_edges = 0, nodes = 0;
  for (int i = 0; i < count; ++i) {
    const Event made = event([&] { return events.training(static_cast<std::uint64_t>(i)); });
    const HitGraph built = graph([&] { return build_hit_graph(made.hits, finder.windows, finder.scales); });
    const TruthTable table = truth([&] { return truth_table(made, settings.target); });
    edges([&] { return edge_truth(built.edges, table); });
    const auto sample = whole([&] { return make_sample(made, finder.windows, finder.scales, settings); });
    hits += static_cast<double>(made.hits.x.size());
    all_edges += static_cast<double>(sample.src.size());
    nodes += sample.num_nodes;
  }
  std::printf("%d events: %.0f hits, %.0f edges between %.0f hits each\n", count, hits / count, all_edges / count,
              nodes / count);
  for (const Stage* stage : {&event, &graph, &truth, &edges, &whole}) stage->print(count);
  const double seconds = 1e-3 * (event.ms() + whole.ms()) / count;
  for (const int reuse : {1, 4, 16}) {
    std::printf("training.reuse = %2d: 15 threads feed %6.0f steps per second\n", reuse, 15 * reuse / seconds);
  }
} catch (const starling::Error& error) {
  std::fprintf(stderr, "bench_train_batches: %s\n", error.what());
  return error.exit_code();
}
