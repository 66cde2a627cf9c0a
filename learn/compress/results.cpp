#include "learn/compress/results.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace starling::learn {

std::string to_json(const StageResult& result) {
  using Json = nlohmann::ordered_json;
  const auto or_null = [](double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); };
  const RunResult& run = result.run;
  Json line = {{"stage", result.name},   {"kept", run.kept},    {"parameters", run.parameters},
               {"nonzero", run.nonzero}, {"bytes", run.bytes},  {"macs", run.macs},
               {"bops", run.bops},       {"epochs", run.epochs}};
  for (const auto& [name, value] : run.metrics) line[name] = or_null(value);
  line["seconds"] = or_null(run.seconds);
  return line.dump();
}

std::string table(const std::vector<StageResult>& results) {
  std::string text =
      "               weights                          BOPs    edges:   target    total   masked  tracks:\n"
      "stage             kept    nonzero      bytes   per event  effic.   purity   purity   purity   effic.    fakes   "
      " loss  epochs  seconds\n";
  for (const auto& [name, run] : results) {
    char row[240];
    std::snprintf(row, sizeof row,
                  "%-12s %8.2f%% %10lld %10lld  %10.3g  %.4f  %7.4f  %7.4f  %7.4f  %7.4f  %7.4f  %.5f  %6d  %7.0f\n",
                  name.c_str(), 100 * run.kept, static_cast<long long>(run.nonzero), static_cast<long long>(run.bytes),
                  run.bops, run.metric("efficiency"), run.metric("target_purity"), run.metric("total_purity"),
                  run.metric("masked_purity"), run.metric("track_efficiency"), run.metric("track_fakes"),
                  run.metric("validation_loss"), run.epochs, run.seconds);
    text += row;
  }
  return text;
}

}  // namespace starling::learn
