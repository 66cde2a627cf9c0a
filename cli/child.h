#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace starling::cli {

/// Another program, started and watched by this one. It is in a process group of its own: Ctrl-C does not reach it.
/// When this program ends, however that is, it gets SIGTERM.
class Child {
 public:
  /// What it prints goes to the end of `log`. Call it from a program's first thread: the child lives as long as the
  /// thread that started it. Throws ErrorKind::internal where it cannot be started, ErrorKind::usage for a log that
  /// cannot be written.
  Child(const std::vector<std::string>& words, const std::filesystem::path& log);

  /// The exit code, or −signal, once it has ended. Does not wait.
  std::optional<int> ended();

  /// Asks it to end.
  void stop() const;

 private:
  pid_t process_ = -1;
  std::optional<int> code_;
};

/// Holds a file for this program and its children, as long as one of them lives, so that no other program takes it.
class Lock {
 public:
  explicit Lock(std::filesystem::path file) : file_(std::move(file)) {}
  Lock(const Lock&) = delete;
  ~Lock();

  /// Whether it is ours now. Throws ErrorKind::usage where the file cannot be made.
  bool take();

 private:
  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace starling::cli
