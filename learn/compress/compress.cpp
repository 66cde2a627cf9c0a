#include "learn/compress/compress.h"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

#include "files/files.h"
#include "learn/compress/settings.h"
#include "learn/tasks/tracking/events.h"
#include "learn/tasks/tracking/settings.h"
#include "learn/train/folder.h"
#include "learn/train/processes.h"
#include "starling/config.h"
#include "starling/error.h"
#include "starling/track_finder.h"

namespace starling::learn {
namespace {

namespace fs = std::filesystem;

constexpr double kLeastKept = 0.005;  // a budget that needs fewer weights is given up

std::string digits(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

class Compression {
 public:
  Compression(const TrainingRequest& request, CompressPictures& pictures)
      : request_(request),
        pictures_(pictures),
        settings_(read_compress_settings(request.configuration, request.assignments)) {}

  void go() {
    open_folder(check_stages());
    make_teacher();
    if (settings_.student) make_student();
    if (settings_.quantization) quantize();
    before_rungs_ = last_;
    for (const double kept : settings_.kept) rung(kept, settings_.rewind == Rewind::every);
    bool met = true;
    if (has_budget()) met = go_down();
    if (settings_.rewind == Rewind::once && last_ != before_rungs_) rung(/*kept=*/1, /*rewind=*/true, "rewound");
    std::fputs(table(results_).c_str(), stdout);
    draw_curves();
    if (has_budget()) say_budget(met && is_met());
  }

 private:
  using Words = std::vector<std::string>;

  // A training of those sections of the file that make a network.
  TrainingRequest training_of(const Words& sections, Words overrides) const {
    TrainingRequest training = request_;
    training.left_out = {"compress", "stage"};
    for (const char* const section : {"network", "quantization", "pruning", "distillation"}) {
      if (std::find(sections.begin(), sections.end(), section) == sections.end())
        training.left_out.emplace_back(section);
    }
    training.overrides = std::move(overrides);
    training.run.quiet = true;
    return training;
  }

  // Reads the configurations of all stages before the first one is trained: what is wrong there is said at once. Models
  // that are not there yet have stand-ins. Returns what all stages have in common, resolved.
  std::string check_stages() const {
    Words sections, network;
    const auto take_network = [&](const Words& overrides) {
      for (const std::string& one : overrides) {
        if (one.starts_with("network.")) network.push_back(one);
      }
    };
    if (settings_.teacher.empty()) {
      resolve(training_of({"network"}, settings_.of_teacher));
      sections = {"network"};
      take_network(settings_.of_teacher);
    } else if (settings_.student) {
      network = shape_of(settings_.teacher);
    } else {
      network = {assignment("training.from", settings_.teacher)};
    }
    take_network(settings_.of_student);
    const auto resolved = [&](const Words& more, const Words& overrides) {
      Words all = sections, set = network;
      all.insert(all.end(), more.begin(), more.end());
      if (settings_.distillation || settings_.student) set.emplace_back("distillation.teacher=-");
      set.insert(set.end(), overrides.begin(), overrides.end());
      return resolve(training_of(all, set));
    };
    if (settings_.student) resolved({"distillation"}, settings_.of_student);
    resolved({"distillation", "quantization"}, settings_.of_quantized);
    resolved({"distillation", "quantization", "pruning"}, settings_.of_rung);
    return resolved({"distillation", "quantization", "pruning"}, {});
  }

  void open_folder(const std::string& common) const {
    const auto all = [](std::string_view) { return true; };
    const std::string configuration = select_keys(common + settings_.resolved, all);
    const fs::path& folder = settings_.output;
    files::make_folder(folder);
    check_folder(folder, {"compress.toml", "01-teacher/checkpoint.safetensors", {"compress.jsonl"}},
                 request_.run.resume);
    pictures_.check_folder(folder);
    std::error_code ignored;
    if (request_.run.resume && fs::exists(folder / "compress.toml", ignored)) {
      // More epochs of one stage would leave those after it as they are.
      check_same(folder / "compress.toml", std::string(files::read(folder / "compress.toml").text()), configuration,
                 {"training.output", "training.workers", "compress.curves"});
    }
    files::write(folder / "compress.toml", configuration);
  }

  // Runs a stage, or goes on with it, or finds it done.
  void stage(const std::string& name, TrainingRequest training) {
    const fs::path folder = settings_.output / (digits(static_cast<double>(results_.size() + 1), "%02.0f-") + name);
    request_.run.monitor->say("stage " + std::to_string(results_.size() + 1) + ": " + name);
    training.overrides.push_back(assignment("training.output", folder));
    train(training);
    const auto result = read_run_result(folder);
    if (!result) throw Error(ErrorKind::internal, folder.string() + ": the stage left no model");
    results_.push_back({name, *result});
    folders_.push_back(folder);
    last_ = folder;
    std::string lines;
    for (const StageResult& one : results_) lines += to_json(one) + '\n';
    files::write(settings_.output / "compress.jsonl", lines);
    pictures_.draw(results_, settings_.output);
  }

  // Stages after the teacher's begin with another network, and so leave [network] out.
  void later_stage(const std::string& name, Words sections, Words overrides, const Words& more) {
    sections.emplace_back("distillation");
    if (settings_.distillation || name == "student") {
      overrides.push_back(assignment("distillation.teacher", teacher_));
    }
    overrides.insert(overrides.end(), more.begin(), more.end());
    stage(name, training_of(sections, std::move(overrides)));
  }

  void make_teacher() {
    if (settings_.teacher.empty()) {
      teacher_ = settings_.output / "01-teacher";
      stage("teacher", training_of({"network"}, settings_.of_teacher));
    } else {
      teacher_ = settings_.teacher;
      stage("teacher", training_of({}, {assignment("training.from", teacher_), "training.epochs=0"}));
      last_ = settings_.teacher;
    }
  }

  // The student has the teacher's shape but for what [stage.student] says.
  static Words shape_of(const fs::path& model) {
    const InteractionNetworkShape shape = TrackFinder::load(model).shape();
    const auto yes_or_no = [](bool value) { return value ? "true" : "false"; };
    return {"network.hidden=" + std::to_string(shape.hidden),
            "network.steps=" + std::to_string(shape.steps),
            std::string("network.recurrent=") + yes_or_no(shape.recurrent),
            "network.norm=" + to_string(shape.norm),
            std::string("network.bias=") + yes_or_no(shape.bias),
            std::string("network.concat=") + yes_or_no(shape.concat)};
  }

  void make_student() {
    later_stage("student", {}, shape_of(settings_.teacher.empty() ? last_ / "model.safetensors" : settings_.teacher),
                settings_.of_student);
  }

  void quantize() {
    later_stage("quantized", {"quantization"}, {assignment("training.from", last_)}, settings_.of_quantized);
  }

  void rung(double kept, bool rewind, const std::string& name = {}) {
    Words overrides = {assignment("training.from", last_), "pruning.kept=" + digits(kept, "%.6g")};
    if (rewind) overrides.push_back(assignment("pruning.rewind", before_rungs_));
    later_stage(name.empty() ? rung_name(kept) : name, {"quantization", "pruning"}, std::move(overrides),
                settings_.of_rung);
    last_kept_ = kept;
  }

  bool has_budget() const { return settings_.bytes || settings_.bops; }

  bool is_met() const {
    const RunResult& now = results_.back().run;
    return (!settings_.bytes || static_cast<double>(now.bytes) <= *settings_.bytes) &&
           (!settings_.bops || now.bops <= *settings_.bops);
  }

  // Rungs until the budget is met. False where fewer weights no longer help.
  bool go_down() {
    for (bool first = true; !is_met(); first = false) {
      const double before = results_.back().run.kept;
      double kept = last_kept_ * (1 - settings_.amount);
      // The masks of a pruned teacher keep less already.
      if (kept >= before) kept = before * (1 - settings_.amount);
      if (kept < kLeastKept) return false;
      rung(kept, settings_.rewind == Rewind::every);
      if (!first && results_.back().run.kept >= before) return false;
    }
    return true;
  }

  void say_budget(bool met) const {
    const RunResult &teacher = results_.front().run, &now = results_.back().run;
    const auto points = [&](const char* metric) {
      return digits(100 * (now.metric(metric) - teacher.metric(metric)), "%+.2f");
    };
    const std::string reached = std::to_string(now.bytes) + " bytes and " + digits(now.bops, "%.3g") +
                                " BOPs per event, efficiency " + digits(now.metric("efficiency"), "%.4f") + " (" +
                                points("efficiency") + " points to the teacher), total purity " +
                                digits(now.metric("total_purity"), "%.4f") + " (" + points("total_purity") + ")";
    if (!met) throw Error(ErrorKind::usage, "the budget cannot be met: reached " + reached);
    std::printf("budget met: %s\n", reached.c_str());
  }

  // On the events that the last stage holds out.
  void draw_curves() const {
    Words names = settings_.curves;
    if (names.empty()) names = {"teacher", settings_.quantization ? "quantized" : "teacher", results_.back().name};
    for (const std::string& name : names) {
      if (std::any_of(results_.begin(), results_.end(), [&](const auto& stage) { return stage.name == name; }))
        continue;
      request_.run.monitor->say("warning: compress.curves: no stage is called \"" + name + "\": none is drawn for it");
    }
    CurveRequest curves;
    curves.folder = settings_.output;
    for (std::size_t i = 0; i < results_.size(); ++i) {
      if (std::find(names.begin(), names.end(), results_[i].name) == names.end()) continue;
      curves.models.emplace_back(results_[i].name, folders_[i] / "model.safetensors");
    }
    // Relative paths start at the configuration's folder.
    Config config = Config::parse(files::read(folders_.back() / "config.toml").text(), request_.configuration.string());
    const tracking::TrackingSettings settings = tracking::read_tracking_settings(config);
    const tracking::Events events(settings);
    curves.events = static_cast<std::size_t>(settings.validation_events);
    curves.event = [&](std::uint64_t number) { return events.validation(number); };
    curves.target = settings.target;
    pictures_.draw_curves(curves);
  }

  const TrainingRequest& request_;
  CompressPictures& pictures_;
  CompressSettings settings_;
  std::vector<StageResult> results_;
  std::vector<fs::path> folders_;           ///< of the results
  fs::path teacher_, last_, before_rungs_;  ///< folders or models to begin with
  double last_kept_ = settings_.most_kept;
};

}  // namespace

void compress(const TrainingRequest& request, CompressPictures& pictures) {
  if (request.run.monitor == nullptr) throw Error(ErrorKind::usage, "compress: expected a monitor");
  require_one_process("compress");
  Compression(request, pictures).go();
}

}  // namespace starling::learn
