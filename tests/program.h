#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "temporary_folder.h"
#include "track_finder_cases.h"

extern char** environ;

/// The program under test, STARLING_PROGRAM, with a model and two small events.
namespace starling {

namespace fs = std::filesystem;
using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

inline std::string content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

struct Result {
  int code;
  std::string out, err;
};

/// A suite whose tests run the program from outside.
class Cli : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    temporary = std::make_unique<TemporaryFolder>();
    folder = temporary->path();
    made_track_finder().save(path("model.safetensors"));
    ASSERT_EQ(run("simulate --events 2 --pileup 5 --seed 3 --first 7 --out " + path("events")).code, 0);
  }
  static void TearDownTestSuite() { temporary.reset(); }

  static std::string path(const std::string& name) { return (folder / name).string(); }
  static std::string event() { return path("events/event000000007"); }
  static std::string model() { return " --model " + path("model.safetensors") + " "; }

  // Runs `before; starling arguments` in a shell.
  static Result run(const std::string& arguments, const std::string& before = "") {
    const std::string command =
        before + "'" STARLING_PROGRAM "' " + arguments + " >" + path("stdout") + " 2>" + path("stderr") + " </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content(path("stdout")), content(path("stderr"))};
  }

  // Starts the program with these words; stdout goes to `out`, stderr to the file that run() uses.
  static pid_t start(std::vector<std::string> words, int out = STDOUT_FILENO) {
    words.insert(words.begin(), STARLING_PROGRAM);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, path("stderr").c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    pid_t child = -1;
    EXPECT_EQ(posix_spawn(&child, STARLING_PROGRAM, &actions, nullptr, arguments.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return child;
  }

  // The exit code, or −signal.
  static int wait(pid_t child) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  // A copy of the event with one file changed.
  static std::string copy_of_event(const std::string& name) {
    const fs::path copy = folder / name;
    fs::remove_all(copy);
    fs::create_directory(copy);
    for (const char* end : {"-hits.csv", "-truth.csv", "-particles.csv"}) {
      fs::copy(event() + end, copy / (std::string("event000000007") + end));
    }
    return (copy / "event000000007").string();
  }

  // The bad input ends with the code and one line that holds every part, and nothing is written.
  static void expect_failure(const std::string& arguments, int code, const std::vector<std::string>& parts,
                             const std::string& before = "") {
    const Result result = run(arguments, before);
    EXPECT_EQ(result.code, code) << arguments << '\n' << result.err;
    EXPECT_THAT(result.err, StartsWith("starling: "));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "") << arguments;
    for (const std::string& part : parts) EXPECT_THAT(result.err, HasSubstr(part)) << arguments;
    if (fs::exists(path("unwritten"))) {
      EXPECT_TRUE(fs::is_empty(path("unwritten"))) << arguments;
      fs::remove_all(path("unwritten"));
    }
  }

  static void expect_bad_event(const std::string& prefix, const std::vector<std::string>& parts) {
    expect_failure("reconstruct " + prefix + model() + "--out " + path("unwritten"), 3, parts);
  }

  static inline std::unique_ptr<TemporaryFolder> temporary;
  static inline fs::path folder;
};

}  // namespace starling
