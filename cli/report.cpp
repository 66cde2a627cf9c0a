#include "report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace starling::cli {

std::string percent(const Ratio& ratio) {
  char text[64];
  if (ratio.total == 0) {
    std::snprintf(text, sizeof text, "%6s %18s", "–", "");
    return text;
  }
  std::snprintf(text, sizeof text, "%6.2f [%6.2f, %6.2f]", 100 * ratio.value(), 100 * ratio.low(), 100 * ratio.high());
  return text;
}

void add_missing(std::vector<std::string>& all, const std::vector<std::string>& more) {
  for (const std::string& one : more) {
    if (std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
  }
}

nlohmann::ordered_json to_json(const Ratio& ratio) {
  nlohmann::ordered_json result;
  if (ratio.total == 0) {
    result["value"] = nullptr;
  } else {
    result = {{"value", ratio.value()}, {"low", ratio.low()}, {"high", ratio.high()}};
  }
  result["passed"] = ratio.passed;
  result["total"] = ratio.total;
  return result;
}

std::int32_t hits_on_edges(const EdgeListView& edges) {
  std::vector<std::uint8_t> on_edge(static_cast<std::size_t>(edges.num_nodes), 0);
  for (const auto* const ends : {&edges.src, &edges.dst}) {
    for (const std::int32_t hit : *ends) on_edge[static_cast<std::size_t>(hit)] = 1;
  }
  return static_cast<std::int32_t>(std::count(on_edge.begin(), on_edge.end(), 1));
}

void warn_of_unused_hits(Progress& progress, const std::string& event, std::int32_t hits, std::int32_t on_edges) {
  constexpr int kFewest = 10;      // hits, of an event that says something
  constexpr int kLeastShare = 20;  // one in so many: simulated and real events have one in two or more
  if (hits < kFewest || on_edges >= hits / kLeastShare) return;
  progress.say("warning: " + event + ": " + std::to_string(on_edges) + " of " + std::to_string(hits) +
               " hits are on an edge: expected positions in mm, on the layers of the detector of the model");
}

}  // namespace starling::cli
