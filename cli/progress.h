#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace starling::cli {

/// A bar on stderr, redrawn in place on a terminal. Any thread may call it.
class Progress {
 public:
  enum class Elsewhere { silent, lines };  ///< without a terminal: nothing, or a line every ten seconds
  explicit Progress(Elsewhere elsewhere = Elsewhere::silent);
  Progress(const Progress&) = delete;
  ~Progress();

  /// Whether it is time to draw again; asking costs next to nothing.
  bool due() const;
  /// Draws `fraction`, in [0, 1], and a text beside it. Nothing where it is not due.
  void show(double fraction, const std::string& text);
  /// A line that stays.
  void say(const std::string& text);

 private:
  using Clock = std::chrono::steady_clock;
  void clear();

  const bool terminal_;
  const Elsewhere elsewhere_;
  mutable std::mutex mutex_;
  Clock::time_point next_;
  bool drawn_ = false;
};

}  // namespace starling::cli
