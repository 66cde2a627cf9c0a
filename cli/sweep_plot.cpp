#include "sweep_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "colours.h"
#include "numbers/numbers.h"
#include "plot.h"

namespace starling::cli {
namespace {

constexpr std::size_t kMostTitles = 10;  // lines that a legend names

// Powers of ten or of two rather than steps of one size.
bool spans_much(const std::vector<double>& values) {
  double least = std::numeric_limits<double>::infinity(), most = 0;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    if (value <= 0) return false;
    least = std::min(least, value);
    most = std::max(most, value);
  }
  return most >= 4 * least;
}

bool any_finite(const std::vector<double>& values) {
  return std::any_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

void SweepPlot::add_key(const std::string& key, const std::vector<std::string>& values) {
  keys_.push_back({key, values});
}
void SweepPlot::add_cost(const std::string& title, const std::vector<double>& values) {
  if (any_finite(values)) costs_.push_back({title, values});
}
void SweepPlot::add_metric(const std::string& title, const std::vector<double>& values) {
  if (any_finite(values)) metrics_.push_back({title, values});
}

// Along a cost, lines follow the key with the most values.
std::vector<SweepPlot::Axis> SweepPlot::axes() const {
  std::vector<Axis> result;
  std::size_t longest = keys_.size(), most = 1;
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    const std::set<std::string> different(keys_[k].values.begin(), keys_[k].values.end());
    if (different.size() < 2) continue;
    if (different.size() > most) {
      most = different.size();
      longest = k;
    }
    Axis axis{keys_[k].name, {}, {}, k};
    for (const std::string& value : keys_[k].values) {
      const auto number = numbers::parse<double>(value);
      axis.values.push_back(number ? *number : NAN);
    }
    if (!std::all_of(axis.values.begin(), axis.values.end(), [](double value) { return std::isfinite(value); })) {
      for (std::size_t i = 0; i < keys_[k].values.size(); ++i) {
        const std::string& value = keys_[k].values[i];
        auto found = std::find(axis.labels.begin(), axis.labels.end(), value);
        if (found == axis.labels.end()) found = axis.labels.insert(found, value);
        axis.values[i] = static_cast<double>(found - axis.labels.begin());
      }
    }
    axis.logarithmic = axis.labels.empty() && spans_much(axis.values);
    result.push_back(std::move(axis));
  }
  for (const Column& cost : costs_)
    result.push_back({cost.title, cost.values, {}, longest, spans_much(cost.values), "rotate by -35 format '%.1s%c'"});
  return result;
}

// The runs on each line, from left to right.
std::vector<std::vector<std::size_t>> SweepPlot::lines(const Axis& axis) const {
  std::map<std::vector<std::string>, std::vector<std::size_t>> by_others;
  std::vector<std::vector<std::string>> order;
  for (std::size_t run = 0; run < axis.values.size(); ++run) {
    std::vector<std::string> others;
    for (std::size_t k = 0; k < keys_.size(); ++k) {
      if (k != axis.key) others.push_back(keys_[k].values[run]);
    }
    if (by_others[others].empty()) order.push_back(others);
    by_others[others].push_back(run);
  }
  std::vector<std::vector<std::size_t>> result;
  for (const auto& others : order) {
    std::vector<std::size_t>& line = by_others[others];
    std::stable_sort(line.begin(), line.end(),
                     [&](std::size_t one, std::size_t other) { return axis.values[one] < axis.values[other]; });
    result.push_back(line);
  }
  return result;
}

std::string SweepPlot::title_of(const std::vector<std::size_t>& line, const Axis& axis) const {
  std::string title;
  for (std::size_t k = 0; k < keys_.size(); ++k) {
    const std::set<std::string> different(keys_[k].values.begin(), keys_[k].values.end());
    if (k == axis.key || different.size() < 2) continue;
    title += (title.empty() ? "" : ", ") + keys_[k].name.substr(keys_[k].name.rfind('.') + 1) + ' ' +
             keys_[k].values[line[0]];
  }
  return title;
}

bool SweepPlot::save(const std::filesystem::path& file) const {
  const std::vector<Axis> all = axes();
  if (all.empty() || metrics_.empty()) return true;
  Plot plot(static_cast<int>(420 * all.size()), static_cast<int>(260 * metrics_.size()));
  plot << "set multiplot layout " << metrics_.size() << ',' << all.size()
       << "\nset grid linetype 1 linecolor rgb '#e4e4e4'\nset offsets graph 0.05, graph 0.05, graph 0.08, graph 0.08\n"
          "set key bottom right samplen 1 font ',8'\n";
  for (std::size_t m = 0; m < metrics_.size(); ++m) {
    for (std::size_t a = 0; a < all.size(); ++a) {
      const Axis& axis = all[a];
      const auto runs = lines(axis);
      plot << "set xlabel " << Plot::quoted(axis.title) << "\nset ylabel " << Plot::quoted(metrics_[m].title) << '\n'
           << (axis.logarithmic ? "set logscale x\n" : "unset logscale x\n") << "set xtics autofreq " << axis.tics
           << "\n";
      if (!axis.labels.empty()) {
        plot << "set xtics (";
        for (std::size_t i = 0; i < axis.labels.size(); ++i) {
          plot << (i == 0 ? "" : ", ") << Plot::tic(axis.labels[i]) << ' ' << i;
        }
        plot << ")\n";
      }
      std::string command;
      for (std::size_t l = 0; l < runs.size(); ++l) {
        const std::string block = "$m" + std::to_string(m) + "a" + std::to_string(a) + "l" + std::to_string(l);
        std::string points;
        for (const std::size_t run : runs[l]) {
          const double x = axis.values[run], y = metrics_[m].values[run];
          if (!std::isfinite(x) || !std::isfinite(y)) continue;
          points += numbers::to_text(x) + ' ' + numbers::to_text(y) + '\n';
        }
        if (points.empty()) continue;
        plot << block << " << EOD\n" << points << "EOD\n";
        char rgb[16];
        std::snprintf(rgb, sizeof rgb, "#%06x", colour(static_cast<std::int32_t>(l), 0) & 0xffffff);
        const std::string title = m == 0 && runs.size() <= kMostTitles ? title_of(runs[l], axis) : "";
        command += (command.empty() ? "plot " : ", ") + block +
                   " using 1:2 with linespoints pointtype 7 pointsize 0.7 linecolor rgb '" + rgb + "' " +
                   (title.empty() ? "notitle" : "title " + Plot::quoted(title));
      }
      plot << (command.empty() ? "set multiplot next" : command) << '\n';
    }
  }
  plot << "unset multiplot\n";
  return plot.save(file);
}

}  // namespace starling::cli
