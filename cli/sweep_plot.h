#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace starling::cli {

/// Metrics of the runs of a sweep against what was swept and against costs, one panel per pair. Runs that differ in
/// nothing but what a panel's axis shows are joined by a line. All columns have one entry per run.
class SweepPlot {
 public:
  void add_key(const std::string& key, const std::vector<std::string>& values);
  void add_cost(const std::string& title, const std::vector<double>& values);    ///< NaN: not known
  void add_metric(const std::string& title, const std::vector<double>& values);  ///< NaN: not known

  /// False where gnuplot is not installed. Nothing where there is nothing to draw. Throws as Plot::save.
  bool save(const std::filesystem::path& file) const;

 private:
  struct Axis {
    std::string title;
    std::vector<double> values;
    std::vector<std::string> labels;  ///< of values 0, 1, 2, ..., where they are no numbers
    std::size_t key;                  ///< the key that the runs on a line differ in
    bool logarithmic = false;
    const char* tics = "norotate format '%g'";
  };
  std::vector<Axis> axes() const;
  std::vector<std::vector<std::size_t>> lines(const Axis& axis) const;
  std::string title_of(const std::vector<std::size_t>& line, const Axis& axis) const;

  struct Key {
    std::string name;
    std::vector<std::string> values;
  };
  struct Column {
    std::string title;
    std::vector<double> values;
  };
  std::vector<Key> keys_;
  std::vector<Column> costs_, metrics_;
};

}  // namespace starling::cli
