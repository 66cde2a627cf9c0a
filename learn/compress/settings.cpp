#include "learn/compress/settings.h"

#include <cmath>

#include "starling/config.h"
#include "starling/error.h"

namespace starling::learn {
namespace {

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
  for (int i = 1; i <= rounds; ++i) settings.kept.push_back(std::pow(1 - settings.amount, i));
  for (std::size_t i = 0; i < settings.kept.size(); ++i) {
    const double before = i == 0 ? 1 : settings.kept[i - 1];
    if (settings.kept[i] < before && settings.kept[i] > 0) continue;
    fail("kept: " + std::to_string(settings.kept[i]) + " after " + std::to_string(before) +
         ": expected fractions above 0, each below the one before");
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
  settings.output = output;
  if (!teacher.empty()) settings.teacher = std::filesystem::path(config.name()).parent_path() / teacher;
  settings.quantization = config.has_section("quantization");
  settings.distillation = config.has_section("distillation");
  settings.student = config.has("stage.student");
  settings.rewind = read_rewind(config);
  read_ladder(config, settings);
  settings.of_teacher = overrides(config, "teacher");
  settings.of_student = overrides(config, "student");
  settings.of_quantized = overrides(config, "quantized");
  settings.of_rung = overrides(config, "rung");
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
  return settings;
}

}  // namespace starling::learn
