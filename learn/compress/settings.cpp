#include "learn/compress/settings.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <utility>

#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

constexpr const char* kRung = "kept-";

std::vector<std::string> overrides(Config& config, const std::string& stage) {
  std::vector<std::string> assignments;
  for (const Config::Entry& entry : config.entries("stage." + stage)) {
    assignments.push_back(entry.key + '=' + entry.value);
  }
  return assignments;
}

Rewind read_rewind(Config& config) {
  std::string text = "never";
  config.get("compress.rewind", text, {"every", "never", "once"});
  return text == "every" ? Rewind::every : text == "once" ? Rewind::once : Rewind::never;
}

void read_ladder(Config& config, CompressSettings& settings) {
  const auto fail = [&](const std::string& text) {
    throw Error(ErrorKind::usage, config.name() + ": compress." + text);
  };
  const bool listed = config.has("compress.kept");
  config.get("compress.kept", settings.kept, 0, 1);
  config.get("compress.amount", settings.amount, 0.001, 0.999);
  int rounds = 0;
  config.get("compress.rounds", rounds, 0, 1000);
  double bytes = 0, bops = 0;
  config.get("compress.max_bytes", bytes, 0, 1e15);
  config.get("compress.max_bops", bops, 0, 1e30);
  if (bytes > 0) settings.bytes = bytes;
  if (bops > 0) settings.bops = bops;
  if ((listed ? 1 : 0) + (rounds > 0 ? 1 : 0) + (bytes > 0 || bops > 0 ? 1 : 0) > 1) {
    fail("kept, compress.rounds and a budget (compress.max_bytes, compress.max_bops): expected one of them");
  }
  if (listed && config.has("compress.amount")) fail("amount: expected it without compress.kept");
  for (int i = 1; i <= rounds; ++i) settings.kept.push_back(settings.most_kept * std::pow(1 - settings.amount, i));
  for (std::size_t i = 0; i < settings.kept.size(); ++i) {
    const double kept = settings.kept[i], before = i == 0 ? 1 : settings.kept[i - 1];
    if (kept >= before || kept <= 0) {
      fail("kept: " + std::to_string(kept) + " after " + std::to_string(before) +
           ": expected fractions above 0, each below the one before");
    }
    if (kept > settings.most_kept) {
      fail("kept: " + std::to_string(kept) + ": expected at most the " + std::to_string(settings.most_kept) +
           " that pruning.two_of_four leaves");
    }
  }
}

// The stages' names are known before they run, but for those of a budget's rungs.
void read_curves(Config& config, CompressSettings& settings) {
  std::vector<std::string> stages = {"teacher"};
  if (settings.student) stages.emplace_back("student");
  if (settings.quantization) stages.emplace_back("quantized");
  for (const double kept : settings.kept) stages.push_back(rung_name(kept));
  if (settings.rewind == Rewind::once) stages.emplace_back("rewound");
  config.get("compress.curves", settings.curves);
  for (const std::string& name : settings.curves) {
    if (std::find(stages.begin(), stages.end(), name) != stages.end()) continue;
    const bool has_budget = settings.bytes || settings.bops;
    if (has_budget && name.starts_with(kRung)) continue;
    std::string all;
    for (const std::string& stage : stages) all += (all.empty() ? "" : ", ") + stage;
    if (has_budget) all += std::string(", ") + kRung + "...";
    throw Error(ErrorKind::usage, config.name() + ": compress.curves: \"" + name + "\": expected of " + all);
  }
}

}  // namespace

CompressSettings read_compress_settings(const std::filesystem::path& file,
                                        const std::vector<std::string>& assignments) {
  Config config = Config::load(file);
  for (const std::string& assignment : assignments) config.set(assignment);
  CompressSettings settings;
  std::string output = "runs/training", teacher;
  config.get("training.output", output);
  config.get("compress.teacher", teacher);
  std::string kind = "interaction_network";
  config.get("network.kind", kind, {kind});
  settings.output = output;
  if (!teacher.empty()) settings.teacher = std::filesystem::path(config.name()).parent_path() / teacher;
  settings.quantization = config.has_section("quantization");
  settings.distillation = config.has_section("distillation");
  settings.student = config.has("stage.student");
  settings.rewind = read_rewind(config);
  settings.of_teacher = overrides(config, "teacher");
  settings.of_student = overrides(config, "student");
  settings.of_quantized = overrides(config, "quantized");
  settings.of_rung = overrides(config, "rung");
  for (const std::string& one : settings.of_rung) config.set(one);
  bool two_of_four = false;
  config.get("pruning.two_of_four", two_of_four);
  if (two_of_four) settings.most_kept = 0.5;
  read_ladder(config, settings);
  read_curves(config, settings);
  if (!settings.teacher.empty() && !settings.of_teacher.empty()) {
    throw Error(ErrorKind::usage, config.name() + ": [stage.teacher]: expected no such section with compress.teacher");
  }
  if (!settings.student && !settings.quantization && settings.kept.empty() && !settings.bytes && !settings.bops) {
    throw Error(ErrorKind::usage, config.name() +
                                      ": nothing to compress: expected [stage.student], [quantization], a ladder "
                                      "(compress.kept, compress.rounds) or a budget");
  }
  for (const char* const section :
       {"network", "graph", "simulation", "target", "tracks", "training", "quantization", "pruning", "distillation"}) {
    config.leave_to_others(section);
  }
  config.finish();
  settings.resolved = select_keys(config.resolved(), [](std::string_view key) { return key.starts_with("compress."); });
  for (const auto& [stage, overrides] : {std::pair{"teacher", &settings.of_teacher},
                                         {"student", &settings.of_student},
                                         {"quantized", &settings.of_quantized},
                                         {"rung", &settings.of_rung}}) {
    if (overrides->empty()) continue;
    settings.resolved += "\n[stage." + std::string(stage) + "]\n";
    for (const std::string& one : *overrides) settings.resolved += one + '\n';
  }
  return settings;
}

std::string rung_name(double kept) {
  char text[32];
  std::snprintf(text, sizeof text, "%s%.4f", kRung, kept);
  return text;
}

}  // namespace starling::learn
