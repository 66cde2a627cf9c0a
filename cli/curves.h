#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "starling/metrics.h"

namespace starling::cli {

/// Ratios against pt (9 logarithmic bins, 1–50 GeV), eta (16 bins, −4..4) and r–z, to be summed over events.
class Curves {
 public:
  /// A target particle or something of one: counted at its pt and eta, among all and among the prompt or the displaced.
  void add(std::string_view metric, const TruthTable& truth, std::int32_t row, bool passed);

  /// Something at a place of the detector, counted at its eta and r–z (mm).
  void add_at(std::string_view metric, float x, float y, float z, bool passed);

  /// The same at a pt alone: purities, at that of the particle which an edge's first hit is of.
  void add_at_pt(std::string_view metric, float pt, bool passed);

  Curves& operator+=(const Curves& other);

  /// Writes curves.csv, maps.csv and the pictures track_efficiency.png, edge_efficiency.png, edge_purity.png and
  /// edges_rz.png, those of which something was counted, and returns their paths.
  std::vector<std::filesystem::path> write(const std::filesystem::path& folder) const;

  /// Those of several networks, by name: writes curves.csv and, with `pictures`, edge_efficiency.png,
  /// edge_target_purity.png, edge_total_purity.png and track_efficiency.png, those of which something was counted.
  static void write_all(const std::vector<std::pair<std::string, Curves>>& networks,
                        const std::filesystem::path& folder, bool pictures);

  /// Makes sure that write() or write_all() replaces nothing but what they wrote themselves. Throws ErrorKind::usage.
  static void check_places(const std::filesystem::path& folder);

 private:
  enum class Axis { pt, eta };
  struct Series {
    std::string metric, particles, title, colour;
    const Curves* of;
  };
  void count(std::string_view metric, std::string_view particles, Axis axis, double value, bool passed);
  void count_map(std::string_view metric, double z, double r, bool passed);
  std::string rows(const std::string& before) const;
  std::string maps_csv() const;
  static const std::vector<Ratio>* find(const Series& series, Axis axis);
  static bool draw(const std::filesystem::path& file, const std::string& title, const std::vector<Series>& series);
  bool draw_maps(const std::filesystem::path& file, const std::vector<Series>& series) const;

  static const std::vector<double>& bounds(Axis axis);

  std::map<std::tuple<std::string, std::string, Axis>, std::vector<Ratio>, std::less<>> curves_;
  std::map<std::string, std::vector<Ratio>, std::less<>> maps_;  ///< [r bins][z bins]
};

}  // namespace starling::cli
