#include "report.h"

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

}  // namespace starling::cli
