#include "roc.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

#include "files/files.h"
#include "plot.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kHeader = "cut,target_edges_passed,target_edges,fake_edges_passed,fake_edges\n";

bool draw(const fs::path& file, const RocCounts& counts, const std::vector<RocCounts::Point>& curve) {
  std::string rows;
  for (const RocCounts::Point& point : curve) {
    if (point.fake_rate.passed == 0) continue;  // the axis is logarithmic
    char row[64];
    std::snprintf(row, sizeof row, "%.6g %.6f\n", point.fake_rate.value(), point.efficiency.value());
    rows += row;
  }
  char title[96];
  std::snprintf(title, sizeof title, "Target edges found against fake edges kept; area %.6f", counts.area());
  Plot plot(700, 520);
  plot << "$roc << EOD\n"
       << rows << "EOD\nset title " << Plot::quoted(title)
       << "\nunset key\nset logscale x\nset format x '%g'\nset yrange [:1]\n"
       << "set grid linetype 1 linecolor rgb '#e4e4e4' linewidth 0.8\n"
       << "set xlabel 'fake rate: fake edges that pass'\nset ylabel 'efficiency: target edges that pass'\n"
       << "plot $roc using 1:2 with lines linewidth 2 linecolor rgb '#1f5fa8'\n";
  return plot.save(file);
}

}  // namespace

void check_roc_places(const fs::path& folder) {
  files::check_place(folder / "roc.csv", [](std::string_view head) { return head.starts_with(kHeader); });
  Plot::check_place(folder / "roc.png");
}

std::vector<fs::path> write_roc(const fs::path& folder, const RocCounts& counts) {
  const std::vector<RocCounts::Point> curve = counts.curve();
  if (curve.empty()) return {};
  std::string text(kHeader);
  for (const RocCounts::Point& point : curve) {
    char row[128];
    std::snprintf(row, sizeof row, "%.9g,%lld,%lld,%lld,%lld\n", point.cut,
                  static_cast<long long>(point.efficiency.passed), static_cast<long long>(point.efficiency.total),
                  static_cast<long long>(point.fake_rate.passed), static_cast<long long>(point.fake_rate.total));
    text += row;
  }
  std::vector<fs::path> written = {folder / "roc.csv"};
  files::write(written[0], text, files::Durable::no);
  if (!std::isnan(counts.area()) && draw(folder / "roc.png", counts, curve)) written.push_back(folder / "roc.png");
  return written;
}

}  // namespace starling::cli
