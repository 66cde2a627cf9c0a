#pragma once

#include <cstdint>
#include <string>

#include "starling/error.h"

// Checks of what a caller hands in. All throw ErrorKind::usage, with a message that begins with `function`.
namespace starling::memory {

[[noreturn]] inline void usage(const char* function, const std::string& message) {
  throw Error(ErrorKind::usage, std::string(function) + ": " + message);
}

inline void check_count(const char* function, const char* name, std::int64_t value, std::int64_t low,
                        std::int64_t high) {
  if (value >= low && value <= high) return;
  usage(function, std::string(name) + " is " + std::to_string(value) + ": expected " + std::to_string(low) + " to " +
                      std::to_string(high));
}

/// That an array of so many entries is there.
inline void check_there(const char* function, const char* name, const void* pointer, std::int64_t count) {
  if (pointer == nullptr && count > 0) usage(function, std::string(name) + " is null: expected an array");
}

}  // namespace starling::memory
