#include "ending.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "output.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

// Everything here is also read by a signal handler: lock-free atomics, and plain memory that is written before.
constexpr std::uint32_t kEnding = std::uint32_t{1} << 31;
std::atomic<std::uint32_t> state = 0;  // the number of WritingFiles, and kEnding once the program is to end
std::atomic<int> code = 0;             // the exit code, of the first who asked for an end
std::atomic<bool> leaving = false, only_noted = false, noted = false;
char line_of_interrupt[80], line_of_terminate[1000];
thread_local std::uint32_t writing = 0;  // WritingFiles of this thread

static_assert(std::atomic<std::uint32_t>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

constexpr int kInterrupted = static_cast<int>(ErrorKind::interrupted);

[[noreturn]] void leave() {
  if (leaving.exchange(true)) {
    for (;;) pause();
  }
  const char* const line = code == kInterrupted ? line_of_interrupt : line_of_terminate;
  // A progress bar may stand there.
  if (isatty(STDERR_FILENO) == 1 && write(STDERR_FILENO, "\r\033[K", 4) < 0) _exit(code);
  if (write(STDERR_FILENO, line, std::strlen(line)) < 0) _exit(code);
  _exit(code);
}

void on_signal(int) {
  noted = true;
  if (only_noted) return;
  int none = 0;
  code.compare_exchange_strong(none, kInterrupted);
  if (state.fetch_or(kEnding) == 0) leave();
}

// Whoever comes first gives the line and the code.
[[noreturn]] void end_with(int exit_code, const char* line) {
  int none = 0;
  if (code.compare_exchange_strong(none, exit_code)) {
    std::strncat(line_of_terminate, line, sizeof line_of_terminate - std::strlen(line_of_terminate) - 2);
    std::strcat(line_of_terminate, "\n");
  }
  // The files that this thread writes can no longer become whole; those of others can.
  state.fetch_or(kEnding);
  if (state.fetch_sub(writing) - writing == kEnding) leave();
  for (;;) pause();
}

[[noreturn]] void on_terminate() {
  const char* what = "internal error";
  char text[200];
  try {
    if (std::current_exception()) throw;
  } catch (const std::bad_alloc&) {
    what = "out of memory";
  } catch (const std::exception& error) {
    std::snprintf(text, sizeof text, "internal error: %s", error.what());
    what = text;
  } catch (...) {
    what = "internal error: an unknown exception";
  }
  end_with(static_cast<int>(ErrorKind::internal), what);
}

}  // namespace

void catch_ends(const std::string& program) {
  std::snprintf(line_of_interrupt, sizeof line_of_interrupt, "%.40s: interrupted\n", program.c_str());
  std::snprintf(line_of_terminate, sizeof line_of_terminate, "%.40s: ", program.c_str());
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  struct sigaction hang_up {};
  sigaction(SIGHUP, nullptr, &hang_up);
  if (hang_up.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, nullptr);  // ignored under nohup
  std::set_terminate(on_terminate);
}

WritingFiles::WritingFiles() {
  // Inside another one of this thread, whose end is waited for, this one must go on.
  if ((state.fetch_add(1) & kEnding) == 0 || writing > 0) {
    ++writing;
    return;
  }
  if (state.fetch_sub(1) - 1 == kEnding) leave();
  for (;;) pause();
}

WritingFiles::~WritingFiles() {
  --writing;
  if (state.fetch_sub(1) - 1 == kEnding) leave();
}

void end_program(const Error& error) { end_with(error.exit_code(), one_line(error.what()).c_str()); }

void only_note_interrupts() { only_noted = true; }

bool interrupted() { return noted; }

}  // namespace starling::cli
