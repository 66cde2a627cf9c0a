#include <oneapi/tbb/info.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "child.h"
#include "command.h"
#include "ending.h"
#include "files/files.h"
#include "learn/tasks/result.h"
#include "learn/tasks/train.h"
#include "learn/train/folder.h"
#include "learn/train/monitor.h"
#include "learn/train/processes.h"
#include "progress.h"
#include "starling/config.h"
#include "starling/error.h"
#include "sweep_grid.h"
#include "sweep_table.h"
#include "training_options.h"

namespace starling::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kWindows = "windows.safetensors";

struct Run {
  SweepPoint point;
  fs::path folder;
  std::string configuration;  ///< resolved
  int epochs = 0;
  bool learns_windows = true;
  std::optional<Child> process;
  std::optional<learn::RunResult> result;
  std::optional<ErrorKind> failed;
  std::string why;  ///< the last line that it printed, where it failed

  bool waits() const { return !process && !result && !failed; }
  int epochs_done() const {
    std::error_code ignored;
    if (result || !fs::exists(folder / "metrics.jsonl", ignored)) return result ? epochs : 0;
    const files::Bytes lines = files::read(folder / "metrics.jsonl");
    return std::min(epochs, static_cast<int>(std::count(lines.text().begin(), lines.text().end(), '\n')));
  }
};

std::string last_line_of(const fs::path& log) {
  std::string text(files::read(log).text());
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

ErrorKind kind_of_end(int code) {
  for (const ErrorKind kind : {ErrorKind::usage, ErrorKind::input, ErrorKind::device}) {
    if (code == static_cast<int>(kind)) return kind;
  }
  return ErrorKind::internal;
}

class Sweeping final : public Command {
 public:
  Sweeping()
      : Command("sweep", "Train a network for every combination of some settings and compare them.",
                {"starling sweep configs/sweep.toml --device cuda --jobs 4",
                 "starling sweep configs/quick.toml --set 'sweep.network.hidden=[8, 16]' "
                 "--set training.output=runs/quick-sweep"}) {}

  void declare(Options& options) override {
    options_.declare(options,
                     "TOML file of a training with a section [sweep], see docs/sweep.md. The same command goes on with "
                     "a sweep that was stopped");
    options.number("--jobs", jobs_, 1, 64, "trainings at a time; they share the processors and the device");
  }

  void run() override;

 private:
  void read();
  void add(const SweepGrid& grid, const SweepPoint& point);
  void check_folders();
  void wait_for_lock(Lock& lock);
  void start(Run& run);
  void start_more();
  void watch();
  void take_result(Run& run, int code);
  void finish(Run& run, int code);
  void report();
  SweepTable table() const;
  void save();
  void summarise();
  void stop();
  bool may_start(const Run& run) const;
  std::ptrdiff_t count(bool (*is)(const Run&)) const { return std::count_if(runs_.begin(), runs_.end(), is); }

  TrainingOptions options_;
  int jobs_ = 1;
  learn::TrainingRequest request_;

  fs::path folder_;
  std::vector<std::string> keys_;
  std::vector<Run> runs_;
  Progress progress_{Progress::Elsewhere::lines};
  Clock::time_point start_ = Clock::now();
  int epochs_before_ = 0;
  bool drawable_ = true;  ///< gnuplot may not be installed: said once
};

bool is_running(const Run& run) { return run.process.has_value(); }
bool is_done(const Run& run) { return run.result.has_value(); }
bool has_failed(const Run& run) { return run.failed.has_value(); }
bool is_waiting(const Run& run) { return run.waits(); }

// Every point is resolved before the first one is trained: a wrong value is told at once.
void Sweeping::read() {
  Config config = Config::load(request_.configuration);
  for (const std::string& assignment : request_.assignments) config.set(assignment);
  const SweepGrid grid = read_sweep_grid(config);
  std::string output = "runs/training";
  config.get("training.output", output);
  folder_ = output;
  keys_ = grid.keys;
  learn::resolve(request_);
  for (const SweepPoint& point : grid.points) add(grid, point);
  std::map<std::string, const Run*> names, configurations;
  for (const Run& run : runs_) {
    const auto [named, is_new] = names.emplace(run.point.name, &run);
    if (!is_new) throw Error(ErrorKind::usage, config.name() + ": two points of [sweep] are named " + run.point.name);
    const std::string all =
        select_keys(run.configuration, [](std::string_view key) { return key != "training.output"; });
    const auto [same, is_other] = configurations.emplace(all, &run);
    if (!is_other) {
      throw Error(ErrorKind::usage, config.name() + ": [sweep]: " + same->second->point.name + " and " +
                                        run.point.name + " are the same training");
    }
  }
}

void Sweeping::add(const SweepGrid& grid, const SweepPoint& point) {
  Run run;
  run.point = point;
  run.folder = folder_ / point.name;
  learn::TrainingRequest request = request_;
  for (const std::string& assignment : point.assignments(keys_)) request.assignments.push_back(assignment);
  request.assignments.push_back(learn::assignment("training.output", run.folder));
  try {
    run.configuration = learn::resolve(request);
  } catch (const Error& error) {
    throw Error(error.kind(), "sweep: " + point.name + ": " + error.what());
  }
  // The values as the training has them; a point that stands alone may leave some to the configuration.
  Config resolved = Config::parse(run.configuration);
  for (std::size_t k = 0; k < grid.keys.size(); ++k) {
    const std::string& key = grid.keys[k];
    const std::size_t dot = key.rfind('.');
    for (const Config::Entry& entry : resolved.entries(key.substr(0, dot))) {
      if (dot != std::string::npos && entry.key == key.substr(dot + 1)) run.point.values[k] = entry.value;
    }
  }
  resolved.get("training.epochs", run.epochs, 0, 1'000'000'000);
  std::string kind, from, teacher;
  resolved.get("network.kind", kind);
  resolved.get("training.from", from);
  resolved.get("distillation.teacher", teacher);
  run.learns_windows = kind != "gravnet" && from.empty() && teacher.empty();  // else the windows are a model's
  runs_.push_back(std::move(run));
}

void check_configuration(const Run& run) {
  const fs::path file = run.folder / "config.toml";
  learn::check_same(file, std::string(files::read(file).text()), run.configuration);
}

void Sweeping::check_folders() {
  SweepTable::check_places(folder_);
  for (Run& run : runs_) {
    std::error_code ignored;
    if (!fs::exists(run.folder / "config.toml", ignored)) continue;
    check_configuration(run);
    // A run that ended early, being flat, is begun again and ends at once.
    auto result = learn::read_run_result(run.folder);
    if (result && result->epochs == run.epochs) run.result = std::move(result);
  }
}

// Runs of a sweep that was killed end by themselves, after the step at hand.
void Sweeping::wait_for_lock(Lock& lock) {
  const auto end = Clock::now() + std::chrono::seconds(60);
  for (bool said = false; !lock.take(); said = true) {
    if (!said) progress_.say("waiting for runs of an earlier sweep to end");
    if (interrupted()) throw Error(ErrorKind::interrupted, "stopped while waiting for an earlier sweep");
    if (Clock::now() > end) {
      throw Error(ErrorKind::usage,
                  (folder_ / "sweep.lock").string() +
                      ": another sweep is at work here; wait for it, or choose another training.output");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

// One run learns the windows, the others take a copy, which each judges by itself: where it was learned from other
// events or with other settings, windows are learned anew.
bool Sweeping::may_start(const Run& run) const {
  std::error_code ignored;
  const auto has_windows = [&](const Run& other) { return fs::exists(other.folder / kWindows, ignored); };
  return !run.learns_windows || std::none_of(runs_.begin(), runs_.end(), is_running) ||
         std::any_of(runs_.begin(), runs_.end(), has_windows);
}

void Sweeping::start(Run& run) {
  files::make_folder(run.folder);
  std::error_code ignored;
  if (!fs::exists(run.folder / kWindows, ignored)) {
    for (const Run& other : runs_) {
      if (!fs::exists(other.folder / kWindows, ignored)) continue;
      files::write(run.folder / kWindows, files::read(other.folder / kWindows).text());
      break;
    }
  }
  std::vector<std::string> words = {fs::read_symlink("/proc/self/exe").string(),
                                    "train",
                                    request_.configuration.string(),
                                    "--resume",
                                    "--device",
                                    options_.device()};
  const auto set = [&](const std::string& assignment) { words.insert(words.end(), {"--set", assignment}); };
  for (const std::string& assignment : request_.assignments) set(assignment);
  for (const std::string& assignment : run.point.assignments(keys_)) set(assignment);
  set(learn::assignment("training.output", run.folder));
  int workers = 0;
  Config resolved = Config::parse(run.configuration);
  resolved.get("training.workers", workers, 0, 1024);
  if (workers == 0) {
    set("training.workers=" + std::to_string(std::max(1, oneapi::tbb::info::default_concurrency() / jobs_ - 1)));
  }
  run.process.emplace(words, run.folder / "train.log");
}

void Sweeping::start_more() {
  for (Run& run : runs_) {
    if (count(is_running) >= jobs_) return;
    if (run.waits() && may_start(run)) start(run);
  }
}

// The configuration may have been changed while the sweep ran.
void Sweeping::take_result(Run& run, int code) {
  if (code < 0) throw Error(ErrorKind::internal, "killed by signal " + std::to_string(-code));
  if (code != 0) throw Error(kind_of_end(code), last_line_of(run.folder / "train.log"));
  check_configuration(run);
  run.result = learn::read_run_result(run.folder);
  if (!run.result) throw Error(ErrorKind::internal, "left no model");
}

void Sweeping::finish(Run& run, int code) {
  run.process.reset();
  if (code == static_cast<int>(ErrorKind::interrupted)) return;  // saved: it waits again
  try {
    take_result(run, code);
  } catch (const Error& error) {
    run.failed = error.kind();
    run.why = error.what();
    progress_.say(run.point.name + ": failed: " + run.why);
    return;
  }
  save();
  std::string text = run.point.name + ": done in " + learn::duration(run.result->seconds);
  for (const auto& [name, value] : run.result->metrics) {
    char part[100];
    std::snprintf(part, sizeof part, ", %s %.4f", name.c_str(), value);
    text += part;
  }
  progress_.say(text);
}

void Sweeping::report() {
  if (!progress_.due()) return;
  int done = 0, all = 0;
  std::string running;
  for (const Run& run : runs_) {
    const int epochs = run.epochs_done();
    all += run.epochs;
    done += epochs;
    if (is_running(run)) {
      running += (running.empty() ? "" : "; ") + run.point.name + " epoch " +
                 std::to_string(std::min(epochs + 1, run.epochs)) + "/" + std::to_string(run.epochs);
    }
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  std::string text = std::to_string(count(is_done)) + "/" + std::to_string(runs_.size()) + " runs done";
  if (count(has_failed) > 0) text += ", " + std::to_string(count(has_failed)) + " failed";
  if (done > epochs_before_) {
    text += ", " + learn::duration(seconds * (all - done) / (done - epochs_before_)) + " left";
  }
  constexpr std::size_t kShown = 120;  // characters
  if (!running.empty()) text += ": " + (running.size() > kShown ? running.substr(0, kShown) + " ..." : running);
  progress_.show(all > 0 ? static_cast<double>(done) / all : 0, text);
}

SweepTable Sweeping::table() const {
  std::vector<SweepRow> rows;
  for (const Run& run : runs_) {
    if (run.result) rows.push_back({run.point.name, run.point.values, *run.result});
  }
  return {keys_, rows};
}

void Sweeping::save() {
  const SweepTable all = table();
  all.write(folder_);
  if (!drawable_) return;
  try {
    drawable_ = all.draw(folder_);
  } catch (const Error& error) {
    progress_.say("warning: " + std::string(error.what()));
  }
}

void Sweeping::stop() {
  for (const Run& run : runs_) {
    if (run.process) run.process->stop();
  }
  for (Run& run : runs_) {
    while (run.process) {
      if (const auto code = run.process->ended()) {
        // By the signal itself where the run had not begun to listen.
        finish(run, *code == -SIGTERM ? static_cast<int>(ErrorKind::interrupted) : *code);
      } else {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
      }
    }
  }
  throw Error(ErrorKind::interrupted, "stopped with " + std::to_string(count(is_done)) + " of " +
                                          std::to_string(runs_.size()) + " runs done; the same command goes on");
}

void Sweeping::watch() {
  for (const Run& run : runs_) epochs_before_ += run.epochs_done();
  while (count(is_running) + count(is_waiting) > 0) {
    if (interrupted()) stop();
    start_more();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (Run& run : runs_) {
      if (!run.process) continue;
      if (const auto code = run.process->ended()) finish(run, *code);
    }
    report();
  }
}

void Sweeping::summarise() {
  std::fputs(table().text().c_str(), stdout);
  std::printf("written: %s, sweep.jsonl, sweep.png\n", (folder_ / "sweep.csv").c_str());
  const auto failed = std::find_if(runs_.begin(), runs_.end(), has_failed);
  if (failed == runs_.end()) return;
  std::fflush(stdout);
  throw Error(*failed->failed, std::to_string(count(has_failed)) + " of " + std::to_string(runs_.size()) +
                                   " runs failed; the first, " + failed->point.name + ": " + failed->why);
}

void Sweeping::run() {
  learn::require_one_process("sweep");
  request_ = options_.request();
  read();
  files::make_folder(folder_);
  Lock lock(folder_ / "sweep.lock");
  only_note_interrupts();  // runs are saved before it ends
  wait_for_lock(lock);
  check_folders();
  watch();
  save();
  summarise();
}

}  // namespace

std::unique_ptr<Command> sweeping_command() { return std::make_unique<Sweeping>(); }

}  // namespace starling::cli
