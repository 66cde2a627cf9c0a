#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "spawned.h"
#include "temporary_folder.h"

/// The program under test, STARLING_LEARN_PROGRAM, in a folder of a suite's own.
namespace starling {

namespace fs = std::filesystem;
using spawned::content;
using spawned::lines;
using testing::HasSubstr;
using Words = std::vector<std::string>;

inline Words operator+(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// "--set key=value" for each.
inline Words set(const Words& assignments) {
  Words words;
  for (const std::string& one : assignments) words.insert(words.end(), {"--set", one});
  return words;
}

/// A suite whose tests run the program from outside. It draws no pictures, which would take longer than such trainings
/// do: gnuplot is hidden but from tests that ask for it.
class LearnProgram : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    path_before_ = std::getenv("PATH");
    fs::create_directory(path("bin"));
    find_programs_in(path("bin").string());
  }
  static void TearDownTestSuite() {
    find_programs_in(path_before_);
    folder_.reset();
  }

  static void find_programs_in(const std::string& folders) { setenv("PATH", folders.c_str(), 1); }
  /// A gnuplot that is this script of the shell, and programs of the system.
  static void make_gnuplot(const std::string& script) {
    std::ofstream(path("bin/gnuplot")) << "#!/bin/sh\n" << script;
    fs::permissions(path("bin/gnuplot"), fs::perms::owner_all);
    find_programs_in(path("bin").string() + ':' + path_before_);
  }
  static void hide_gnuplot() {
    fs::remove(path("bin/gnuplot"));
    find_programs_in(path("bin").string());
  }

  /// Sections of a configuration: small simulated events, and windows learned of a few.
  static inline const std::string kEvents =
      "[graph]\nevents = 6\nbackground_events = 2\n"
      "[simulation]\npileup = 3\ndetector = \"" STARLING_SOURCE_DIR
      "/detectors/trackml.toml\"\n"
      "[target]\nprimary = false\n";

  static fs::path path(const std::string& name) { return folder_->path() / name; }
  static std::string errors(const std::string& name) { return content(path(name + ".err")); }
  static std::string output(const std::string& name) { return content(path(name + ".out")); }

  /// `starling-learn COMMAND` with run.toml and `name` as output folder.
  static Words command(const std::string& what, const std::string& name, const Words& more = {}) {
    return Words{STARLING_LEARN_PROGRAM, what, path("run.toml")} + set({"training.output=" + path(name).string()}) +
           more;
  }
  /// The same, started in a process group of its own; its output goes to <name>.out and <name>.err.
  static pid_t start(const std::string& what, const std::string& name, const Words& more = {}) {
    return spawned::start(command(what, name, more), path(name));
  }

  /// Waits until the run in this folder has so many epochs done, then sends a signal; the exit code, or −signal.
  static int end(pid_t child, const fs::path& run, int epochs, int signal) {
    wait_for_epochs(run, epochs);
    kill(child, signal);
    return spawned::wait(child);
  }
  static void wait_for_epochs(const fs::path& run, int epochs) {
    for (int i = 0; i < 60000 && lines(run / "metrics.jsonl") < epochs; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

 private:
  static inline std::unique_ptr<TemporaryFolder> folder_;
  static inline std::string path_before_;
};

}  // namespace starling
