#include "evaluate_showers.h"

#include <oneapi/tbb/enumerable_thread_specific.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "files/files.h"
#include "output.h"
#include "shower_report.h"
#include "starling/shower_finder.h"
#include "starling/shower_metrics.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

// Gives the clusters of an event: what the model finds, or what a file says.
class ClusterSource {
 public:
  explicit ClusterSource(const ShowerEvaluation& options) : options_(options) {
    if (options.model.empty()) return;
    finder_ = ShowerFinder::load(options.model);
    finder_.cuts = options.cuts.applied_to(finder_.cuts);
    sessions_.emplace([this] { return ShowerSession(finder_, options_.device); });
  }

  Clusters of(const CalorimeterEvent& event) {
    if (!sessions_) return read_clusters(options_.clusters_folder / event.name, event.hits);
    FoundShowers found = sessions_->local().run(event.hits);
    return {std::move(found.cluster), std::move(found.energy)};
  }

  // What metrics.json begins with.
  nlohmann::ordered_json to_json() const {
    if (!sessions_) return {{"clusters_folder", options_.clusters_folder.string()}};
    return {{"model", options_.model.string()},
            {"shower_cuts", nlohmann::ordered_json::parse(starling::to_json(finder_.cuts))}};
  }
  std::string name() const {
    return sessions_ ? "model " + options_.model.string() : "clusters from " + options_.clusters_folder.string();
  }

 private:
  const ShowerEvaluation& options_;
  ShowerFinder finder_;
  std::optional<oneapi::tbb::enumerable_thread_specific<ShowerSession>> sessions_;
};

void check_places(const fs::path& folder) {
  files::check_place(folder / "metrics.json", [](std::string_view head) {
    return head.starts_with("{\n  \"model\": ") || head.starts_with("{\n  \"clusters_folder\": ");
  });
  check_shower_curves_places(folder);
}

}  // namespace

void evaluate_showers(const std::vector<fs::path>& prefixes, const EventOptions& events,
                      const ShowerEvaluation& options) {
  if (events.map && events.map->truth.shower_id.empty()) {
    throw Error(ErrorKind::usage,
                prefixes.front().string() + ": has no truth, since " + events.map->name + " has no section [truth]");
  }
  if (!options.out.empty()) {
    make_output_folder(options.out);
    check_places(options.out);
  }

  ClusterSource clusters(options);
  ShowerMetrics sum;
  sum.min_energy = options.min_visible;
  Progress progress;
  const std::vector<std::string> left_out = for_each_event(
      prefixes, events.keep_going, progress,
      [&](const fs::path& prefix) {
        const CalorimeterEvent event = events.read_calorimeter(prefix, true);
        ShowerMetrics judged;
        judged.min_energy = options.min_visible;
        judged.add(event, clusters.of(event));
        return judged;
      },
      [&](const ShowerMetrics& judged) {
        sum += judged;
        progress.show(static_cast<double>(sum.events) / static_cast<double>(prefixes.size()), "evaluating");
      });

  nlohmann::ordered_json json = clusters.to_json();
  json.update(to_json(sum));
  if (events.keep_going) json["left_out"] = left_out;
  std::vector<fs::path> written;
  if (!options.out.empty()) {
    const WritingFiles writing;
    files::write(options.out / "metrics.json",
                 json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n', files::Durable::no);
    written = write_shower_curves(options.out, sum);
    written.insert(written.begin(), options.out / "metrics.json");
  }
  if (options.json) {
    print_line(json);
  } else {
    std::printf("%lld %s, %lld hits; %s\n", static_cast<long long>(sum.events), sum.events == 1 ? "event" : "events",
                static_cast<long long>(sum.hits), clusters.name().c_str());
    print_showers(sum);
    for (std::size_t i = 0; i < written.size(); ++i) std::printf("%s%s\n", i == 0 ? "\n" : "", written[i].c_str());
  }
  fail_if_left_out(left_out, prefixes.size());
}

}  // namespace starling::cli
