#pragma once

#include <string>

#include "starling/error.h"

/// Ends that come from outside: signals, and exceptions that nobody can catch.
namespace starling::cli {

/// From here on SIGINT, SIGTERM and SIGHUP end the program with one line and exit code 130, at once or, while a
/// WritingFiles lives, as soon as the last one is gone. A second signal does not wait. std::terminate ends it with one
/// line and exit code 1.
void catch_ends(const std::string& program);

/// While one lives, files are being written that belong together: an interrupt leaves none of them half-written, and
/// all or none.
class WritingFiles {
 public:
  WritingFiles();
  WritingFiles(const WritingFiles&) = delete;
  ~WritingFiles();
};

/// Ends the program from any thread, with the error's line and exit code, as an interrupt does.
[[noreturn]] void end_program(const Error& error);

/// From here on an interrupt is only noted, for work that asks interrupted() and saves itself.
void only_note_interrupts();
bool interrupted();

}  // namespace starling::cli
