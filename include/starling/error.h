#pragma once

#include <stdexcept>
#include <string>

namespace starling {

/// What went wrong, as the exit code of a program that ends with it.
enum class ErrorKind : int {
  internal = 1,       ///< a fault of Starling
  usage = 2,          ///< a wrong command line, setting or argument
  input = 3,          ///< a file or array that is not what it must be
  device = 4,         ///< a device that is asked for and not there
  interrupted = 130,  ///< stopped by the user
};

/// Every failure that Starling reports. The message is one line naming the file, row or key, the value and what was
/// expected.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }
  int exit_code() const noexcept { return static_cast<int>(kind_); }

 private:
  ErrorKind kind_;
};

}  // namespace starling
