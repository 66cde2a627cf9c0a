#pragma once

#include <memory>
#include <string>
#include <vector>

#include "command.h"

namespace starling::cli {

struct Program {
  std::string name, what;  ///< what: one sentence for --help
  std::vector<std::unique_ptr<Command> (*)()> commands;
};

/// Runs the command that the command line names and returns the exit code. Every failure is one line on stderr, and so
/// is an output that cannot be written. stdin, stdout and stderr are opened where they are closed, so that no file of
/// ours takes their place.
int run_program(const Program& program, int argc, char** argv);

}  // namespace starling::cli
