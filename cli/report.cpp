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

void print_line(const nlohmann::ordered_json& json) {
  std::puts(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
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

nlohmann::ordered_json to_json(const TrackCuts& cuts) {
  return {{"builder", to_string(cuts.builder)}, {"score", cuts.score},       {"walk_min", cuts.walk_min},
          {"walk_add", cuts.walk_add},          {"min_hits", cuts.min_hits}, {"chain_layers", cuts.chain_layers}};
}

}  // namespace starling::cli
