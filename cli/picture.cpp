#include "picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "colours.h"
#include "plot.h"

namespace starling::cli {
namespace {

constexpr double kSlice = 0.4;  // rad: the azimuth of the magnified slice
constexpr std::uint32_t kTransparency = 0x40;

// The columns x, y, z, r, phi and colour of the picture's data.
class Rows {
 public:
  explicit Rows(const Hits& hits) : hits_(hits) {}

  double radius(std::int32_t hit) const { return std::hypot(double{hits_.x[hit]}, double{hits_.y[hit]}); }
  double phi(std::int32_t hit) const { return std::atan2(double{hits_.y[hit]}, double{hits_.x[hit]}); }

  void add(std::int32_t hit, std::uint32_t rgb) {
    std::array<char, 128> row{};
    std::snprintf(row.data(), row.size(), "%.1f %.1f %.1f %.1f %.4f %u\n", hits_.x[hit], hits_.y[hit], hits_.z[hit],
                  radius(hit), phi(hit), rgb);
    text_ += row.data();
  }
  void end_line() { text_ += '\n'; }
  const std::string& text() const { return text_; }

 private:
  const Hits& hits_;
  std::string text_;
};

}  // namespace

bool draw_event(const std::filesystem::path& file, const Event& event, const Tracks& tracks) {
  const Hits& hits = event.hits;
  Rows points(hits), lines(hits), near_slice(hits);
  double reach_r = 1, reach_z = 1;
  for (std::int32_t hit = 0; hit < hits.size(); ++hit) {
    points.add(hit, 0);
    reach_r = std::max(reach_r, points.radius(hit));
    reach_z = std::max(reach_z, std::abs(double{hits.z[hit]}));
  }
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    bool near = true;  // far from where phi jumps, so that no line crosses the slice by mistake
    for (std::int32_t i = tracks.row_splits[t]; i < tracks.row_splits[t + 1]; ++i) {
      lines.add(tracks.hits[i], colour(t, kTransparency));
      near = near && std::abs(lines.phi(tracks.hits[i])) < 1.5;
    }
    lines.end_line();
    if (!near) continue;
    for (std::int32_t i = tracks.row_splits[t]; i < tracks.row_splits[t + 1]; ++i) {
      near_slice.add(tracks.hits[i], colour(t, kTransparency));
    }
    near_slice.end_line();
  }
  reach_r *= 1.03;
  reach_z *= 1.03;

  Plot plot(1800, 940, "#10141c", "#c8ced8");
  plot << "$hits << EOD\n"
       << points.text() << "EOD\n$tracks << EOD\n"
       << lines.text() << "EOD\n$slice << EOD\n"
       << near_slice.text() << "EOD\n";
  std::array<char, 64> count{};
  std::snprintf(count.data(), count.size(), "   ·   %d hits   ·   %d tracks", hits.size(), tracks.size());
  plot << "unset key\nset tics scale 0.5\nset multiplot\nset label 1 " << Plot::quoted(event.name + count.data())
       << " at screen 0.5,0.972 center textcolor rgb '#ffffff' font 'DejaVu Sans,15'\n";
  const auto draw = [&](const char* columns, const std::string& block, double width) {
    plot << "plot $hits using " << columns << " with points pointtype 0 linecolor rgb '#66728a'";
    if (block.size() > 0) {
      plot << ", " << block << " using " << columns << ":6 with lines linewidth " << width << " linecolor rgb variable";
    }
    plot << '\n';
  };
  const auto place = [&](double left, double right, double bottom, double top) {
    plot << "set lmargin at screen " << left << "\nset rmargin at screen " << right << "\nset bmargin at screen "
         << bottom << "\nset tmargin at screen " << top << '\n';
  };
  const std::string all = tracks.size() > 0 ? "$tracks" : "", slice = near_slice.text().empty() ? "" : "$slice";
  place(0.042, 0.492, 0.075, 0.937);
  plot << "set xrange [" << -reach_r << ':' << reach_r << "]\nset yrange [" << -reach_r << ':' << reach_r << "]\n"
       << "set xlabel 'x [mm]'\nset ylabel 'y [mm]' offset 1\n";
  draw("1:2", all, 0.7);
  place(0.54, 0.988, 0.565, 0.937);
  plot << "unset label 1\nset xrange [" << -reach_z << ':' << reach_z << "]\nset yrange [0:" << reach_r << "]\n"
       << "set xlabel 'z [mm]' offset 0,0.4\nset ylabel 'r [mm]' offset 1\n";
  draw("3:4", all, 0.6);
  place(0.54, 0.988, 0.075, 0.47);
  plot << "set xrange [0:" << reach_r << "]\nset yrange [0:" << kSlice << "]\n"
       << "set xlabel 'r [mm]'\nset ylabel 'phi [rad], a slice' offset 1\n";
  draw("4:5", slice, 1.2);
  plot << "unset multiplot\n";
  return plot.save(file);
}

}  // namespace starling::cli
