#include "progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "output.h"

namespace starling::cli {

Progress::Progress(Elsewhere elsewhere)
    : terminal_(isatty(STDERR_FILENO) == 1),
      elsewhere_(elsewhere),
      next_(Clock::now() + std::chrono::seconds(terminal_ ? 0 : 10)) {}

Progress::~Progress() { clear(); }

bool Progress::due() const {
  if (!terminal_ && elsewhere_ == Elsewhere::silent) return false;
  const std::lock_guard lock(mutex_);
  return Clock::now() >= next_;
}

void Progress::show(double fraction, const std::string& text) {
  if (!due()) return;
  const std::lock_guard lock(mutex_);
  next_ = Clock::now() + (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10));
  if (!terminal_) {
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  constexpr int kWidth = 24;
  fraction = std::clamp(fraction, 0.0, 1.0);
  std::string bar(kWidth, ' ');
  std::fill_n(bar.begin(), std::lround(kWidth * fraction), '=');
  std::fprintf(stderr, "\r\033[K[%s] %3.0f %%  %s", bar.c_str(), 100 * fraction, text.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Progress::say(const std::string& text) {
  const std::lock_guard lock(mutex_);
  clear();
  std::fprintf(stderr, "%s\n", one_line(text).c_str());
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace starling::cli
