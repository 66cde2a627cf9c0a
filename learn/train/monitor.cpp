#include "learn/train/monitor.h"

#include <algorithm>
#include <cstdio>

namespace starling::learn {

std::string duration(double seconds) {
  const auto whole = static_cast<long>(std::min(std::max(seconds, 0.0), 1e9));
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%ld h %02ld min", whole / 3600, whole / 60 % 60);
  } else if (whole >= 60) {
    std::snprintf(text, sizeof text, "%ld min %02ld s", whole / 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld s", whole);
  }
  return text;
}

}  // namespace starling::learn
