#include "shower_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "report.h"

namespace starling::cli {
namespace {

const char* title_of(ShowerKind kind) {
  switch (kind) {
    case ShowerKind::electromagnetic:
      return "photons, electrons";
    case ShowerKind::charged_hadron:
      return "charged hadrons";
    case ShowerKind::neutral_hadron:
      return "neutral hadrons";
    case ShowerKind::muon:
      return "muons";
  }
  return "";
}

const char* title_of(ShowerRatio ratio) {
  switch (ratio) {
    case ShowerRatio::cluster_to_visible:
      return "cluster / visible energy";
    case ShowerRatio::cluster_to_generated:
      return "cluster / generated energy";
    case ShowerRatio::reconstructed_to_generated:
      return "reconstructed / generated energy";
    case ShowerRatio::visible_to_generated:
      return "perfect clustering: visible / generated energy";
  }
  return "";
}

void print_row(const char* label, const Ratio& ratio) {
  std::printf("  %-34s %s   %9lld / %lld\n", label, percent(ratio).c_str(), static_cast<long long>(ratio.passed),
              static_cast<long long>(ratio.total));
}

// "0.9812 ± 0.0013", always as wide.
std::string with_error(const Estimate& estimate) {
  char text[64];
  if (std::isnan(estimate.value)) {
    std::snprintf(text, sizeof text, "%8s %10s", "–", "");
  } else if (std::isnan(estimate.error)) {
    std::snprintf(text, sizeof text, "%8.4f %10s", estimate.value, "");
  } else {
    std::snprintf(text, sizeof text, "%8.4f ± %-8.4f", estimate.value, estimate.error);
  }
  return text;
}

std::string bin_title(ShowerAxis axis, int bin) {
  const std::span<const double> bounds = shower_bins(axis);
  char text[64];
  std::snprintf(text, sizeof text, "  %g to %g", bounds[static_cast<std::size_t>(bin)],
                bounds[static_cast<std::size_t>(bin) + 1]);
  return text;
}

// In place of tables that would be empty. Clusters may count all the same: then all of them are fakes, or find showers
// that do not count.
void print_no_showers(const ShowerMetrics& metrics) {
  if (metrics.all_showers == 0) {
    std::printf("\nThe truth has no shower.\n");
  } else {
    std::printf("\nNo shower is above --min-visible %g GeV; the largest has %.3g GeV.\n", metrics.min_energy,
                metrics.largest_visible);
  }
  if (metrics.clusters.empty()) return;
  std::printf("\nClusters whose hits sum to more than %g GeV: %zu of %lld\nper cent, with 68 %% intervals\n",
              metrics.min_energy, metrics.clusters.size(), static_cast<long long>(metrics.all_clusters));
  print_row("fakes", metrics.fakes());
}

nlohmann::ordered_json json_of_estimate(const Estimate& estimate) {
  return {{"value", estimate.value}, {"error", estimate.error}};  // NaN becomes null
}

}  // namespace

std::vector<ShowerGroup> shower_groups(const ShowerMetrics& metrics) {
  std::vector<ShowerGroup> groups = {{"all", "all", {}}};
  const std::vector<JudgedShower>& showers = metrics.showers;
  if (std::any_of(showers.begin(), showers.end(), [](const JudgedShower& shower) { return !shower.hard; })) {
    groups.push_back({"hard", "of the hard collision", {.hard = true}});
  }
  for (const ShowerKind kind : kShowerKinds) {
    if (std::any_of(showers.begin(), showers.end(), [&](const JudgedShower& shower) { return shower.kind == kind; })) {
      groups.push_back({to_string(kind), title_of(kind), {.kind = kind}});
    }
  }
  return groups;
}

void print_showers(const ShowerMetrics& metrics) {
  const std::vector<ShowerGroup> groups = shower_groups(metrics);
  if (metrics.showers.empty()) {
    print_no_showers(metrics);
    return;
  }
  std::printf(
      "\nShowers above %g GeV of visible energy: %zu of %lld; clusters whose hits sum to more than %g GeV: %zu "
      "of %lld\n",
      metrics.min_energy, metrics.showers.size(), static_cast<long long>(metrics.all_showers), metrics.min_energy,
      metrics.clusters.size(), static_cast<long long>(metrics.all_clusters));
  std::printf("per cent, with 68 %% intervals\n");
  for (const ShowerGroup& group : groups) {
    const bool all = &group == &groups.front();
    print_row(all ? "efficiency" : ("  " + group.title).c_str(), metrics.efficiency(group.selection));
  }
  std::printf("  by share of the energy within 100 mm of the axis that is the shower's own\n");
  for (int bin = 0; bin + 1 < static_cast<int>(shower_bins(ShowerAxis::own_share).size()); ++bin) {
    print_row(bin_title(ShowerAxis::own_share, bin).c_str(),
              metrics.efficiency({.axis = ShowerAxis::own_share, .bin = bin}));
  }
  print_row("fakes", metrics.fakes());
  const ShowerMetrics::F f = metrics.f();
  if (std::isnan(f.value)) {
    std::printf("  %-34s %6s\n", "F", "–");
  } else {
    std::printf("  %-34s %6.2f [%6.2f, %6.2f]\n", "F", 100 * f.value, 100 * f.low, 100 * f.high);
  }

  std::printf("\nResponse of the showers that are found\n  %-34s %8s   %-19s %-21s %s\n", "", "showers", "  median",
              "   mean", "resolution");
  for (const ShowerRatio ratio : kShowerRatios) {
    if (metrics.response(ratio).count == 0) continue;
    std::printf("  %s\n", title_of(ratio));
    for (const ShowerGroup& group : groups) {
      const Spread spread = metrics.response(ratio, group.selection);
      std::printf("    %-32s %8lld   %s %s %s\n", group.title.c_str(), static_cast<long long>(spread.count),
                  with_error(spread.median).c_str(), with_error(spread.mean).c_str(),
                  with_error(spread.resolution).c_str());
    }
  }
}

nlohmann::ordered_json to_json(const ShowerMetrics& metrics) {
  const std::vector<ShowerGroup> groups = shower_groups(metrics);
  nlohmann::ordered_json result = {{"min_visible", metrics.min_energy},
                                   {"events", metrics.events},
                                   {"hits", metrics.hits},
                                   {"showers", metrics.all_showers},
                                   {"clusters", metrics.all_clusters}};
  for (const ShowerGroup& group : groups) {
    result["efficiency"][group.name] = to_json(metrics.efficiency(group.selection));
  }
  for (int bin = 0; bin + 1 < static_cast<int>(shower_bins(ShowerAxis::own_share).size()); ++bin) {
    nlohmann::ordered_json one = to_json(metrics.efficiency({.axis = ShowerAxis::own_share, .bin = bin}));
    const std::span<const double> bounds = shower_bins(ShowerAxis::own_share);
    one["own_share"] = {bounds[static_cast<std::size_t>(bin)], bounds[static_cast<std::size_t>(bin) + 1]};
    result["efficiency_by_own_share"].push_back(one);
  }
  result["fakes"] = to_json(metrics.fakes());
  const ShowerMetrics::F f = metrics.f();
  result["f"] = {{"value", f.value}, {"low", f.low}, {"high", f.high}};
  for (const ShowerRatio ratio : kShowerRatios) {
    nlohmann::ordered_json& of_ratio = result["response"][to_string(ratio)];
    for (const ShowerGroup& group : groups) {
      const Spread spread = metrics.response(ratio, group.selection);
      of_ratio[group.name] = {{"showers", spread.count},
                              {"median", json_of_estimate(spread.median)},
                              {"mean", json_of_estimate(spread.mean)},
                              {"resolution", json_of_estimate(spread.resolution)}};
    }
  }
  return result;
}

}  // namespace starling::cli
