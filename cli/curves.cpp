#include "curves.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "colours.h"
#include "files/files.h"
#include "plot.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

std::vector<double> steps(int count, double first, double last) {
  std::vector<double> bounds;
  for (int i = 0; i <= count; ++i) bounds.push_back(first + (last - first) * i / count);
  return bounds;
}

std::vector<double> pt_bounds() {
  std::vector<double> bounds;
  for (int i = 0; i <= 9; ++i) bounds.push_back(std::pow(50.0, i / 9.0));
  return bounds;
}

const std::vector<double>& z_bounds() {
  static const std::vector<double> bounds = steps(62, -3100, 3100);
  return bounds;
}

const std::vector<double>& r_bounds() {
  static const std::vector<double> bounds = steps(22, 0, 1100);
  return bounds;
}

constexpr std::string_view kCurvesHeader =
    "metric,particles,axis,low,high,passed,total,value,interval_low,interval_high\n";
constexpr std::string_view kNetwork = "network,";  // the column in front where there are several
constexpr std::string_view kMapsHeader =
    "metric,z_low,z_high,r_low,r_high,passed,total,value,interval_low,interval_high\n";

constexpr std::int64_t kDrawn = 10;  // bins with fewer entries are in the tables but not in the pictures

// −1 outside the bounds.
int bin(const std::vector<double>& bounds, double value) {
  if (!(value >= bounds.front() && value < bounds.back())) return -1;
  return static_cast<int>(std::upper_bound(bounds.begin(), bounds.end(), value) - bounds.begin()) - 1;
}

template <class... Values>
void append(std::string& text, const char* format, Values... values) {
  char line[256];
  std::snprintf(line, sizeof line, format, values...);
  text += line;
}

void append_ratio(std::string& text, const Ratio& ratio) {
  append(text, ",%lld,%lld,", static_cast<long long>(ratio.passed), static_cast<long long>(ratio.total));
  if (ratio.total > 0) append(text, "%.6f", ratio.value());
  append(text, ",%.6f,%.6f\n", ratio.low(), ratio.high());
}

}  // namespace

const std::vector<double>& Curves::bounds(Axis axis) {
  static const std::vector<double> pt = pt_bounds(), eta = steps(16, -4, 4);
  return axis == Axis::pt ? pt : eta;
}

void Curves::count(std::string_view metric, std::string_view particles, Axis axis, double value, bool passed) {
  const int i = bin(bounds(axis), value);
  if (i < 0) return;
  auto& curve = curves_[{std::string(metric), std::string(particles), axis}];
  curve.resize(bounds(axis).size() - 1);
  curve[i] += Ratio{passed, 1};
}

void Curves::count_map(std::string_view metric, double z, double r, bool passed) {
  const int i = bin(r_bounds(), r), j = bin(z_bounds(), z);
  if (i < 0 || j < 0) return;
  auto& map = maps_[std::string(metric)];
  map.resize((r_bounds().size() - 1) * (z_bounds().size() - 1));
  map[i * (z_bounds().size() - 1) + j] += Ratio{passed, 1};
}

void Curves::add(std::string_view metric, const TruthTable& truth, std::int32_t row, bool passed) {
  const float radius = truth.radius[row];
  for (const std::string_view particles : {"all", radius < kPromptRadius ? "prompt" : "displaced"}) {
    if (particles == "displaced" && std::isnan(radius)) continue;
    count(metric, particles, Axis::pt, truth.pt[row], passed);
    count(metric, particles, Axis::eta, truth.eta[row], passed);
  }
}

void Curves::add_at(std::string_view metric, float x, float y, float z, bool passed) {
  const double r = std::hypot(double{x}, double{y});
  count(metric, "hits", Axis::eta, std::asinh(z / r), passed);
  count_map(metric, z, r, passed);
}

void Curves::add_at_pt(std::string_view metric, float pt, bool passed) { count(metric, "hits", Axis::pt, pt, passed); }

Curves& Curves::operator+=(const Curves& other) {
  const auto sum = [](auto& mine, const auto& others) {
    for (const auto& [key, ratios] : others) {
      auto& sums = mine[key];
      sums.resize(ratios.size());
      for (std::size_t i = 0; i < ratios.size(); ++i) sums[i] += ratios[i];
    }
  };
  sum(curves_, other.curves_);
  sum(maps_, other.maps_);
  return *this;
}

// Of curves.csv, each with `before` in front.
std::string Curves::rows(const std::string& before) const {
  std::string text;
  for (const auto& [key, ratios] : curves_) {
    const auto& [metric, particles, axis] = key;
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      append(text, "%s%s,%s,%s,%.4f,%.4f", before.c_str(), metric.c_str(), particles.c_str(),
             axis == Axis::pt ? "pt" : "eta", bounds(axis)[i], bounds(axis)[i + 1]);
      append_ratio(text, ratios[i]);
    }
  }
  return text;
}

std::string Curves::maps_csv() const {
  std::string text(kMapsHeader);
  const std::size_t columns = z_bounds().size() - 1;
  for (const auto& [metric, ratios] : maps_) {
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      if (ratios[i].total == 0) continue;
      const std::size_t r = i / columns, z = i % columns;
      append(text, "%s,%g,%g,%g,%g", metric.c_str(), z_bounds()[z], z_bounds()[z + 1], r_bounds()[r],
             r_bounds()[r + 1]);
      append_ratio(text, ratios[i]);
    }
  }
  return text;
}

const std::vector<Ratio>* Curves::find(const Series& series, Axis axis) {
  const auto found = series.of->curves_.find(std::tuple(series.metric, series.particles, axis));
  return found == series.of->curves_.end() ? nullptr : &found->second;
}

bool Curves::draw(const fs::path& file, const std::string& title, const std::vector<Series>& series) {
  std::vector<Axis> axes;
  for (const Axis axis : {Axis::pt, Axis::eta}) {
    if (std::any_of(series.begin(), series.end(), [&](const Series& s) { return find(s, axis) != nullptr; })) {
      axes.push_back(axis);
    }
  }
  if (axes.empty()) return false;
  Plot plot(static_cast<int>(700 * axes.size()), 520);
  double lowest = 1;
  std::vector<std::string> commands;
  for (const Axis axis : axes) {
    std::string command;
    for (std::size_t s = 0; s < series.size(); ++s) {
      const std::vector<Ratio>* const found = find(series[s], axis);
      if (found == nullptr) continue;
      const std::vector<Ratio>& ratios = *found;
      const std::string block = (axis == Axis::pt ? "$pt" : "$eta") + std::to_string(s);
      std::string rows;
      for (std::size_t i = 0; i < ratios.size(); ++i) {
        if (ratios[i].total < kDrawn) continue;
        const double low = bounds(axis)[i], high = bounds(axis)[i + 1];
        // The series stand beside each other in a bin.
        const double part = static_cast<double>(s + 1) / static_cast<double>(series.size() + 1);
        append(rows, "%g %g %g %g %g %g\n",
               axis == Axis::pt ? low * std::pow(high / low, part) : low + (high - low) * part, ratios[i].value(), low,
               high, ratios[i].low(), ratios[i].high());
        lowest = std::min(lowest, ratios[i].value());
      }
      if (rows.empty()) continue;
      plot << block << " << EOD\n" << rows << "EOD\n";
      command += (command.empty() ? "plot " : ", ") + block +
                 " using 1:2:3:4:5:6 with xyerrorbars pointtype 7 pointsize 0.7 " + "linewidth 1.6 linecolor rgb '" +
                 series[s].colour + "' title " + Plot::quoted(series[s].title);
    }
    commands.push_back(command);
  }
  const double bottom = std::max(0.0, std::floor(lowest * 20 - 1) / 20);
  plot << "set multiplot layout 1," << axes.size() << " title " << Plot::quoted(title) << " font 'DejaVu Sans,13'\n"
       << "set grid linetype 1 linecolor rgb '#e4e4e4' linewidth 0.8\nset key above horizontal samplen 1.5\n"
       << "set yrange [" << bottom << ':' << 1 + 0.02 * (1 - bottom) << "]\nset bars 0\n";
  for (std::size_t a = 0; a < axes.size(); ++a) {
    if (commands[a].empty()) continue;
    if (axes[a] == Axis::pt) {
      plot << "set logscale x\nset xtics (1,2,5,10,20,50)\nset xrange [1:50]\nset xlabel 'pt [GeV]'\n";
    } else {
      plot << "unset logscale x\nset xtics autofreq\nset xrange [-4:4]\nset xlabel 'eta'\n";
    }
    plot << commands[a] << '\n';
  }
  plot << "unset multiplot\n";
  return plot.save(file);
}

bool Curves::draw_maps(const fs::path& file, const std::vector<Series>& series) const {
  std::vector<Series> there;
  for (const Series& s : series) {
    if (maps_.contains(s.metric)) there.push_back(s);
  }
  if (there.empty()) return false;
  Plot plot(1300, static_cast<int>(430 * there.size()));
  const std::size_t columns = z_bounds().size() - 1;
  double lowest = 0.95;
  for (std::size_t s = 0; s < there.size(); ++s) {
    std::string rows;
    const auto& ratios = maps_.at(there[s].metric);
    for (std::size_t i = 0; i < ratios.size(); ++i) {
      const std::size_t r = i / columns, z = i % columns;
      if (ratios[i].total < kDrawn) continue;
      lowest = std::min(lowest, ratios[i].value());
      append(rows, "%g %g %g %g %g\n", (z_bounds()[z] + z_bounds()[z + 1]) / 2, (r_bounds()[r] + r_bounds()[r + 1]) / 2,
             (z_bounds()[z + 1] - z_bounds()[z]) / 2, (r_bounds()[r + 1] - r_bounds()[r]) / 2, ratios[i].value());
    }
    plot << "$map" << s << " << EOD\n" << rows << "EOD\n";
  }
  plot << "set multiplot layout " << there.size() << ",1\nunset key\nset style fill solid noborder\n"
       << "set xrange [-3100:3100]\nset yrange [0:1100]\nset xlabel 'z [mm]'\nset ylabel 'r [mm]'\n"
       << "set palette defined (0 '#7f1d1d', 0.25 '#dc2626', 0.5 '#f59e0b', 0.75 '#84cc16', 1 '#166534')\n"
       << "set cbrange [" << std::floor(lowest * 20) / 20 << ":1]\n";
  for (std::size_t s = 0; s < there.size(); ++s) {
    plot << "set title " << Plot::quoted(there[s].title) << "\nplot $map" << s
         << " using 1:2:3:4:5 with boxxyerror linecolor palette\n";
  }
  plot << "unset multiplot\n";
  return plot.save(file);
}

void Curves::check_places(const fs::path& folder) {
  files::check_place(folder / "curves.csv", [](std::string_view head) {
    if (head.starts_with(kNetwork)) head.remove_prefix(kNetwork.size());
    return head.starts_with(kCurvesHeader);
  });
  files::check_place(folder / "maps.csv", [](std::string_view head) { return head.starts_with(kMapsHeader); });
  for (const char* const name : {"track_efficiency.png", "edge_efficiency.png", "edge_purity.png", "edges_rz.png",
                                 "edge_target_purity.png", "edge_total_purity.png"}) {
    Plot::check_place(folder / name);
  }
}

void Curves::write_all(const std::vector<std::pair<std::string, Curves>>& networks, const fs::path& folder,
                       bool pictures) {
  std::string text(kNetwork);
  text += kCurvesHeader;
  for (const auto& [name, curves] : networks) text += curves.rows(name + ',');
  files::write(folder / "curves.csv", text, files::Durable::no);
  const auto picture = [&](const std::string& metric, const char* particles, const std::string& title) {
    std::vector<Series> series;
    for (const auto& [name, curves] : networks) {
      char rgb[16];
      std::snprintf(rgb, sizeof rgb, "#%06x", colour(static_cast<std::int32_t>(series.size()), 0) & 0xffffff);
      series.push_back({metric, particles, name, rgb, &curves});
    }
    draw(folder / (metric + ".png"), title + ", with 68 % intervals", series);
  };
  if (!pictures) return;
  picture("edge_efficiency", "all", "Edge efficiency");
  picture("edge_target_purity", "hits", "Target purity of edges");
  picture("edge_total_purity", "hits", "Total purity of edges");
  picture("track_efficiency", "all", "Track efficiency");
}

std::vector<fs::path> Curves::write(const fs::path& folder) const {
  std::vector<fs::path> written;
  const auto table = [&](const char* name, const std::string& text) {
    files::write(folder / name, text, files::Durable::no);
    written.push_back(folder / name);
  };
  if (!curves_.empty()) table("curves.csv", std::string(kCurvesHeader) + rows(""));
  if (!maps_.empty()) table("maps.csv", maps_csv());
  const auto picture = [&](const char* name, const std::string& title, const std::vector<Series>& series) {
    if (draw(folder / name, title, series)) written.push_back(folder / name);
  };
  const char *blue = "#1f5fa8", *green = "#2e8b57", *orange = "#d9730d", *grey = "#8a8f98";
  picture("track_efficiency.png", "Track efficiency, with 68 % intervals",
          {{"track_efficiency_bare", "all", "without the network", grey, this},
           {"track_efficiency", "displaced", "displaced", orange, this},
           {"track_efficiency", "prompt", "prompt", green, this},
           {"track_efficiency", "all", "all", blue, this}});
  picture("edge_efficiency.png",
          "Efficiency of the graph (true segments) and of the network (target edges), with 68 % intervals",
          {{"graph_efficiency", "all", "graph", grey, this},
           {"edge_efficiency", "displaced", "network, displaced", orange, this},
           {"edge_efficiency", "prompt", "network, prompt", green, this},
           {"edge_efficiency", "all", "network, all", blue, this}});
  picture("edge_purity.png", "Edge purity, with 68 % intervals",
          {{"graph_purity", "hits", "graph", grey, this},
           {"edge_target_purity", "hits", "target purity", orange, this},
           {"edge_total_purity", "hits", "total purity", blue, this}});
  if (draw_maps(folder / "edges_rz.png", {{"edge_efficiency", "", "Edge efficiency by the first hit", "", this},
                                          {"edge_total_purity", "", "Total purity by the first hit", "", this}})) {
    written.push_back(folder / "edges_rz.png");
  }
  return written;
}

}  // namespace starling::cli
