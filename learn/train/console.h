#pragma once

#include <chrono>
#include <string>

namespace starling::learn {

/// The progress line on stderr: redrawn in place on a terminal, else a line every ten seconds.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();

  /// Whether it is time for another line; asking costs next to nothing.
  bool due() const;
  /// `fraction` done, in [0, 1], is drawn as a bar on a terminal.
  void show(double fraction, const std::string& text);
  /// Says something that stays.
  void say(const std::string& text);

 private:
  void clear();

  bool terminal_, drawn_ = false;
  std::chrono::steady_clock::time_point last_;
};

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration(double seconds);

}  // namespace starling::learn
