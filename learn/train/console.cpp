#include "learn/train/console.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace starling::learn {

using Clock = std::chrono::steady_clock;

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0), last_(Clock::now()) {}

ProgressLine::~ProgressLine() { clear(); }

bool ProgressLine::due() const {
  return Clock::now() - last_ >= (terminal_ ? std::chrono::milliseconds(500) : std::chrono::seconds(10));
}

void ProgressLine::show(double fraction, const std::string& text) {
  last_ = Clock::now();
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  constexpr int kWidth = 24;
  const int full = static_cast<int>(std::lround(kWidth * std::clamp(fraction, 0.0, 1.0)));
  const std::string bar =
      std::string(static_cast<std::size_t>(full), '#') + std::string(static_cast<std::size_t>(kWidth - full), '.');
  std::fprintf(stderr, "\r\033[K[%s] %s", bar.c_str(), text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::say(const std::string& text) {
  clear();
  std::fprintf(stderr, "%s\n", text.c_str());
}

void ProgressLine::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

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
