#pragma once

#include <functional>

namespace starling::cli {

/// What the command line asks for: the work to do, and the number of threads to do it on (0 = all).
struct Request {
  std::function<void()> work;
  int threads = 0;
};

/// Reads the command line. After --help or --version there is no work. Throws ErrorKind::usage in one line, with the
/// nearest known name for a misspelt command or flag.
Request parse_arguments(int argc, char** argv);

}  // namespace starling::cli
