#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>

#include "colours.h"
#include "picture.h"
#include "plot.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

constexpr std::uint32_t kFaint = 0xa066728a;  // hits of no cluster or shower
constexpr std::uint32_t kOfHits = 0x30;       // transparency
constexpr double kSmallest = 0.15, kLargest = 1.6;

// What is drawn of the hits whichever way they are coloured.
struct Drawn {
  const CalorimeterHits& hits;
  std::vector<std::int32_t> order;  // large ones last: on top
  double typical = 1;               // GeV: few hits have more
  double scale = 1;                 // of sizes: many hits are drawn smaller
  double reach = 1, low_z = 0, high_z = 1, high_r = 1;

  explicit Drawn(const CalorimeterHits& all) : hits(all), order(all.hit_id.size()) {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int32_t a, std::int32_t b) { return hits.energy[a] < hits.energy[b]; });
    if (order.empty()) return;
    typical = std::max(1e-12, double{hits.energy[order[order.size() * 98 / 100]]});
    low_z = high_z = hits.z[0];
    constexpr double kFew = 20000;
    scale = std::min(1.0, std::pow(kFew / static_cast<double>(order.size()), 0.25));
    for (const std::int32_t hit : order) {
      reach = std::max({reach, std::abs(double{hits.x[hit]}), std::abs(double{hits.y[hit]})});
      low_z = std::min(low_z, double{hits.z[hit]});
      high_z = std::max(high_z, double{hits.z[hit]});
      high_r = std::max(high_r, radius(hit));
    }
    const double margin = std::max(1.0, 0.03 * (high_z - low_z));
    low_z -= margin, high_z += margin, reach *= 1.03, high_r *= 1.03;
  }

  double radius(std::int32_t hit) const { return std::hypot(double{hits.x[hit]}, double{hits.y[hit]}); }

  // Rows "x y z r size colour": `number` gives the colour of each hit, −1 = faint.
  template <class Number>
  std::string rows(const Number& number) const {
    std::string text;
    for (const bool faint : {true, false}) {
      for (const std::int32_t hit : order) {
        const std::int32_t n = number(hit);
        if ((n < 0) != faint) continue;
        const double size = scale * std::cbrt(double{hits.energy[hit]} / typical);
        std::array<char, 160> row{};
        std::snprintf(row.data(), row.size(), "%.1f %.1f %.1f %.1f %.2f %u\n", hits.x[hit], hits.y[hit], hits.z[hit],
                      radius(hit), std::clamp(size, kSmallest, faint ? 0.4 : kLargest),
                      faint ? kFaint : colour(n, kOfHits));
        text += row.data();
      }
    }
    return text;
  }
};

// Per shower the number of its colour: that of the cluster that finds it, else one that no cluster has.
std::vector<std::int32_t> colours_of_showers(const CalorimeterEvent& event, const Clusters& clusters) {
  const ShowerMatches matches = match_showers(event, clusters);
  auto next = static_cast<std::int32_t>(matches.cluster_energy.size());
  std::vector<std::int32_t> numbers;
  for (std::size_t s = 0; s < matches.iou.size(); ++s) {
    numbers.push_back(matches.iou[s] > kFoundIou ? matches.cluster[s] : next++);
  }
  return numbers;
}

std::string counted(std::size_t count, const char* one, const char* many) {
  return std::to_string(count) + ' ' + (count == 1 ? one : many);
}

}  // namespace

bool draw_showers(const std::filesystem::path& file, const CalorimeterEvent& event, const Clusters& clusters) {
  if (clusters.of_hit.size() != event.hits.hit_id.size()) {
    throw Error(ErrorKind::usage, file.string() + ": clusters of " + std::to_string(clusters.of_hit.size()) +
                                      " hits, expected " + std::to_string(event.hits.hit_id.size()));
  }
  const Drawn drawn(event.hits);
  const bool with_truth = event.truth && event.showers;
  const std::int32_t most =
      clusters.of_hit.empty() ? -1 : *std::max_element(clusters.of_hit.begin(), clusters.of_hit.end());
  Plot plot(with_truth ? 1800 : 930, 1420, "#10141c", "#c8ced8");
  plot << "$clusters << EOD\n" << drawn.rows([&](std::int32_t hit) { return clusters.of_hit[hit]; }) << "EOD\n";
  if (with_truth) {
    const std::vector<std::int32_t> numbers = colours_of_showers(event, clusters), of = dominant_shower(*event.truth);
    plot << "$truth << EOD\n"
         << drawn.rows([&](std::int32_t hit) { return of[hit] < 0 ? -1 : numbers[of[hit]]; }) << "EOD\n";
  }
  const auto text = [&](int number, const std::string& what, double x) {
    plot << "set label " << number << ' ' << Plot::quoted(what) << " at screen " << x
         << ",0.98 center textcolor rgb '#ffffff' font 'DejaVu Sans,15'\n";
  };
  plot << "unset key\nset tics scale 0.5\n";
  const std::string dot = "   ·   ";
  text(1,
       event.name + dot + counted(event.hits.hit_id.size(), "hit", "hits") + dot +
           counted(static_cast<std::size_t>(most + 1), "cluster", "clusters"),
       with_truth ? 0.265 : 0.53);
  if (with_truth) text(2, "truth" + dot + counted(event.showers->shower_id.size(), "shower", "showers"), 0.765);
  plot << "set multiplot\n";
  // Hits of no event: a plot of no points has no range.
  const auto draw = [&](const char* block, const char* columns) {
    if (event.hits.hit_id.empty()) {
      plot << "plot NaN\n";
    } else {
      plot << "plot " << block << " using " << columns
           << ":5:6 with points pointtype 7 pointsize variable linecolor rgb variable\n";
    }
    plot << "unset label 1\nunset label 2\n";
  };
  const auto column = [&](const char* block, double left, double right) {
    plot << "set lmargin at screen " << left << "\nset rmargin at screen " << right
         << "\nset bmargin at screen 0.4\nset tmargin at screen 0.965\n"
         << "set xrange [" << -drawn.reach << ':' << drawn.reach << "]\nset yrange [" << -drawn.reach << ':'
         << drawn.reach << "]\nset xlabel 'x [mm]' offset 0,0.4\nset ylabel 'y [mm]' offset 1\n";
    draw(block, "1:2");
    plot << "set bmargin at screen 0.045\nset tmargin at screen 0.345\n"
         << "set xrange [" << drawn.low_z << ':' << drawn.high_z << "]\nset yrange [0:" << drawn.high_r
         << "]\nset xlabel 'z [mm]' offset 0,0.4\nset ylabel 'r [mm]' offset 1\n";
    draw(block, "3:4");
  };
  column("$clusters", with_truth ? 0.042 : 0.085, with_truth ? 0.488 : 0.98);
  if (with_truth) column("$truth", 0.542, 0.988);
  plot << "unset multiplot\n";
  return plot.save(file);
}

}  // namespace starling::cli
