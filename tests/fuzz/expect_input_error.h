#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "starling/error.h"

/// Runs a reader on bytes that nobody vouches for: it may take them, or refuse them as bad input in one line.
/// Everything else is a fault, which ends the program.
template <class Reader>
void expect_input_error(Reader reader) {
  try {
    reader();
  } catch (const starling::Error& error) {
    const std::string_view message = error.what();
    const bool one_line = !message.empty() && message.find('\n') == std::string_view::npos;
    if (error.kind() == starling::ErrorKind::input && one_line) return;
    std::fprintf(stderr, "kind %d: %s\n", error.exit_code(), error.what());
    std::abort();
  }
}

/// Ends the program where something that must hold does not.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}
