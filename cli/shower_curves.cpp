// Curves of clusters against energy, eta and density, as tables and pictures.
#include <cmath>
#include <cstdio>

#include "files/files.h"
#include "output.h"
#include "plot.h"
#include "shower_report.h"

namespace starling::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kRatiosHeader =
    "metric,showers,axis,low,high,passed,total,value,interval_low,interval_high\n";
constexpr std::string_view kResponseHeader =
    "ratio,showers,axis,low,high,count,median,median_error,mean,mean_error,resolution,resolution_error\n";

constexpr std::int64_t kFewestDrawn = 5;  // bins with fewer entries are in the tables but not in the pictures

const char* label_of_axis(ShowerAxis axis) {
  switch (axis) {
    case ShowerAxis::energy:
      return "visible energy [GeV]";
    case ShowerAxis::abs_eta:
      return "|eta|";
    case ShowerAxis::own_share:
      return "own share of the energy within 100 mm of the axis";
  }
  return "";
}

// One bin of an axis.
struct AxisBin {
  ShowerAxis axis;
  int bin;
  double low, high;
  double middle() const { return axis == ShowerAxis::energy ? std::sqrt(low * high) : (low + high) / 2; }
};

std::vector<AxisBin> bins_of(ShowerAxis axis) {
  const std::span<const double> bounds = shower_bins(axis);
  std::vector<AxisBin> bins;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    bins.push_back({axis, static_cast<int>(i), bounds[i], bounds[i + 1]});
  return bins;
}

ShowerSelection in_bin(ShowerSelection selection, const AxisBin& bin) {
  selection.axis = bin.axis;
  selection.bin = bin.bin;
  return selection;
}

template <class... Values>
void append_line(std::string& text, const char* format, Values... values) {
  char line[256];
  std::snprintf(line, sizeof line, format, values...);
  text += line;
}

// A number, or nothing where there is none.
void append_number(std::string& text, double value) {
  if (std::isnan(value)) {
    text += ',';
  } else {
    append_line(text, ",%.6g", value);
  }
}

void append_ratio_row(std::string& text, const char* metric, const std::string& showers, const AxisBin& bin,
                      const Ratio& ratio) {
  append_line(text, "%s,%s,%s,%g,%g,%lld,%lld", metric, showers.c_str(), to_string(bin.axis).c_str(), bin.low, bin.high,
              static_cast<long long>(ratio.passed), static_cast<long long>(ratio.total));
  append_number(text, ratio.value());
  if (ratio.total == 0) {
    text += ",,\n";
  } else {
    append_line(text, ",%.6f,%.6f\n", ratio.low(), ratio.high());
  }
}

std::string ratios_csv(const ShowerMetrics& metrics, const std::vector<ShowerGroup>& groups) {
  std::string text(kRatiosHeader);
  for (const ShowerAxis axis : kShowerAxes) {
    for (const AxisBin& bin : bins_of(axis)) {
      for (const ShowerGroup& group : groups) {
        append_ratio_row(text, "efficiency", group.name, bin, metrics.efficiency(in_bin(group.selection, bin)));
      }
      if (axis != ShowerAxis::own_share) {
        append_ratio_row(text, "fakes", "clusters", bin, metrics.fakes(axis, bin.bin));
      }
    }
  }
  return text;
}

std::string response_csv(const ShowerMetrics& metrics, const std::vector<ShowerGroup>& groups) {
  std::string text(kResponseHeader);
  for (const ShowerRatio ratio : kShowerRatios) {
    for (const ShowerGroup& group : groups) {
      for (const ShowerAxis axis : kShowerAxes) {
        for (const AxisBin& bin : bins_of(axis)) {
          const Spread spread = metrics.response(ratio, in_bin(group.selection, bin));
          if (spread.count == 0) continue;
          append_line(text, "%s,%s,%s,%g,%g,%lld", to_string(ratio).c_str(), group.name.c_str(),
                      to_string(axis).c_str(), bin.low, bin.high, static_cast<long long>(spread.count));
          for (const Estimate& estimate : {spread.median, spread.mean, spread.resolution}) {
            append_number(text, estimate.value);
            append_number(text, estimate.error);
          }
          text += '\n';
        }
      }
    }
  }
  return text;
}

const char* colour_of(const std::string& group) {
  if (group == "electromagnetic") return "#d9730d";
  if (group == "charged_hadron") return "#2e8b57";
  if (group == "neutral_hadron") return "#8e44ad";
  if (group == "muon") return "#b8860b";
  if (group == "hard") return "#c0392b";
  return "#1f5fa8";
}

// The panels of a picture, side by side: each has data blocks and one plot command for them.
class Panels {
 public:
  explicit Panels(Plot& plot) : plot_(plot) {}

  // A series of "x y x_low x_high y_low y_high" rows.
  void add(const std::string& rows, const std::string& colour, const std::string& title, bool open) {
    if (rows.empty()) return;
    const std::string block = "$series" + std::to_string(blocks_++);
    plot_ << block << " << EOD\n" << rows << "EOD\n";
    command_ += (command_.empty() ? "plot " : ", ") + block + " using 1:2:3:4:5:6 with xyerrorbars pointtype " +
                (open ? "6" : "7") + " pointsize 0.8 linewidth 1.4 linecolor rgb '" + colour + "' title " +
                Plot::quoted(title);
  }
  // Ends the panel; what it is drawn with. Without a series its place stays empty.
  void end(const std::string& settings) {
    commands_.push_back(command_.empty() ? "set multiplot next\n" : settings + std::exchange(command_, "") + '\n');
  }
  // Whether no panel has a series.
  bool empty() const { return blocks_ == 0; }

  void draw(const std::string& layout, const std::string& title) {
    plot_ << "set multiplot layout " << layout << " title " << Plot::quoted(title) << " font 'DejaVu Sans,13'\n"
          << "set grid linetype 1 linecolor rgb '#e4e4e4' linewidth 0.8\nset key outside top horizontal samplen 1\n"
          << "set bars 0\n";
    for (const std::string& command : commands_) plot_ << command;
    plot_ << "unset multiplot\n";
  }

 private:
  Plot& plot_;
  int blocks_ = 0;
  std::string command_;
  std::vector<std::string> commands_;
};

// What is drawn of an axis.
struct Reach {
  double low, high;
};

std::string axis_settings(ShowerAxis axis, const Reach& shown) {
  std::string text = axis == ShowerAxis::energy
                         ? "set logscale x\nset xtics (0.1,0.2,0.5,1,2,5,10,20,50,100,200,500,1000)\n"
                         : "unset logscale x\nset xtics autofreq\n";
  append_line(text, "set xrange [%g:%g]\nset xlabel '%s'\n", shown.low, shown.high, label_of_axis(axis));
  return text;
}

// Of energy from the first bin with entries to the end of the last, else all of it.
Reach reach_of(ShowerAxis axis, const ShowerMetrics& metrics) {
  double low = 0, high = 0;
  for (const AxisBin& bin : bins_of(axis)) {
    if (axis == ShowerAxis::energy && metrics.efficiency(in_bin({}, bin)).total < kFewestDrawn) continue;
    if (high == 0) low = bin.low;
    high = bin.high;
  }
  if (high == 0) return {shower_bins(axis).front(), shower_bins(axis).back()};
  return {low, high};
}

// Draws the panels; where none has a series, says so in place of an empty picture.
bool save(const fs::path& file, const Plot& plot, Panels& panels, const std::string& layout, const std::string& title) {
  if (panels.empty()) {
    std::fprintf(stderr, "%s is not drawn: no bin has %lld entries\n", one_line(file.string()).c_str(),
                 static_cast<long long>(kFewestDrawn));
    return false;
  }
  panels.draw(layout, title);
  return plot.save(file);
}

bool draw_efficiency(const fs::path& file, const ShowerMetrics& metrics, const std::vector<ShowerGroup>& groups) {
  Plot plot(1650, 520);
  Panels panels(plot);
  for (const ShowerAxis axis : kShowerAxes) {
    const Reach shown = reach_of(axis, metrics);
    const auto series = [&](const auto& ratio_of, const std::string& colour, const std::string& title, bool open) {
      std::string rows;
      for (const AxisBin& bin : bins_of(axis)) {
        const Ratio ratio = ratio_of(bin);
        if (ratio.total < kFewestDrawn || bin.low < shown.low || bin.high > shown.high) continue;
        append_line(rows, "%g %g %g %g %g %g\n", bin.middle(), ratio.value(), bin.low, bin.high, ratio.low(),
                    ratio.high());
      }
      panels.add(rows, colour, title, open);
    };
    for (const ShowerGroup& group : groups) {
      series([&](const AxisBin& bin) { return metrics.efficiency(in_bin(group.selection, bin)); },
             colour_of(group.name), group.title, false);
    }
    if (axis != ShowerAxis::own_share) {
      series([&](const AxisBin& bin) { return metrics.fakes(axis, bin.bin); }, "#5b616b", "fakes", true);
    }
    panels.end(axis_settings(axis, shown) + "set yrange [0:1.02]\n");
  }
  return save(file, plot, panels, "1,3",
              "Efficiency of showers and share of fakes among clusters, with 68 % intervals");
}

bool draw_response(const fs::path& file, const ShowerMetrics& metrics, const std::vector<ShowerGroup>& groups) {
  const bool generated = metrics.response(ShowerRatio::cluster_to_generated).count > 0;
  const bool reconstructed = metrics.response(ShowerRatio::reconstructed_to_generated).count > 0;
  const Reach shown = reach_of(ShowerAxis::energy, metrics);
  Plot plot(1400, generated ? 1000 : 520);
  Panels panels(plot);
  const auto panel = [&](ShowerRatio ratio, bool with_perfect, bool resolution, const std::string& label) {
    const auto series = [&](ShowerRatio of, const ShowerGroup& group, bool open) {
      std::string rows;
      for (const AxisBin& bin : bins_of(ShowerAxis::energy)) {
        const Spread spread = metrics.response(of, in_bin(group.selection, bin));
        if (spread.count < kFewestDrawn) continue;
        const Estimate& value = resolution ? spread.resolution : spread.median;
        const double error = std::isnan(value.error) ? 0 : value.error;
        append_line(rows, "%g %g %g %g %g %g\n", bin.middle(), value.value, bin.low, bin.high, value.value - error,
                    value.value + error);
      }
      panels.add(rows, colour_of(group.name), open ? group.title + ", perfect" : group.title, open);
    };
    for (const ShowerGroup& group : groups) {
      if (group.name == "all" && groups.size() > 1) continue;
      series(ratio, group, false);
      if (with_perfect) series(ShowerRatio::visible_to_generated, group, true);
    }
    const char* const range = resolution ? "set yrange [0:*]\n" : "set yrange [*<0.8:1.1<*]\n";
    panels.end(axis_settings(ShowerAxis::energy, shown) + range + "set ylabel " + Plot::quoted(label) + '\n');
  };
  panel(ShowerRatio::cluster_to_visible, false, false, "cluster / visible energy, median");
  panel(ShowerRatio::cluster_to_visible, false, true, "cluster / visible energy, resolution");
  if (generated) {
    const ShowerRatio ratio =
        reconstructed ? ShowerRatio::reconstructed_to_generated : ShowerRatio::cluster_to_generated;
    const std::string label = reconstructed ? "reconstructed / generated energy" : "cluster / generated energy";
    panel(ratio, true, false, label + ", median");
    panel(ratio, true, true, label + ", resolution");
  }
  return save(file, plot, panels, generated ? "2,2" : "1,2",
              "Response and resolution of the showers that are found, with standard errors from 20 entries on");
}

}  // namespace

void check_shower_curves_places(const fs::path& folder) {
  files::check_place(folder / "showers.csv", [](std::string_view head) { return head.starts_with(kRatiosHeader); });
  files::check_place(folder / "response.csv", [](std::string_view head) { return head.starts_with(kResponseHeader); });
  for (const char* const name : {"shower_efficiency.png", "shower_response.png"}) Plot::check_place(folder / name);
}

std::vector<fs::path> write_shower_curves(const fs::path& folder, const ShowerMetrics& metrics) {
  const std::vector<ShowerGroup> groups = shower_groups(metrics);
  std::vector<fs::path> written = {folder / "showers.csv", folder / "response.csv"};
  files::write(written[0], ratios_csv(metrics, groups), files::Durable::no);
  files::write(written[1], response_csv(metrics, groups), files::Durable::no);
  if (draw_efficiency(folder / "shower_efficiency.png", metrics, groups)) {
    written.push_back(folder / "shower_efficiency.png");
  }
  if (draw_response(folder / "shower_response.png", metrics, groups)) {
    written.push_back(folder / "shower_response.png");
  }
  return written;
}

}  // namespace starling::cli
