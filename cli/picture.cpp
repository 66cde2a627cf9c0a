#include "picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "plot.h"

namespace starling::cli {
namespace {

// Colours of one lightness around the wheel; the golden ratio keeps consecutive tracks apart.
std::uint32_t colour(std::int32_t track) {
  const double hue = std::fmod(track * 0.618033988749895, 1.0) * 6;
  const auto channel = [&](double offset) {
    const double k = std::fmod(offset + hue, 6.0);
    const double value = 0.98 - 0.62 * std::clamp(std::min(k, 4 - k), 0.0, 1.0);
    return static_cast<std::uint32_t>(std::lround(255 * value));
  };
  return channel(5) << 16 | channel(3) << 8 | channel(1);
}

double radius(const Hits& hits, std::int32_t hit) { return std::hypot(double{hits.x[hit]}, double{hits.y[hit]}); }

}  // namespace

bool draw_event(const std::filesystem::path& file, const Event& event, const Tracks& tracks) {
  const Hits& hits = event.hits;
  std::string points, lines;
  std::array<char, 128> row{};
  const auto add = [&](std::string& block, std::int32_t hit, std::uint32_t rgb) {
    std::snprintf(row.data(), row.size(), "%.1f %.1f %.1f %.1f %u\n", hits.x[hit], hits.y[hit], hits.z[hit],
                  radius(hits, hit), rgb);
    block += row.data();
  };
  double reach_x = 1, reach_z = 1;
  for (std::int32_t hit = 0; hit < hits.size(); ++hit) {
    add(points, hit, 0);
    reach_x = std::max(reach_x, radius(hits, hit));
    reach_z = std::max(reach_z, std::abs(double{hits.z[hit]}));
  }
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    for (std::int32_t i = tracks.row_splits[t]; i < tracks.row_splits[t + 1]; ++i) {
      add(lines, tracks.hits[i], colour(t));
    }
    lines += '\n';
  }
  reach_x *= 1.03;
  reach_z *= 1.03;

  constexpr const char* kBackground = "#10141c";
  Plot plot(1800, 860, kBackground, "#c8ced8");
  plot << "$hits << EOD\n" << points << "EOD\n$tracks << EOD\n" << lines << "EOD\n";
  plot << "unset key\nset tics scale 0.5\nset multiplot\n";
  std::array<char, 160> count{};
  std::snprintf(count.data(), count.size(), "%s   ·   %d hits   ·   %d tracks", event.name.c_str(), hits.size(),
                tracks.size());
  plot << "set label 1 " << Plot::quoted(count.data())
       << " at screen 0.5,0.965 center textcolor rgb '#ffffff' font 'DejaVu Sans,15'\n";
  const auto draw = [&](const char* columns) {
    plot << "plot $hits using " << columns << " with points pointtype 7 pointsize 0.13 linecolor rgb '#4a5568'";
    if (tracks.size() > 0) {
      plot << ", $tracks using " << columns << ":5 with lines linewidth 1 linecolor rgb variable, $tracks using "
           << columns << ":5 with points pointtype 7 pointsize 0.25 linecolor rgb variable";
    }
    plot << '\n';
  };
  plot << "set lmargin at screen 0.045\nset rmargin at screen 0.435\nset bmargin at screen 0.09\n"
       << "set tmargin at screen 0.925\nset size ratio -1\n"
       << "set xrange [" << -reach_x << ':' << reach_x << "]\nset yrange [" << -reach_x << ':' << reach_x << "]\n"
       << "set xlabel 'x [mm]'\nset ylabel 'y [mm]' offset 1\n";
  draw("1:2");
  plot << "unset label 1\nset lmargin at screen 0.49\nset rmargin at screen 0.985\nset size noratio\n"
       << "set xrange [" << -reach_z << ':' << reach_z << "]\nset yrange [0:" << reach_x << "]\n"
       << "set xlabel 'z [mm]'\nset ylabel 'r [mm]' offset 1\n";
  draw("3:4");
  plot << "unset multiplot\n";
  return plot.save(file);
}

}  // namespace starling::cli
