#include "evaluate_showers.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "ending.h"
#include "environment.h"
#include "event_loop.h"
#include "files/files.h"
#include "output.h"
#include "shower_report.h"
#include "starling/shower_metrics.h"

namespace starling::cli {
namespace fs = std::filesystem;

void evaluate_showers(const std::vector<fs::path>& prefixes, const EventOptions& events,
                      const ShowerEvaluation& options) {
  const fs::path metrics_file = options.out / "metrics.json";
  if (!options.out.empty()) {
    make_output_folder(options.out);
    files::check_place(metrics_file,
                       [](std::string_view head) { return head.starts_with("{\n  \"clusters_folder\": "); });
    check_shower_curves_places(options.out);
  }

  ShowerMetrics sum;
  sum.min_energy = options.min_energy;
  Progress progress;
  const std::vector<std::string> left_out = for_each_event(
      prefixes, events.keep_going, progress,
      [&](const fs::path& prefix) {
        const CalorimeterEvent event = events.read_calorimeter(prefix, true);
        ShowerMetrics judged;
        judged.min_energy = options.min_energy;
        judged.add(event, read_clusters(options.clusters_folder / event.name, event.hits));
        return judged;
      },
      [&](const ShowerMetrics& judged) {
        sum += judged;
        progress.show(static_cast<double>(sum.events) / static_cast<double>(prefixes.size()), "evaluating");
      });

  nlohmann::ordered_json json = {{"clusters_folder", options.clusters_folder.string()}};
  json.update(to_json(sum));
  if (events.keep_going) json["left_out"] = left_out;
  std::vector<fs::path> written;
  if (!options.out.empty()) {
    const WritingFiles writing;
    files::write(metrics_file, json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n',
                 files::Durable::no);
    written = write_shower_curves(options.out, sum);
    written.insert(written.begin(), metrics_file);
  }
  if (options.json) {
    print_line(json);
  } else {
    std::printf("%lld %s, %lld hits; clusters from %s\n", static_cast<long long>(sum.events),
                sum.events == 1 ? "event" : "events", static_cast<long long>(sum.hits),
                options.clusters_folder.c_str());
    print_showers(sum);
    for (std::size_t i = 0; i < written.size(); ++i) std::printf("%s%s\n", i == 0 ? "\n" : "", written[i].c_str());
  }
  fail_if_left_out(left_out, prefixes.size());
}

}  // namespace starling::cli
