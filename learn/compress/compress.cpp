#include "learn/compress/compress.h"

#include <cstdio>
#include <utility>

#include "files/files.h"
#include "learn/compress/settings.h"
#include "learn/tasks/tracking/settings.h"
#include "learn/tasks/train.h"
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
  explicit Compression(const CompressRequest& request)
      : request_(request), settings_(read_compress_settings(request.configuration, request.assignments)) {
    check_stages();
  }

  void go() {
    make_teacher();
    if (settings_.student) make_student();
    if (settings_.quantization) quantize();
    before_rungs_ = last_;
    for (const double kept : settings_.kept) rung(kept, settings_.rewind == Rewind::every);
    bool met = true;
    if (has_budget()) met = go_down();
    if (settings_.rewind == Rewind::once && last_ != before_rungs_) rung(/*kept=*/1, /*rewind=*/true, "rewound");
    std::fputs(table(results_).c_str(), stdout);
    if (has_budget()) say_budget(met && is_met());
  }

 private:
  using Words = std::vector<std::string>;

  // Runs a stage, or goes on with it, or finds it done.
  void stage(const std::string& name, Words left_out, Words overrides) {
    const fs::path folder = settings_.output / (digits(static_cast<double>(results_.size() + 1), "%02.0f-") + name);
    request_.run.monitor->say("stage " + std::to_string(results_.size() + 1) + ": " + name);
    TrainingRequest training{request_.configuration, request_.assignments, std::move(left_out), std::move(overrides),
                             request_.run};
    training.left_out.insert(training.left_out.end(), {"compress", "stage"});
    training.overrides.push_back(assignment("training.output", folder));
    training.run.quiet = true;
    train(training);
    results_.push_back(read_result(name, folder));
    last_ = folder;
    std::string lines;
    for (const StageResult& result : results_) lines += to_json(result) + '\n';
    files::write(settings_.output / "compress.jsonl", lines);
    if (request_.draw) request_.draw(results_, settings_.output);
  }

  // Stages after the teacher's begin with another network, and so leave [network] out.
  void later_stage(const std::string& name, bool pruned, bool quantized, Words overrides, const Words& more) {
    Words left_out = {"network"};
    if (!pruned) left_out.emplace_back("pruning");
    if (!quantized) left_out.emplace_back("quantization");
    if (settings_.distillation || name == "student") {
      overrides.push_back(assignment("distillation.teacher", teacher_));
    }
    overrides.insert(overrides.end(), more.begin(), more.end());
    stage(name, std::move(left_out), std::move(overrides));
  }

  void make_teacher() {
    Words left_out = {"quantization", "pruning", "distillation"}, overrides = settings_.of_teacher;
    if (settings_.teacher.empty()) {
      teacher_ = settings_.output / "01-teacher";
    } else {
      teacher_ = settings_.teacher;
      left_out.emplace_back("network");
      overrides = {assignment("training.from", teacher_), "training.epochs=0"};
    }
    stage("teacher", std::move(left_out), std::move(overrides));
    if (!settings_.teacher.empty()) last_ = settings_.teacher;
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
    later_stage("student", /*pruned=*/false, /*quantized=*/false,
                shape_of(settings_.teacher.empty() ? last_ / "model.safetensors" : settings_.teacher),
                settings_.of_student);
  }

  // Reads the configuration of the last stages before the first one is trained: what is wrong there is said at once.
  void check_stages() const {
    for (const Words& of_stage : {settings_.of_quantized, settings_.of_rung}) {
      Config config = Config::load(request_.configuration);
      for (const std::string& one : request_.assignments) config.set(one);
      for (const char* const section : {"compress", "stage"}) config.leave_to_others(section);
      if (!settings_.teacher.empty()) {
        config.leave_to_others("network");
        const Words begin =
            settings_.student ? shape_of(settings_.teacher) : Words{assignment("training.from", settings_.teacher)};
        for (const std::string& one : begin) config.set(one);
      }
      if (settings_.student) {
        for (const std::string& one : settings_.of_student) config.set(one);
      }
      if (settings_.distillation) config.set("distillation.teacher=-");
      for (const std::string& one : of_stage) config.set(one);
      std::string kind = "interaction_network";
      config.get("network.kind", kind, {kind});
      tracking::read_tracking_settings(config);
      read_trainer_settings(config);
      config.finish();
    }
  }

  void quantize() {
    later_stage("quantized", /*pruned=*/false, /*quantized=*/true, {assignment("training.from", last_)},
                settings_.of_quantized);
  }

  void rung(double kept, bool rewind, const std::string& name = {}) {
    Words overrides = {assignment("training.from", last_), "pruning.kept=" + digits(kept, "%.6g")};
    if (rewind) overrides.push_back(assignment("pruning.rewind", before_rungs_));
    later_stage(name.empty() ? "kept-" + digits(kept, "%.4f") : name, /*pruned=*/true, settings_.quantization,
                std::move(overrides), settings_.of_rung);
    last_kept_ = kept;
  }

  bool has_budget() const { return settings_.bytes || settings_.bops; }

  bool is_met() const {
    const StageResult& now = results_.back();
    return (!settings_.bytes || static_cast<double>(now.bytes) <= *settings_.bytes) &&
           (!settings_.bops || now.bops <= *settings_.bops);
  }

  // Rungs until the budget is met. False where fewer weights no longer help.
  bool go_down() {
    for (bool first = true; !is_met(); first = false) {
      const double before = results_.back().kept;
      double kept = last_kept_ * (1 - settings_.amount);
      // Masks may keep less than they were asked to: those of a pruned teacher, two of four.
      if (kept >= before) kept = before * (1 - settings_.amount);
      if (kept < kLeastKept) return false;
      rung(kept, settings_.rewind == Rewind::every);
      if (!first && results_.back().kept >= before) return false;
    }
    return true;
  }

  void say_budget(bool met) const {
    const StageResult &teacher = results_.front(), &now = results_.back();
    const std::string reached = std::to_string(now.bytes) + " bytes and " + digits(now.bops, "%.3g") +
                                " BOPs per event, efficiency " + digits(now.efficiency, "%.4f") + " (" +
                                digits(100 * (now.efficiency - teacher.efficiency), "%+.2f") +
                                " points to the teacher), total purity " + digits(now.total_purity, "%.4f") + " (" +
                                digits(100 * (now.total_purity - teacher.total_purity), "%+.2f") + ")";
    if (!met) throw Error(ErrorKind::usage, "the budget cannot be met: reached " + reached);
    std::printf("budget met: %s\n", reached.c_str());
  }

  const CompressRequest& request_;
  CompressSettings settings_;
  std::vector<StageResult> results_;
  fs::path teacher_, last_, before_rungs_;  ///< of stages: their folders
  double last_kept_ = 1;
};

}  // namespace

void compress(const CompressRequest& request) {
  if (request.run.monitor == nullptr) throw Error(ErrorKind::usage, "compress: expected a monitor");
  Compression(request).go();
}

}  // namespace starling::learn
