#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern char** environ;

/// Programs that run beside a test, and the files that they leave.
namespace starling::spawned {

inline std::string content(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline int lines(const std::filesystem::path& file) {
  const std::string text = content(file);
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

/// Starts a program, in a process group of its own, with more variables ("NAME=value") in its environment. Its output
/// goes to `<output>.out` and `<output>.err`.
inline pid_t start(std::vector<std::string> arguments, const std::filesystem::path& output,
                   std::vector<std::string> variables = {}) {
  std::vector<char*> words, environment;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  for (std::string& variable : variables) environment.push_back(variable.data());
  for (char** variable = environ; *variable != nullptr; ++variable) environment.push_back(*variable);
  environment.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const int flags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, (output.string() + ".out").c_str(), flags, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, (output.string() + ".err").c_str(), flags, 0600);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t child = -1;
  EXPECT_EQ(posix_spawnp(&child, words[0], &actions, &attributes, words.data(), environment.data()), 0);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return child;
}

/// The exit code, or −signal.
inline int wait(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace starling::spawned
