#pragma once

#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace starling::cli {

/// A picture made by gnuplot: a script, data included, that draws on a PNG of the given size. File names never enter
/// the script; texts that do go through quoted().
class Plot {
 public:
  Plot(int width, int height, std::string_view background = "#ffffff", std::string_view foreground = "#222222");

  /// Adds to the script.
  template <class T>
  Plot& operator<<(const T& value) {
    script_ << value;
    return *this;
  }

  /// A gnuplot string of this very text: nothing in it is expanded.
  static std::string quoted(std::string_view text);
  /// The same for labels of tics, which are formats.
  static std::string tic(std::string_view text);

  /// Draws `file`, written beside its place and renamed. False, with a line on stderr, where gnuplot is not installed.
  /// Throws ErrorKind::internal with gnuplot's message where it fails, ErrorKind::usage where the file cannot be
  /// written.
  bool save(const std::filesystem::path& file) const;

  /// Makes sure that a picture may be written here: nothing is there, or a picture that save() made, which says so in a
  /// text chunk. Throws ErrorKind::usage.
  static void check_place(const std::filesystem::path& file);

 private:
  std::ostringstream script_;
};

}  // namespace starling::cli
